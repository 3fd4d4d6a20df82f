//! Brings events and results together, without I/O: what arrives and the time are arguments, observations come out.
//!
//! Celery publishes a task's result just before the worker's event about it arrives. A result therefore waits a moment
//! for its event, to enrich it; when none comes (events off, or lost), the result is told by itself.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use serde_json::Value;
use taskplane_agent::engine::{Observation, Subject, TaskObservation, WorkerObservation};
use taskplane_model::time::SECOND;
use taskplane_model::{TaskEventKind, Timestamp};

use crate::{
    ENGINE,
    events::TaskEvent,
    message::Payload,
    payloads::Record,
    python_literal::{Dialect, read},
    results::Meta,
    tracker::Tracker,
    workers::Workers,
};

/// Most results that wait for their event, and the memory they may take. Beyond either, the oldest wait no longer.
const MAX_HELD: usize = 20_000;
const MAX_HELD_BYTES: usize = 32 << 20;

/// Failures remembered to recognise the results that Celery writes for the rest of their chains, and for how long.
const MAX_FAILURES: usize = 512;
const CHAIN_WINDOW: i64 = 5 * SECOND;

/// A result that waits for its event.
struct Held {
    until: Instant,
    meta: Meta,
    size: usize,
}

/// The results that wait, oldest first.
pub(crate) struct Intake {
    hold: Duration,
    /// Since when what happens is heard.
    began: Timestamp,
    held: HashMap<u64, Held>,
    by_task: HashMap<String, Vec<u64>>,
    order: VecDeque<u64>,
    next: u64,
    bytes: usize,
    /// The latest failures of tasks that ran.
    failures: VecDeque<Failure>,
    /// Failed attempts, to be put into the payload store.
    pub(crate) failed: Vec<Record>,
}

/// Wraps what was seen of a task.
pub(crate) fn task(ts: Timestamp, seen: TaskObservation) -> Observation {
    Observation { engine: ENGINE, ts, subject: Subject::Task(Box::new(seen)) }
}

/// Wraps what was seen of a worker.
pub(crate) fn worker((ts, seen): (Timestamp, WorkerObservation)) -> Observation {
    Observation { engine: ENGINE, ts, subject: Subject::Worker(Box::new(seen)) }
}

impl Intake {
    /// From `began` on it hears what happens.
    pub(crate) fn new(hold: Duration, began: Timestamp) -> Self {
        Self {
            hold,
            began,
            held: HashMap::new(),
            by_task: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            bytes: 0,
            failures: VecDeque::new(),
            failed: Vec::new(),
        }
    }

    /// An event arrived: with its result, if that waits here.
    pub(crate) fn event(&mut self, event: TaskEvent, tracker: &mut Tracker, workers: &Workers) -> Option<Observation> {
        let TaskEvent { ts, mut seen, args_repr, kwargs_repr } = event;
        let meta = self.take(&seen.task_id, seen.kind);
        if let Some(meta) = &meta {
            meta.enrich(&mut seen);
        } else if seen.kind == TaskEventKind::Retry && tracker.is_late_retry(&seen.task_id, ts) {
            return None;
        }
        self.tell(ts, seen, (args_repr, kwargs_repr), meta.as_ref(), tracker, workers)
    }

    /// A result arrived: it waits for its event.
    pub(crate) fn result(&mut self, meta: Meta, size: usize, now: Instant) {
        let number = self.next;
        self.next += 1;
        self.bytes += size;
        self.by_task.entry(meta.task_id.clone()).or_default().push(number);
        self.held.insert(number, Held { until: now + self.hold, meta, size });
        self.order.push_back(number);
    }

    /// Results whose event did not come in time.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<Meta> {
        let mut overdue = Vec::new();
        while let Some(number) = self.order.front().copied() {
            let full = self.held.len() > MAX_HELD || self.bytes > MAX_HELD_BYTES;
            match self.held.get(&number) {
                Some(held) if held.until > now && !full => break,
                Some(_) => overdue.extend(self.remove(number)),
                // Its event came and took it.
                None => {}
            }
            self.order.pop_front();
        }
        overdue
    }

    /// Tells a result by itself.
    pub(crate) fn alone(
        &mut self,
        meta: &Meta,
        now: Timestamp,
        tracker: &mut Tracker,
        workers: &Workers,
    ) -> Option<Observation> {
        let ts = meta.date_done.unwrap_or(now);
        if !tracker.contains(&meta.task_id) && self.is_unstarted_link(meta, ts) {
            return None;
        }
        if let Some(done) = meta.date_done {
            tracker.reopen(&meta.task_id, done);
        }
        let seen = TaskObservation { known_by: Some(meta.known_by), ..meta.seen() };
        let told = self.tell(ts, seen, meta.reprs(), Some(meta), tracker, workers);
        if told.is_some() && meta.kind == TaskEventKind::Retry {
            tracker.next_attempt(&meta.task_id, ts);
        }
        told
    }

    /// True for a result that is no task's end: when a link of a chain fails, Celery writes the same failure as the result of
    /// every later link, though none of them was ever sent. They would look like failures of tasks without a name.
    fn is_unstarted_link(&self, meta: &Meta, ts: Timestamp) -> bool {
        let seen = meta.seen();
        let digest = failure_digest(&seen);
        // An extended result names the worker of a task that ran.
        meta.kind == TaskEventKind::Failed
            && seen.worker.is_none()
            && seen.traceback.is_some()
            && self.failures.iter().any(|failure| failure.digest == digest && failure.may_have_written(ts, self.began))
    }

    fn note_failure(&mut self, at: Timestamp, seen: &TaskObservation, received: Option<Timestamp>) {
        if self.failures.len() >= MAX_FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(Failure { received, at, digest: failure_digest(seen) });
    }

    fn tell(
        &mut self,
        ts: Timestamp,
        mut seen: TaskObservation,
        reprs: (Option<String>, Option<String>),
        meta: Option<&Meta>,
        tracker: &mut Tracker,
        workers: &Workers,
    ) -> Option<Observation> {
        let told_args = reprs.0.is_some() || reprs.1.is_some();
        if told_args {
            fill_arguments(&mut seen, &reprs, tracker);
        }
        if seen.queue.is_none() && seen.kind != TaskEventKind::Sent {
            let known = tracker.get(&seen.task_id).is_some_and(|known| known.queue.is_some());
            let deduced = seen.worker.as_deref().and_then(|worker| workers.only_queue(worker));
            seen.queue = deduced.filter(|_| !known).map(str::to_owned);
        }
        if let Some(known) = tracker.get(&seen.task_id).filter(|_| seen.kind == TaskEventKind::Failed) {
            self.note_failure(ts, &seen, known.received_at());
        }
        let new = tracker.observe(&mut seen, reprs, ts);
        if let Some(name) = seen.name.as_deref().filter(|_| meta.is_some() && seen.kind == TaskEventKind::Succeeded) {
            tracker.saw_result(name);
        }
        if seen.queue.is_none() {
            seen.queue = usual_queue(&seen, tracker, workers);
        }
        if new && matches!(seen.kind, TaskEventKind::Failed | TaskEventKind::Retry) {
            self.remember(ts, &seen, meta, tracker);
        }
        new.then(|| task(ts, seen))
    }

    /// Puts what a later retry needs aside.
    fn remember(&mut self, ts: Timestamp, seen: &TaskObservation, meta: Option<&Meta>, tracker: &Tracker) {
        let Some(known) = tracker.get(&seen.task_id) else { return };
        let extended = meta.and_then(|m| Some(Payload { args: m.args()?, kwargs: m.kwargs()?, ..Payload::default() }));
        let record = Record::of(&seen.task_id, ts, seen.kind == TaskEventKind::Failed, known, extended);
        // The queue may have been deduced, and the deduction is gone when the agent restarts.
        let queue = record.queue.clone().or_else(|| seen.queue.clone());
        self.failed.push(Record { queue, ..record });
    }

    fn take(&mut self, task_id: &str, kind: TaskEventKind) -> Option<Meta> {
        let numbers = self.by_task.get(task_id)?;
        let number = *numbers.iter().find(|n| self.held.get(n).is_some_and(|held| held.meta.kind == kind))?;
        self.remove(number)
    }

    fn remove(&mut self, number: u64) -> Option<Meta> {
        let held = self.held.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(held.size);
        if let Some(numbers) = self.by_task.get_mut(&held.meta.task_id) {
            numbers.retain(|n| *n != number);
            if numbers.is_empty() {
                self.by_task.remove(&held.meta.task_id);
            }
        }
        Some(held.meta)
    }
}

/// A task that ran and failed.
struct Failure {
    /// When a worker received it, by its own clock.
    received: Option<Timestamp>,
    at: Timestamp,
    /// Of exception, message and traceback.
    digest: u64,
}

impl Failure {
    /// True when a result of that time may be of the rest of its chain: Celery writes those when the task ends. Of what was written
    /// before anything was heard nobody can tell, and a failure must not be lost.
    fn may_have_written(&self, ts: Timestamp, began: Timestamp) -> bool {
        let is_older = ts < began || self.received.is_some_and(|received| ts < received);
        (ts.0 - self.at.0).abs() <= CHAIN_WINDOW && !is_older
    }
}

fn failure_digest(seen: &TaskObservation) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&seen.exception, &seen.exception_message, &seen.traceback).hash(&mut hasher);
    hasher.finish()
}

/// The queue in which tasks of this type were seen, if the worker that has this one consumes it.
fn usual_queue(seen: &TaskObservation, tracker: &Tracker, workers: &Workers) -> Option<String> {
    let queue = tracker.routes.queue(seen.name.as_deref()?)?;
    let is_possible = seen.worker.as_deref().is_none_or(|worker| workers.may_take_from(worker, queue));
    is_possible.then(|| queue.to_owned())
}

/// Real arguments, when the message was seen in its queue; else what can be read from the reprs.
fn fill_arguments(seen: &mut TaskObservation, reprs: &(Option<String>, Option<String>), tracker: &Tracker) {
    let payload = tracker.get(&seen.task_id).and_then(|known| known.payload.clone());
    if let Some(payload) = payload {
        seen.args.get_or_insert_with(|| Value::Array(payload.args.clone()));
        seen.kwargs.get_or_insert_with(|| Value::Object(payload.kwargs.clone()));
        return;
    }
    let reading = |repr: &Option<String>| repr.as_deref().map(|repr| read(repr, Dialect::Saferepr).value);
    seen.args = seen.args.take().or_else(|| reading(&reprs.0));
    seen.kwargs = seen.kwargs.take().or_else(|| reading(&reprs.1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::Learned;
    use serde_json::json;

    const BEGAN: i64 = 1_000_500;

    struct World {
        intake: Intake,
        tracker: Tracker,
        workers: Workers,
        start: Instant,
        clock: i64,
    }

    impl World {
        fn new() -> Self {
            let intake = Intake::new(Duration::from_secs(2), Timestamp(BEGAN));
            Self {
                intake,
                tracker: Tracker::new(),
                workers: Workers::default(),
                start: Instant::now(),
                clock: 1_000_000,
            }
        }

        fn tick(&mut self) -> Timestamp {
            self.clock += 1_000;
            Timestamp(self.clock)
        }

        fn event(&mut self, kind: TaskEventKind, change: impl FnOnce(&mut TaskEvent)) -> Option<TaskObservation> {
            let ts = self.tick();
            let seen =
                TaskObservation { kind, task_id: "t".into(), worker: Some("w@h".into()), ..TaskObservation::default() };
            let mut event = TaskEvent { ts, seen, args_repr: None, kwargs_repr: None };
            change(&mut event);
            self.intake.event(event, &mut self.tracker, &self.workers).map(unwrap)
        }

        fn result(&mut self, at: u64, meta: Value) {
            let mut meta = meta;
            meta["task_id"] = json!("t");
            meta["date_done"] = json!(self.tick().to_string());
            let meta = Meta::parse(meta.to_string().as_bytes()).expect("a result");
            self.intake.result(meta, 100, self.start + Duration::from_secs(at));
        }

        fn alone(&mut self, at: u64) -> Vec<TaskObservation> {
            let overdue = self.intake.overdue(self.start + Duration::from_secs(at));
            let now = self.tick();
            overdue
                .iter()
                .filter_map(|meta| self.intake.alone(meta, now, &mut self.tracker, &self.workers))
                .map(unwrap)
                .collect()
        }
    }

    #[test]
    fn a_queue_is_guessed_from_other_tasks_of_the_type_only_where_the_worker_consumes_it() {
        let mut world = World::new();
        let waiting = TaskObservation {
            kind: TaskEventKind::Sent,
            task_id: "other".into(),
            name: Some("a".into()),
            ..TaskObservation::default()
        };
        let mut waiting = TaskObservation { queue: Some("left alone".into()), ..waiting };
        world.tracker.observe(&mut waiting, (None, None), Timestamp(1));
        let consume = |world: &mut World, queues: &[&str]| {
            let queues = Some(queues.iter().map(|&queue| queue.to_owned()).collect());
            world.workers.learn("w@h", Learned { queues, ..Learned::default() }, Timestamp(1), world.start);
        };
        let queue_of =
            |world: &mut World, kind| world.event(kind, |e| e.seen.name = Some("a".into())).and_then(|seen| seen.queue);
        consume(&mut world, &["x", "y"]);
        assert_eq!(queue_of(&mut world, TaskEventKind::Received), None);
        consume(&mut world, &["x", "left alone"]);
        assert_eq!(queue_of(&mut world, TaskEventKind::Started).as_deref(), Some("left alone"));
    }

    fn unwrap(observation: Observation) -> TaskObservation {
        match observation.subject {
            Subject::Task(task) => *task,
            other => panic!("no task: {other:?}"),
        }
    }

    #[test]
    fn an_event_takes_along_the_result_that_came_before_it() {
        let mut world = World::new();
        world.event(TaskEventKind::Received, |e| e.args_repr = Some("(1, 'a')".into()));
        world.result(0, json!({"status": "SUCCESS", "result": {"total": 3}, "group_id": "g"}));
        let told =
            world.event(TaskEventKind::Succeeded, |e| e.seen.result = Some(json!("{'total': 3}"))).expect("told");
        assert_eq!((told.result, told.group_id.as_deref()), (Some(json!({"total": 3})), Some("g")));
        assert_eq!(world.alone(100), [], "the result is not told a second time");
    }

    #[test]
    fn a_result_whose_event_never_comes_is_told_by_itself() {
        let mut world = World::new();
        world.result(0, json!({"status": "FAILURE", "result": {"exc_type": "Declined", "exc_message": ["no"]}}));
        assert_eq!(world.alone(1), []);
        let told = world.alone(2);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].kind, told[0].exception.as_deref()), (TaskEventKind::Failed, Some("Declined")));
        assert_eq!(world.event(TaskEventKind::Failed, |_| {}), None, "its late event tells nothing new");
        assert_eq!(world.intake.failed.len(), 1);
    }

    #[test]
    fn events_that_lag_behind_a_told_result_open_nothing() {
        let mut world = World::new();
        world.result(0, json!({"status": "SUCCESS", "result": 1}));
        assert_eq!(world.alone(3).len(), 1);
        world.event(TaskEventKind::Received, |e| (e.ts, e.seen.retries) = (Timestamp(5), Some(0)));
        assert_eq!(world.event(TaskEventKind::Succeeded, |e| e.ts = Timestamp(6)), None);
    }

    #[test]
    fn every_retry_is_told_by_results_alone_when_events_are_off() {
        let mut world = World::new();
        let retry = json!({"status": "RETRY", "result": {"exc_type": "Timeout", "exc_message": []}, "parent_id": "t"});
        world.result(0, retry.clone());
        let first = world.alone(3);
        world.result(4, retry);
        let second = world.alone(7);
        world.result(8, json!({"status": "SUCCESS", "result": null}));
        let third = world.alone(11);
        let kinds: Vec<_> = [&first, &second, &third].iter().map(|told| (told[0].kind, told[0].retries)).collect();
        let (retry, success) = (TaskEventKind::Retry, TaskEventKind::Succeeded);
        assert_eq!(kinds, [(retry, None), (retry, None), (success, None)], "which attempt is not guessed");
        assert_eq!(first[0].parent_id, None, "a retry is not its own parent");
    }

    #[test]
    fn a_task_that_ran_again_under_its_id_is_told_again() {
        let mut world = World::new();
        let failure = json!({"status": "FAILURE", "result": {"exc_type": "E", "exc_message": []}});
        world.result(0, failure.clone());
        assert_eq!(world.alone(3).len(), 1);
        world.result(4, failure);
        assert_eq!(world.alone(7).len(), 1);
    }

    #[test]
    fn a_revocation_is_told_once_though_the_result_is_written_twice() {
        let mut world = World::new();
        let revoked =
            json!({"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["revoked"]}});
        world.result(0, revoked.clone());
        assert_eq!(world.alone(3).len(), 1);
        world.result(4, revoked);
        assert_eq!(world.alone(7), []);
    }

    #[test]
    fn the_rest_of_a_failed_chain_is_not_told_as_failures() {
        let mut world = World::new();
        let failure = json!({"status": "FAILURE", "traceback": "Traceback …\nDeclined: no",
            "result": {"exc_type": "Declined", "exc_message": ["no"]}});
        let link = |id: &str, world: &mut World| {
            let mut meta = failure.clone();
            (meta["task_id"], meta["date_done"]) = (json!(id), json!(world.tick().to_string()));
            let meta = Meta::parse(meta.to_string().as_bytes()).expect("a result");
            world.intake.result(meta, 100, world.start);
        };
        world.event(TaskEventKind::Started, |_| {});
        world.result(0, failure.clone());
        link("later", &mut world);
        let told = world.event(TaskEventKind::Failed, |_| {}).expect("told");
        assert_eq!(told.exception.as_deref(), Some("Declined"));
        assert_eq!(world.alone(3), [], "the later link was never sent, so it did not fail");

        link("another", &mut world);
        world.clock += 2 * CHAIN_WINDOW;
        link("much later", &mut world);
        let told: Vec<_> = world.alone(6).into_iter().map(|seen| seen.task_id).collect();
        assert_eq!(told, ["much later"], "the same failure at another time is one of its own");
    }

    #[test]
    fn what_failed_before_a_task_was_received_is_not_of_its_chain() {
        let mut world = World::new();
        let failure = json!({"status": "FAILURE", "traceback": "Traceback …\nDeclined: no",
            "result": {"exc_type": "Declined", "exc_message": ["no"]}});
        let mut before = failure.clone();
        (before["task_id"], before["date_done"]) = (json!("before"), json!(world.tick().to_string()));
        world.event(TaskEventKind::Received, |_| {});
        world.result(0, failure);
        world.event(TaskEventKind::Failed, |_| {}).expect("told");
        let before = Meta::parse(before.to_string().as_bytes()).expect("a result");
        world.intake.result(before, 100, world.start);
        let told: Vec<_> = world.alone(3).into_iter().map(|seen| seen.task_id).collect();
        assert_eq!(told, ["before"]);
    }

    #[test]
    fn what_failed_before_anything_was_heard_is_not_of_a_later_chain() {
        let mut world = World::new();
        let failure = json!({"status": "FAILURE", "traceback": "Traceback …\nDeclined: no",
            "result": {"exc_type": "Declined", "exc_message": ["no"]}});
        world.event(TaskEventKind::Started, |_| {});
        world.result(0, failure.clone());
        world.event(TaskEventKind::Failed, |_| {}).expect("told");
        let mut before = failure;
        (before["task_id"], before["date_done"]) = (json!("before"), json!(Timestamp(BEGAN - 1).to_string()));
        let before = Meta::parse(before.to_string().as_bytes()).expect("a result");
        world.intake.result(before, 100, world.start);
        let told: Vec<_> = world.alone(3).into_iter().map(|seen| seen.task_id).collect();
        assert_eq!(told, ["before"]);
    }

    #[test]
    fn results_wait_in_bounded_memory() {
        let mut world = World::new();
        for i in 0..MAX_HELD + 10 {
            let meta = json!({"status": "SUCCESS", "result": 1, "task_id": format!("t{i}")});
            world.intake.result(Meta::parse(meta.to_string().as_bytes()).expect("a result"), 100, world.start);
        }
        assert_eq!(world.intake.overdue(world.start).len(), 10);
        assert_eq!(world.intake.overdue(world.start + Duration::from_secs(9)).len(), MAX_HELD);
        assert_eq!((world.intake.bytes, world.intake.by_task.len(), world.intake.order.len()), (0, 0, 0));
    }
}
