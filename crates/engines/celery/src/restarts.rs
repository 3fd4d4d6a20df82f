//! A task that is retried once, while agents come and go: whatever is missed, what is told must never be more than what happened.

use std::time::{Duration, Instant};

use serde_json::json;
use taskplane_agent::engine::{Observation, Subject, TaskObservation};
use taskplane_model::{TaskEvent as Told, TaskEventKind, TaskRecord, TaskState, Timestamp};

use crate::{
    events::TaskEvent,
    intake::{Intake, task},
    message::{Body, NewTask, Payload, TaskMessage},
    results::Meta,
    tracker::Tracker,
    workers::Workers,
};

const HOLD: Duration = Duration::from_secs(2);

/// What an agent may notice.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Notice {
    /// An event of the worker; the attempt stands in few of them.
    Event(TaskEventKind, Option<u32>),
    /// The result that goes with the next event.
    Result(&'static str),
    /// Results have waited long enough for their events.
    Overdue,
    /// The message of the second attempt is seen at the broker.
    Message,
}

use Notice::{Event, Message, Overdue, Result};

const RECEIVED: Notice = Event(TaskEventKind::Received, Some(0));
const RECEIVED_AGAIN: Notice = Event(TaskEventKind::Received, Some(1));
const STARTED: Notice = Event(TaskEventKind::Started, None);
const RETRIED: Notice = Event(TaskEventKind::Retry, None);
const SUCCEEDED: Notice = Event(TaskEventKind::Succeeded, None);

struct Agent {
    intake: Intake,
    tracker: Tracker,
    start: Instant,
}

impl Agent {
    fn new() -> Self {
        Self { intake: Intake::new(HOLD, Timestamp(0)), tracker: Tracker::new(), start: Instant::now() }
    }

    fn notice(&mut self, notice: Notice, worker: &str, ts: Timestamp) -> Vec<Observation> {
        let workers = Workers::default();
        match notice {
            Event(kind, retries) => {
                let worker = Some(worker.to_owned());
                let seen = TaskObservation { kind, task_id: "t".into(), worker, retries, ..TaskObservation::default() };
                let event = TaskEvent { ts, seen, args_repr: None, kwargs_repr: None };
                self.intake.event(event, &mut self.tracker, &workers).into_iter().collect()
            }
            Result(status) => {
                let result = json!({"exc_type": "Busy", "exc_message": []});
                let meta = json!({"status": status, "result": result, "task_id": "t", "date_done": ts.to_string()});
                let meta = Meta::parse(meta.to_string().as_bytes()).expect("a result");
                self.intake.result(meta, 100, self.start);
                Vec::new()
            }
            Overdue => {
                let overdue = self.intake.overdue(self.start + HOLD);
                let (intake, tracker) = (&mut self.intake, &mut self.tracker);
                overdue.iter().filter_map(|meta| intake.alone(meta, ts, tracker, &workers)).collect()
            }
            Message => {
                let message = message();
                let is_new = self.tracker.waiting(&message, "q");
                is_new.then(|| task(ts, message.sent("q"))).into_iter().collect()
            }
        }
    }
}

fn message() -> TaskMessage {
    let new = NewTask {
        id: "t".into(),
        name: "n".into(),
        body: Body::Read(Payload::default()),
        headers: serde_json::Map::from_iter([("retries".to_owned(), 1.into())]),
        root_id: "t".into(),
        parent_id: None,
        queue: "q".into(),
        priority: None,
        eta: None,
        expires: None,
    };
    let mut message = new.outgoing().expect("a message").message;
    message.headers.insert("retries".into(), 1.into());
    message
}

/// What becomes of the record when agents are killed before some of the notices, and the next ones each miss a few.
fn told(notices: &[Notice], workers: [&str; 2], kills: &[(usize, usize)]) -> TaskRecord {
    let (mut agent, mut record, mut deaf) = (Agent::new(), TaskRecord::default(), 0);
    let again = notices.iter().rposition(|notice| *notice == STARTED).unwrap_or_default();
    let received_again = notices.iter().position(|notice| *notice == RECEIVED_AGAIN).unwrap_or(again);
    for (place, notice) in notices.iter().enumerate() {
        for (_, missed) in kills.iter().filter(|(at, _)| *at == place) {
            (agent, deaf) = (Agent::new(), *missed);
        }
        if deaf > 0 {
            deaf -= 1;
            continue;
        }
        let is_second = *notice != RETRIED && (place >= again || place == received_again);
        let ts = Timestamp(1_795_000_000_000_000 + 1_000_000 * place as i64);
        for observation in agent.notice(*notice, workers[usize::from(is_second)], ts) {
            let Subject::Task(seen) = observation.subject else { panic!("no task") };
            let (attempt, worker) = (seen.retries, seen.worker.as_deref());
            record.apply("t", &Told { kind: seen.kind, ts: observation.ts, attempt, worker, ..Told::default() });
            let number = record.task().current().number;
            assert!(
                number <= 1,
                "attempt {number} at {place} of {notices:?} by {workers:?}, kills {kills:?}: {record:?}"
            );
        }
    }
    record
}

/// The ways a life may look from outside.
fn lives() -> Vec<Vec<Notice>> {
    let (retry, done) = (Result("RETRY"), Result("SUCCESS"));
    let orders = [
        vec![RECEIVED, STARTED, retry, RETRIED, RECEIVED_AGAIN, STARTED, done, SUCCEEDED],
        // The next attempt is often received before the worker tells that the last one is to be retried.
        vec![RECEIVED, STARTED, retry, RECEIVED_AGAIN, RETRIED, STARTED, done, SUCCEEDED],
    ];
    let mut lives = Vec::new();
    for order in orders {
        let until = order.iter().rposition(|notice| *notice == STARTED).unwrap_or_default();
        lives.push(order.clone());
        for at in 3..=until {
            for extra in [Message, Overdue] {
                let mut life = order.clone();
                life.insert(at, extra);
                lives.push(life);
            }
        }
    }
    lives
}

#[test]
fn who_misses_nothing_tells_both_attempts() {
    for life in lives() {
        for workers in [["a", "a"], ["a", "b"]] {
            let record = told(&life, workers, &[]);
            let task = record.task();
            let retries = record.marks.iter().filter(|mark| mark.kind == TaskEventKind::Retry).count();
            assert_eq!(
                (task.current().number, task.state, retries),
                (1, TaskState::Succeeded, 1),
                "{life:?}: {record:?}"
            );
        }
    }
}

/// One agent has told of the retry by its result, and the next one will by its event, seconds later: neither can know of the other.
fn is_between_both_tellings(life: &[Notice], at: usize) -> bool {
    let place = |wanted| life.iter().position(|notice| *notice == wanted);
    place(Overdue).zip(place(RETRIED)).is_some_and(|(overdue, retried)| overdue < at && at <= retried)
}

#[test]
fn agents_that_come_and_go_never_tell_of_an_attempt_that_was_not() {
    for life in lives() {
        let kills: Vec<(usize, usize)> =
            (0..life.len()).flat_map(|at| (0..3).map(move |missed| (at, missed))).collect();
        for workers in [["a", "a"], ["a", "b"]] {
            for first in &kills {
                for second in kills.iter().filter(|second| second.0 > first.0) {
                    let both = [*first, *second];
                    if !both.iter().any(|(at, _)| is_between_both_tellings(&life, *at)) {
                        told(&life, workers, &both);
                    }
                }
            }
        }
    }
}
