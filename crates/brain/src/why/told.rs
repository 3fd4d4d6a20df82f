//! How what is recorded of a task is known: by its events or, where those are off, in another way.

use taskplane_model::task::Mark;
use taskplane_model::{KnownBy, Task, TaskEventKind as Kind, TaskState, Timestamp};

use crate::api::types::WhyKnownBy;

/// How the state of a task is known.
pub(super) fn state_known_by(task: &Task<'_>) -> WhyKnownBy {
    let current = task.current();
    let is_held = current.received_at.is_some() && current.end.is_none();
    match task.state {
        TaskState::Pending => since(task, Kind::Sent, current.sent_at),
        TaskState::Received => since(task, Kind::Received, current.received_at),
        TaskState::Retrying if is_held => since(task, Kind::Received, current.received_at),
        TaskState::Started => since(task, Kind::Started, current.started_at),
        _ => task.last_end().and_then(|end| end.known_by).into(),
    }
}

/// How the earliest time to run is known: as what told of it last.
pub(super) fn eta_known_by(task: &Task<'_>) -> WhyKnownBy {
    let told_at = task.record.eta.as_ref().map(|eta| eta.ts);
    best(task, |mark| Some(mark.ts) == told_at)
}

/// How anything is known of a task.
pub(super) fn known_by(task: &Task<'_>) -> WhyKnownBy {
    best(task, |_| true)
}

/// How it is known what happened to the latest attempt: earlier ones had it before.
fn since(task: &Task<'_>, kind: Kind, at: Option<Timestamp>) -> WhyKnownBy {
    best(task, |mark| mark.kind == kind && at.is_some_and(|at| mark.ts >= at))
}

/// Of what is known in several ways, an event of the engine's own counts.
fn best(task: &Task<'_>, is_meant: impl Fn(&Mark) -> bool) -> WhyKnownBy {
    let known: Option<Option<KnownBy>> =
        task.record.marks.iter().filter(|mark| is_meant(mark)).map(|mark| mark.known_by).min();
    known.flatten().into()
}

#[cfg(test)]
mod tests {
    use taskplane_model::time::SECOND;
    use taskplane_model::{TaskEvent, TaskRecord};

    use super::*;

    fn record(events: &[TaskEvent<'_>]) -> TaskRecord {
        let mut record = TaskRecord::default();
        for event in events {
            record.apply("t", event);
        }
        record
    }

    fn event(kind: Kind, second: i64, known_by: Option<KnownBy>) -> TaskEvent<'static> {
        TaskEvent { kind, ts: Timestamp(second * SECOND), known_by, ..TaskEvent::default() }
    }

    #[test]
    fn a_state_is_known_as_what_told_it() {
        let (asked, stored) = (Some(KnownBy::Inspection), Some(KnownBy::ResultBackend));
        let cases = [
            (vec![event(Kind::Sent, 1, None)], WhyKnownBy::TaskEvents),
            (vec![event(Kind::Received, 2, asked)], WhyKnownBy::Inspection),
            (vec![event(Kind::Sent, 1, None), event(Kind::Started, 2, asked)], WhyKnownBy::Inspection),
            (vec![event(Kind::Started, 2, asked), event(Kind::Started, 3, None)], WhyKnownBy::TaskEvents),
            (vec![event(Kind::Started, 2, None), event(Kind::Retry, 3, stored)], WhyKnownBy::ResultBackend),
            (vec![event(Kind::Started, 2, asked), event(Kind::Failed, 3, stored)], WhyKnownBy::ResultBackend),
        ];
        for (events, known_by) in cases {
            assert_eq!(state_known_by(&record(&events).task()), known_by, "{events:?}");
        }
    }

    #[test]
    fn what_told_of_an_earlier_attempt_does_not_count() {
        let asked = Some(KnownBy::Inspection);
        let run = |attempt: u32, second: i64, known_by| TaskEvent {
            attempt: Some(attempt),
            ..event(Kind::Started, second, known_by)
        };
        let record = record(&[run(0, 1, None), event(Kind::Retry, 2, None), run(1, 3, asked)]);
        assert_eq!(state_known_by(&record.task()), WhyKnownBy::Inspection);
        assert_eq!(known_by(&record.task()), WhyKnownBy::TaskEvents);
    }

    #[test]
    fn an_eta_is_known_as_what_told_of_it() {
        let eta = |second, known_by| TaskEvent {
            eta: Some(Timestamp(99 * SECOND)),
            ..event(Kind::Received, second, known_by)
        };
        let asked = record(&[event(Kind::Sent, 1, None), eta(2, Some(KnownBy::Inspection))]);
        assert_eq!(eta_known_by(&asked.task()), WhyKnownBy::Inspection);
        assert_eq!(eta_known_by(&record(&[eta(2, None)]).task()), WhyKnownBy::TaskEvents);
    }
}
