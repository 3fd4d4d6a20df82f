use proptest::prelude::*;

use crate::{TaskEvent, TaskEventKind as Kind, TaskRecord, TaskState, Timestamp};

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

prop_compose! {
    fn any_event()(
        kind in any_kind(), ts in 0i64..20, attempt in prop::option::of(0u32..3), name in any_text(), args in any_text(),
        queue in any_text(), worker in any_text(), root_id in any_text(), exception in any_text(),
        eta in prop::option::of(0i64..20), runtime_us in prop::option::of(0u64..5), requeue: bool,
        done in prop::option::of(0.0f64..9.0),
    ) -> TaskEvent<'static> {
        TaskEvent {
            kind, ts: Timestamp(ts), attempt, name, args, queue, worker, root_id, parent_id: root_id, exception,
            eta: eta.map(Timestamp), runtime_us, requeue, done, ..TaskEvent::default()
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
        prop_assert_eq!(folded, straight);
    }
}
