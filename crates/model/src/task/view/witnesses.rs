//! Two agents see the same task: one within the application, which knows everything, and one beside it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::rollup::{Rollup, contribute};
use crate::time::{MINUTE, SECOND};
use crate::{KnownBy, TaskEvent, TaskEventKind as Kind, TaskRecord, TaskState, Timestamp};

const MS: i64 = 1_000;
const WORKERS: [&str; 2] = ["celery@a", "celery@b"];

fn record<'e>(events: impl IntoIterator<Item = &'e TaskEvent<'static>>) -> TaskRecord {
    let mut record = TaskRecord::default();
    events.into_iter().for_each(|event| record.apply("id", event));
    record
}

/// What the statistics of all time count of a task.
fn counts(record: &TaskRecord) -> [i64; 8] {
    let mut sum = Rollup::default();
    contribute(record, 1, |_, change| change(&mut sum));
    let (runtimes, waits) = (sum.runtime.count(), sum.wait.count());
    [sum.sent, sum.started, sum.succeeded, sum.failed, sum.retried, sum.revoked, runtimes, waits]
}

fn at(kind: Kind, ts: i64, attempt: u32) -> TaskEvent<'static> {
    TaskEvent { kind, ts: Timestamp(ts), attempt: Some(attempt), worker: Some(WORKERS[0]), ..TaskEvent::default() }
}

/// As hooks tell it.
fn inside(event: TaskEvent<'static>) -> TaskEvent<'static> {
    let told =
        TaskEvent { queue: Some("mail"), routing_key: Some("mail"), args: Some(r#"[1,"<email>",{"a":[2]}]"#), ..event };
    match told.kind {
        Kind::Succeeded => TaskEvent { result: Some(r#"{"total":3}"#), runtime_us: Some(12_500), ..told },
        _ => told,
    }
}

/// As Celery's own events tell it, a moment later. Where a task came from is a guess, unless its message was seen.
fn beside(event: &TaskEvent<'static>, after: i64) -> TaskEvent<'static> {
    let is_sent = event.kind == Kind::Sent;
    TaskEvent {
        ts: event.ts.plus(after),
        queue: Some(if is_sent { "mail" } else { "guessed" }),
        routing_key: event.routing_key.filter(|_| is_sent),
        args: (event.kind == Kind::Received).then_some("[1]"),
        result: None,
        runtime_us: None,
        ..event.clone()
    }
}

fn simple() -> Vec<TaskEvent<'static>> {
    let kinds = [(Kind::Sent, 0), (Kind::Received, 5), (Kind::Started, 10), (Kind::Succeeded, 40)];
    kinds.into_iter().map(|(kind, ms)| inside(at(kind, ms * MS, 0))).collect()
}

#[test]
fn one_attempt_that_two_tell_of_counts_once() {
    let one = simple();
    let other: Vec<_> = one.iter().skip(1).map(|event| beside(event, 3 * MS)).collect();
    let both = record(one.iter().chain(&other));
    assert_eq!(counts(&both), counts(&record(&one)));
    let task = both.task();
    assert_eq!((task.state, task.attempts.len(), task.started_twice()), (TaskState::Succeeded, 1, false));
}

#[test]
fn who_knows_more_is_believed_though_another_tells_later() {
    let one = simple();
    let other: Vec<_> = one.iter().map(|event| beside(event, 300 * MS)).collect();
    let both = record(other.iter().chain(&one));
    let task = both.task();
    assert_eq!((task.queue(), both.args.as_deref()), (Some("mail"), one[0].args));
    let end = task.last_end().expect("it has ended");
    assert_eq!((end.result.as_deref(), end.runtime_us), (Some(r#"{"total":3}"#), Some(12_500)));
    // A result that was only found, and tells as much: the event counts.
    let found = TaskEvent { ts: Timestamp(41 * MS), known_by: Some(KnownBy::ResultBackend), ..one[3].clone() };
    let both = record(one.iter().chain([&found]));
    assert_eq!(both.task().last_end().map(|end| (end.ts, end.known_by)), Some((Timestamp(40 * MS), None)));
}

#[test]
fn a_task_that_is_sent_to_another_queue_in_its_next_attempt_is_in_that_one() {
    let mut told = simple();
    told.truncate(3);
    told.push(at(Kind::Retry, 50 * MS, 0));
    told.push(TaskEvent { queue: Some("slow"), ..at(Kind::Received, 60 * MS, 1) });
    assert_eq!(record(&told).task().queue(), Some("slow"));
}

#[test]
fn an_end_that_comes_again_much_later_is_another_end() {
    let one = simple();
    let again = TaskEvent { result: Some("1"), ..at(Kind::Succeeded, 40 * MS + 6 * SECOND, 0) };
    let both = record(one.iter().chain([&again]));
    assert_eq!(both.task().last_end().and_then(|end| end.result.as_deref()), Some("1"));
    let elsewhere = TaskEvent { worker: Some(WORKERS[1]), ts: Timestamp(41 * MS), ..again };
    let both = record(one.iter().chain([&elsewhere]));
    assert_eq!(both.task().last_end().and_then(|end| end.result.as_deref()), Some("1"));
}

#[test]
fn a_look_at_the_worker_is_no_second_delivery_and_moves_no_start() {
    let looked = |kind, seconds| TaskEvent { known_by: Some(KnownBy::Inspection), ..at(kind, seconds * SECOND, 0) };
    let told = [
        at(Kind::Received, SECOND, 0),
        at(Kind::Started, 10 * SECOND, 0),
        looked(Kind::Received, 13),
        looked(Kind::Started, 70),
        at(Kind::Succeeded, 90 * SECOND, 0),
    ];
    let both = record(&told);
    let task = both.task();
    assert_eq!((task.started_twice(), task.current().started_at), (false, Some(Timestamp(10 * SECOND))));
    // Delivered again, it is begun again.
    let again = [at(Kind::Received, 60 * SECOND, 0), at(Kind::Started, 61 * SECOND, 0)];
    assert!(record(told.iter().chain(&again)).task().started_twice());
}

#[test]
fn a_retry_without_a_number_is_the_one_that_another_has_numbered() {
    let told = [
        at(Kind::Started, 10 * MS, 0),
        at(Kind::Received, 48 * MS, 1),
        at(Kind::Retry, 50 * MS, 0),
        at(Kind::Started, 60 * MS, 1),
        TaskEvent { attempt: None, ..at(Kind::Retry, 51 * MS, 0) },
    ];
    let both = record(&told);
    assert_eq!((both.task().state, counts(&both)[4]), (TaskState::Started, 1));
}

/// One attempt as it went.
#[derive(Clone, Copy, Debug)]
struct Run {
    waits: i64,
    runs: i64,
    worker: usize,
    /// The broker delivers it a second time, to this worker, so long after it began.
    again: Option<(usize, i64)>,
    /// The next attempt is received before this one is told to be retried.
    overtaken: bool,
}

prop_compose! {
    fn any_run()(
        waits in 10 * MS..20 * SECOND, runs in 100 * MS..3 * MINUTE, worker in 0..WORKERS.len(),
        again in prop::option::weighted(0.2, (0..WORKERS.len(), 6 * SECOND..MINUTE)), overtaken: bool,
    ) -> Run {
        Run { waits, runs, worker, again, overtaken }
    }
}

/// What hooks tell of a task that goes through these attempts.
fn history(runs: &[Run], end: Kind) -> Vec<TaskEvent<'static>> {
    let mut told = Vec::new();
    let (mut clock, mut received_at) = (SECOND, None);
    for (number, run) in (0_u32..).zip(runs) {
        let on = |kind, ts, worker: usize| TaskEvent { worker: Some(WORKERS[worker]), ..at(kind, ts, number) };
        let is_last = number as usize + 1 == runs.len();
        told.push(TaskEvent { worker: None, ..on(Kind::Sent, clock - 10 * MS, run.worker) });
        let received = received_at.take().unwrap_or(clock);
        told.push(on(Kind::Received, received, run.worker));
        let started = clock + run.waits;
        told.push(on(Kind::Started, started, run.worker));
        let mut ended = started + run.runs;
        if let Some((worker, later)) = run.again.filter(|_| is_last) {
            told.push(on(Kind::Received, started + later, worker));
            told.push(on(Kind::Started, started + later + 50 * MS, worker));
            ended = ended.max(started + later + 100 * MS);
        }
        told.push(on(if is_last { end } else { Kind::Retry }, ended, run.worker));
        // Sent by the worker's child before the parent tells of the retry.
        clock = ended + 30 * MS;
        if run.overtaken && !is_last {
            received_at = Some(ended - 3 * MS);
        }
    }
    told.into_iter().map(inside).collect()
}

/// How the other agent tells of one event.
#[derive(Clone, Copy, Debug)]
struct Told {
    is_missed: bool,
    after: i64,
    is_numbered: bool,
    names_worker: bool,
}

prop_compose! {
    fn any_told()(is_missed in prop::bool::weighted(0.2), after in 0..2 * MS, is_numbered: bool, names_worker: bool) -> Told {
        Told { is_missed, after, is_numbered, names_worker }
    }
}

/// What the other agent tells of the same.
fn second(history: &[TaskEvent<'static>], told: &[Told], looks: &[i64]) -> Vec<TaskEvent<'static>> {
    let mut events: Vec<_> = history
        .iter()
        .zip(told)
        .filter(|(_, told)| !told.is_missed)
        .map(|(event, told)| {
            // Celery tells the number of what was sent and received.
            let is_numbered = told.is_numbered || event.kind.rank() < Kind::Started.rank();
            let worker = event.worker.filter(|_| told.names_worker);
            let attempt = event.attempt.filter(|_| is_numbered);
            TaskEvent { attempt, worker, ..beside(event, told.after) }
        })
        .collect();
    // It asks the worker at some time while an attempt runs.
    for (start, end) in history.iter().zip(&history[1..]).filter(|(event, _)| event.kind == Kind::Started) {
        let while_it_runs = looks.iter().map(|look| start.ts.plus(*look)).filter(|at| *at < end.ts);
        events.extend(while_it_runs.flat_map(|ts| {
            [Kind::Received, Kind::Started].map(|kind| TaskEvent {
                kind,
                known_by: Some(KnownBy::Inspection),
                ..TaskEvent { ts, ..beside(start, 0) }
            })
        }));
    }
    events
}

proptest! {
    /// However it arrives, what two agents tell of one task is what the one that knows everything tells.
    #[test]
    fn two_witnesses_make_one_history(
        runs in prop::collection::vec(any_run(), 1..4),
        end in prop::sample::select(vec![Kind::Succeeded, Kind::Failed]),
        told in prop::collection::vec(any_told(), 24),
        looks in prop::collection::vec(0..2 * MINUTE, 0..3),
        order in prop::collection::vec(any::<Index>(), 0..60),
    ) {
        let history = history(&runs, end);
        let mut both = history.clone();
        both.extend(second(&history, &told, &looks));
        for (place, index) in order.iter().enumerate() {
            let len = both.len();
            both.swap(place % len, index.index(len));
        }
        let (alone, folded) = (record(&history), record(&both));
        let (alone_task, task) = (alone.task(), folded.task());
        prop_assert_eq!(task.state, alone_task.state);
        prop_assert_eq!(counts(&folded), counts(&alone));
        let outline = |task: &super::Task<'_>| -> BTreeMap<u32, (TaskState, usize, Option<Kind>, Option<Timestamp>)> {
            let attempts = task.attempts.iter();
            attempts.map(|a| (a.number, (a.state, a.starts.count(), a.end.map(|end| end.kind), a.started_at))).collect()
        };
        prop_assert_eq!(outline(&task), outline(&alone_task));
        prop_assert_eq!((task.queue(), &folded.args), (Some("mail"), &alone.args));
        prop_assert_eq!(task.last_end().map(|end| &end.result), alone_task.last_end().map(|end| &end.result));
    }
}
