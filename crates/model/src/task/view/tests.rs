use proptest::prelude::*;

use super::Mark;
use crate::{KnownBy, TaskEvent, TaskEventKind as Kind, TaskRecord, TaskState, Timestamp};

fn event(kind: Kind, ts: i64, attempt: Option<u32>) -> TaskEvent<'static> {
    TaskEvent { kind, ts: Timestamp(ts), attempt, ..TaskEvent::default() }
}

fn record(events: &[TaskEvent<'_>]) -> TaskRecord {
    let mut record = TaskRecord::default();
    for event in events {
        record.apply("id", event);
    }
    record
}

fn state(events: &[TaskEvent<'_>]) -> TaskState {
    record(events).task().state
}

#[test]
fn a_task_of_which_nothing_is_known_is_pending() {
    assert_eq!(TaskRecord::default().task().state, TaskState::Pending);
}

#[test]
fn a_late_started_does_not_undo_success() {
    assert_eq!(state(&[event(Kind::Succeeded, 30, Some(0)), event(Kind::Started, 40, Some(0))]), TaskState::Succeeded);
}

#[test]
fn of_two_ends_the_later_counts() {
    assert_eq!(state(&[event(Kind::Succeeded, 30, Some(0)), event(Kind::Revoked, 20, Some(0))]), TaskState::Succeeded);
    assert_eq!(state(&[event(Kind::Succeeded, 30, Some(0)), event(Kind::Revoked, 40, Some(0))]), TaskState::Revoked);
}

#[test]
fn a_later_attempt_counts_more_than_an_earlier_end() {
    let events = [event(Kind::Failed, 90, Some(0)), event(Kind::Started, 50, Some(1))];
    assert_eq!(state(&events), TaskState::Started);
}

#[test]
fn between_attempts_a_task_is_waiting_for_retry() {
    let retried = [event(Kind::Started, 1, Some(0)), event(Kind::Retry, 2, Some(0))];
    assert_eq!(state(&retried), TaskState::Retrying);
    let received_again = [retried.to_vec(), vec![event(Kind::Received, 3, Some(1))]].concat();
    assert_eq!(state(&received_again), TaskState::Retrying);
}

#[test]
fn attempts_are_inferred_where_the_observer_does_not_number_them() {
    let events = [
        event(Kind::Received, 1, None),
        event(Kind::Started, 2, None),
        event(Kind::Retry, 3, None),
        event(Kind::Received, 4, None),
        event(Kind::Started, 5, None),
        event(Kind::Succeeded, 6, None),
    ];
    let record = record(&events);
    let task = record.task();
    assert_eq!(task.state, TaskState::Succeeded);
    assert_eq!(task.attempts.len(), 2);
    assert_eq!(task.current().number, 1);
    assert_eq!(task.current().started_at, Some(Timestamp(5)));
}

#[test]
fn attempts_known_only_from_received_carry_the_rest() {
    let events = [
        event(Kind::Received, 1, Some(0)),
        event(Kind::Started, 2, None),
        event(Kind::Retry, 3, None),
        event(Kind::Received, 4, Some(1)),
        event(Kind::Started, 5, None),
        event(Kind::Failed, 6, None),
    ];
    let record = record(&events);
    let task = record.task();
    assert_eq!((task.state, task.current().number), (TaskState::Failed, 1));
    assert_eq!(task.attempts[0].state, TaskState::Retrying);
}

#[test]
fn a_requeued_rejection_ends_nothing() {
    let requeued = TaskEvent { requeue: true, ..event(Kind::Rejected, 2, Some(0)) };
    assert_eq!(state(&[event(Kind::Received, 1, Some(0)), requeued]), TaskState::Received);
}

#[test]
fn a_lost_task_that_is_heard_of_later_is_not_lost() {
    let ran = [event(Kind::Received, 1, Some(0)), event(Kind::Started, 2, Some(0)), event(Kind::Lost, 30, Some(0))];
    assert_eq!(state(&ran), TaskState::Lost);
    let with = |kind, ts| state(&[ran.to_vec(), vec![event(kind, ts, Some(0))]].concat());
    // A second observer of what was known before.
    assert_eq!([with(Kind::Started, 3), with(Kind::Received, 30)], [TaskState::Lost; 2]);
    // It was delivered again.
    assert_eq!([with(Kind::Received, 31), with(Kind::Started, 31)], [TaskState::Started; 2]);
    assert_eq!([with(Kind::Progress, 29), with(Kind::Progress, 31)], [TaskState::Lost, TaskState::Started]);
    assert_eq!([with(Kind::Succeeded, 20), with(Kind::Retry, 40)], [TaskState::Succeeded, TaskState::Retrying]);
    assert_eq!(state(&[ran.to_vec(), vec![event(Kind::Received, 31, Some(1))]].concat()), TaskState::Retrying);
}

#[test]
fn a_task_that_lives_is_with_the_worker_that_has_it_now() {
    let on = |kind, ts, worker| TaskEvent { worker: Some(worker), ..event(kind, ts, Some(0)) };
    let lost = [on(Kind::Started, 2, "a"), on(Kind::Lost, 30, "a")];
    let found = record(&lost);
    let task = found.task();
    assert_eq!((task.worker(), task.lost().map(|mark| mark.ts)), (Some("a"), Some(Timestamp(30))));
    assert_eq!(task.current().runtime_us(), None);
    let found = record(&[&lost[..], &[on(Kind::Started, 40, "b")]].concat());
    let task = found.task();
    assert_eq!((task.worker(), task.lost(), task.started_twice()), (Some("b"), None, true));
}

#[test]
fn waiting_for_an_eta_is_not_counted_as_waiting() {
    let sent = TaskEvent { eta: Some(Timestamp(1_000)), ..event(Kind::Sent, 10, Some(0)) };
    let record = record(&[sent, event(Kind::Started, 1_500, Some(0))]);
    assert_eq!(record.task().wait_us(), Some(500));
}

#[test]
fn the_longer_arguments_tell_more() {
    let cut = TaskEvent { args: Some("[1]"), ..event(Kind::Received, 9, Some(0)) };
    let whole = TaskEvent { args: Some("[1, \"<email>\"]"), ..event(Kind::Sent, 1, Some(0)) };
    assert_eq!(record(&[whole, cut]).args.as_deref(), Some("[1, \"<email>\"]"));
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Sent,
        Kind::Received,
        Kind::Started,
        Kind::Progress,
        Kind::Retry,
        Kind::Rejected,
        Kind::Lost,
        Kind::Revoked,
        Kind::Failed,
        Kind::Succeeded,
    ])
}

fn any_text() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(vec!["a", "b", "id", "longer"]))
}

#[test]
fn what_is_told_in_two_ways_is_one_mark_known_by_the_better_one() {
    let told = |known_by| TaskEvent { known_by, ..event(Kind::Succeeded, 9, Some(0)) };
    let (own, stored, channel) = (None, Some(KnownBy::ResultBackend), Some(KnownBy::ResultChannel));
    for (one, other, best) in [(own, stored, own), (stored, own, own), (stored, channel, channel)] {
        let marks = record(&[told(one), told(other)]).marks;
        assert_eq!((marks.len(), marks[0].known_by), (1, best));
    }
}

prop_compose! {
    fn any_event()(
        kind in any_kind(), ts in 0i64..20, attempt in prop::option::of(0u32..3), name in any_text(), args in any_text(),
        queue in any_text(), worker in any_text(), root_id in any_text(), exception in any_text(),
        eta in prop::option::of(0i64..20), runtime_us in prop::option::of(0u64..5), requeue: bool,
        done in prop::option::of(0.0f64..9.0), known_by in prop::option::of(prop::sample::select(KnownBy::ALL.to_vec())),
    ) -> TaskEvent<'static> {
        TaskEvent {
            kind, ts: Timestamp(ts), attempt, name, args, queue, worker, root_id, parent_id: root_id, exception,
            eta: eta.map(Timestamp), runtime_us, requeue, done, known_by, ..TaskEvent::default()
        }
    }
}

proptest! {
    /// The property everything rests on: shuffled, split into batches that are folded apart, and duplicated, the same
    /// events make the same task.
    #[test]
    fn fold_is_order_free(
        events in prop::collection::vec(any_event(), 0..180),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..400),
        cut in any::<prop::sample::Index>(),
    ) {
        let straight = record(&events);

        let mut shuffled = events.clone();
        for (i, index) in order.iter().enumerate().filter(|_| !events.is_empty()) {
            shuffled.push(events[index.index(events.len())].clone());
            let len = shuffled.len();
            shuffled.swap(i % len, index.index(len));
        }
        let (left, right) = shuffled.split_at(cut.index(shuffled.len() + 1));
        let mut folded = record(right);
        folded.merge(record(left));
        folded.merge(record(right));

        prop_assert_eq!(folded.task().state, straight.task().state);
        prop_assert_eq!(folded.task().started_twice(), straight.task().started_twice());
        prop_assert_eq!(folded, straight);
    }

    /// Whatever else is known, and however it came: a task that was received or begun again after it was called lost is not lost,
    /// and one of which nothing later is known is, unless it has ended.
    #[test]
    fn only_what_is_not_heard_of_again_is_lost(
        events in prop::collection::vec(any_event(), 0..20), lost_at in 0i64..20, again in prop::option::of(0i64..30),
    ) {
        let number = record(&events).task().current().number;
        let mut told = vec![event(Kind::Lost, lost_at, Some(number))];
        told.extend(again.map(|ts| event(Kind::Started, ts, Some(number))));
        told.extend(events);
        let folded = record(&told);
        let task = folded.task();
        let last_lost = folded.marks.iter().filter(|mark| mark.kind == Kind::Lost).map(|mark| mark.ts).max();
        let is_sign = |mark: &&Mark| matches!(mark.kind, Kind::Received | Kind::Started) && mark.attempt == Some(number);
        let last_sign = folded.marks.iter().filter(is_sign).map(|mark| mark.ts).max();
        if task.current().number == number && last_sign > last_lost {
            prop_assert_ne!(task.state, TaskState::Lost);
        }
        if let Some(lost) = task.lost() {
            prop_assert!(again.is_none_or(|ts| task.current().number != number || ts <= lost.ts.0));
        }
    }
}
