//! One task with its attempts and what happened to it.

use serde::Serialize;
use serde_json::Value;
use taskplane_model::stuck::evidence_clauses;
use taskplane_model::task::Mark;
use taskplane_model::{self as model, TaskEventKind, Timestamp};
use taskplane_store::tasks::StoredTask;
use utoipa::ToSchema;

use super::task::{Task, TaskState};
use super::{json_value, ms};

/// One time that an attempt was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Start {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// On which worker.
    pub worker: Option<String>,
}

impl From<&model::task::Start<'_>> for Start {
    fn from(start: &model::task::Start<'_>) -> Self {
        Self { at: start.at, worker: start.worker.map(str::to_owned) }
    }
}

/// Why a task counts as lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Lost {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The worker that had it.
    pub worker: Option<String>,
    /// What was looked at and what that showed, a clause each.
    pub evidence: Vec<String>,
}

impl From<&Mark> for Lost {
    fn from(mark: &Mark) -> Self {
        let evidence = mark.exception_message.as_deref().map(evidence_clauses).unwrap_or_default();
        Self { at: mark.ts, worker: mark.worker.clone(), evidence }
    }
}

/// One run of a task, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Attempt {
    /// 0 for the first.
    pub attempt: u32,
    /// Where this attempt is, or how it ended.
    pub state: TaskState,
    /// Worker that held it.
    pub worker: Option<String>,
    /// When it was published.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Timestamp>,
    /// When a worker took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub received_at: Option<Timestamp>,
    /// When it began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// Every time that it began, ascending: more than one when its message was delivered again.
    pub starts: Vec<Start>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// From published (or its eta) to begun, in milliseconds.
    pub wait_ms: Option<f64>,
    /// From begun to ended, in milliseconds.
    pub runtime_ms: Option<f64>,
    /// Type of the exception.
    pub exception: Option<String>,
    /// Message of the exception.
    pub exception_message: Option<String>,
    /// Traceback of the exception.
    pub traceback: Option<String>,
    /// Result.
    pub result_redacted: Option<Value>,
}

impl Attempt {
    fn new(attempt: &model::task::Attempt<'_>, eta: Option<Timestamp>) -> Self {
        let end = attempt.end;
        // A lost attempt ended in no exception.
        let error = end.filter(|end| end.kind != TaskEventKind::Lost);
        Self {
            attempt: attempt.number,
            state: attempt.state.into(),
            worker: attempt.worker.map(str::to_owned),
            sent_at: attempt.sent_at,
            received_at: attempt.received_at,
            started_at: attempt.started_at,
            starts: attempt.starts.iter().map(Start::from).collect(),
            finished_at: end.map(|end| end.ts),
            wait_ms: attempt.wait_us(eta).map(ms),
            runtime_ms: attempt.runtime_us().map(ms),
            exception: error.and_then(|end| end.exception.clone()),
            exception_message: error.and_then(|end| end.exception_message.clone()),
            traceback: error.and_then(|end| end.traceback.clone()),
            result_redacted: end.and_then(|end| end.result.as_deref()).map(json_value),
        }
    }
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub ts: Timestamp,
    /// What, such as `task_sent`.
    pub event: String,
    /// On which attempt, where that is known.
    pub attempt: Option<u32>,
    /// On which worker.
    pub worker: Option<String>,
    /// More, in words.
    pub detail: Option<String>,
    /// How it is known, if no event of the engine's own told it: `result_channel`, `result_backend` or `inspection`.
    pub known_by: Option<String>,
}

impl From<&Mark> for TimelineEntry {
    fn from(mark: &Mark) -> Self {
        Self {
            ts: mark.ts,
            event: mark.kind.wire_name().to_owned(),
            attempt: mark.attempt,
            worker: mark.worker.clone(),
            detail: detail(mark),
            known_by: mark.known_by.map(|known_by| known_by.wire_name().to_owned()),
        }
    }
}

/// A task with its attempts and what happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TaskDetail {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// Its attempts, ascending.
    pub attempts: Vec<Attempt>,
    /// What happened to it, ascending.
    pub timeline: Vec<TimelineEntry>,
    /// Why it counts as lost, if it does.
    pub lost: Option<Lost>,
}

impl From<&StoredTask> for TaskDetail {
    fn from(stored: &StoredTask) -> Self {
        let record = &stored.record;
        let task = record.task();
        let lost = task.lost().map(Lost::from);
        let attempts = task.attempts;
        let eta_of = |number| record.eta.as_ref().filter(|eta| eta.attempt == number).map(|eta| eta.value);
        Self {
            task: Task::from(stored),
            attempts: attempts.iter().map(|attempt| Attempt::new(attempt, eta_of(attempt.number))).collect(),
            timeline: timeline(stored),
            lost,
        }
    }
}

/// What happened to a task, by time; of what happened at the same time, what comes earlier in a task's life is first.
pub(in crate::api) fn timeline(stored: &StoredTask) -> Vec<TimelineEntry> {
    let record = &stored.record;
    let mut entries: Vec<TimelineEntry> = record.timeline().into_iter().map(TimelineEntry::from).collect();
    if let Some(progress) = &record.progress {
        let entry = TimelineEntry {
            ts: progress.ts,
            event: TaskEventKind::Progress.wire_name().to_owned(),
            attempt: Some(progress.attempt),
            worker: None,
            detail: progress.value.note.clone(),
            known_by: None,
        };
        let at = entries.partition_point(|other| other.ts <= entry.ts);
        entries.insert(at, entry);
    }
    entries
}

fn detail(mark: &Mark) -> Option<String> {
    let exception = match (&mark.exception, &mark.exception_message) {
        (Some(name), Some(message)) if !message.is_empty() => Some(format!("{name}: {message}")),
        (Some(only), _) | (None, Some(only)) => Some(only.clone()),
        (None, None) => None,
    };
    match mark.kind {
        TaskEventKind::Revoked if mark.expired => Some("expired".to_owned()),
        TaskEventKind::Revoked if mark.terminated => Some(
            mark.signal.as_ref().map_or_else(|| "terminated".to_owned(), |signal| format!("terminated by {signal}")),
        ),
        TaskEventKind::Rejected if mark.requeue => Some("went back to the queue".to_owned()),
        _ => exception,
    }
}

#[cfg(test)]
mod tests {
    use taskplane_model::{TaskEvent, TaskRecord};

    use super::*;

    fn event(kind: TaskEventKind, attempt: u32, ts: i64) -> TaskEvent<'static> {
        TaskEvent { kind, ts: Timestamp(ts), attempt: Some(attempt), ..TaskEvent::default() }
    }

    fn stored(record: TaskRecord) -> StoredTask {
        let (engine, task_id) = ("celery".into(), "t1".into());
        StoredTask { key: 1, first_seen: Timestamp(5), engine, task_id, agent: None, record }
    }

    #[test]
    fn a_retrying_task_shows_what_it_failed_with_and_is_not_finished() {
        let mut record = TaskRecord::default();
        record.apply("t1", &event(TaskEventKind::Sent, 0, 10_000));
        record.apply("t1", &event(TaskEventKind::Started, 0, 12_000));
        let exception = (Some("ConnectionError"), Some("reset"));
        let retry = event(TaskEventKind::Retry, 0, 20_500);
        record.apply("t1", &TaskEvent { exception: exception.0, exception_message: exception.1, ..retry });
        let detail = TaskDetail::from(&stored(record));
        assert_eq!((detail.task.state, detail.task.exception.as_deref()), (TaskState::Retrying, exception.0));
        assert_eq!(
            (detail.task.finished_at, detail.task.runtime_ms, detail.task.wait_ms),
            (None, Some(8.5), Some(2.0))
        );
        assert_eq!(detail.timeline[2].detail.as_deref(), Some("ConnectionError: reset"));
    }

    #[test]
    fn a_lost_task_says_why_and_has_no_exception() {
        let mut record = TaskRecord::default();
        record.apply("t1", &TaskEvent { worker: Some("w1@h"), ..event(TaskEventKind::Started, 0, 12_000) });
        let exception_message = Some("no result is stored; the worker w1@h, which had it, is gone".to_owned());
        let (kind, ts) = (TaskEventKind::Lost, Timestamp(99_000));
        record.marks.push(Mark { attempt: Some(0), kind, ts, exception_message, ..Mark::default() });
        let detail = TaskDetail::from(&stored(record.clone()));
        let lost = detail.lost.expect("is lost");
        assert_eq!((lost.at, lost.evidence.len(), lost.evidence[0].as_str()), (ts, 2, "no result is stored"));
        let Task { state, exception_message, runtime_ms, finished_at, started_twice, .. } = detail.task;
        assert_eq!((state, exception_message, runtime_ms), (TaskState::Lost, None, None));
        assert_eq!(
            (finished_at, detail.attempts[0].exception_message.as_deref(), started_twice),
            (Some(ts), None, false)
        );
        assert!(detail.timeline[1].detail.as_deref().is_some_and(|why| why.ends_with("is gone")));

        // Another worker got it after all.
        record.apply("t1", &TaskEvent { worker: Some("w2@h"), ..event(TaskEventKind::Started, 0, 150_000) });
        let detail = TaskDetail::from(&stored(record));
        assert_eq!((detail.lost, detail.task.state, detail.task.started_twice), (None, TaskState::Started, true));
        let starts: Vec<_> =
            detail.attempts[0].starts.iter().map(|start| (start.at.0, start.worker.as_deref())).collect();
        assert_eq!(starts, [(12_000, Some("w1@h")), (150_000, Some("w2@h"))]);
    }

    #[test]
    fn json_texts_become_values_and_other_texts_strings() {
        let mut record = TaskRecord::default();
        record.apply(
            "t1",
            &TaskEvent {
                args: Some("[1,{\"a\":null}]"),
                kwargs: Some("{\"cut\":"),
                root_id: Some("t1"),
                ..event(TaskEventKind::Sent, 0, 10)
            },
        );
        let task = Task::from(&stored(record));
        assert_eq!(task.args_redacted, Some(serde_json::json!([1, {"a": null}])));
        assert_eq!(task.kwargs_redacted, Some(Value::String("{\"cut\":".into())));
        assert_eq!(task.root_id.as_deref(), Some("t1"));
    }

    #[test]
    fn a_task_of_which_nothing_is_known_still_has_times() {
        let task = Task::from(&stored(TaskRecord::default()));
        assert_eq!((task.state, task.updated_at), (TaskState::Pending, Timestamp(5)));
    }
}
