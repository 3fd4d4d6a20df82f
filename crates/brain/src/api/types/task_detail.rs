//! One task with its attempts and what happened to it.

use serde::Serialize;
use serde_json::Value;
use taskplane_model::task::Mark;
use taskplane_model::{self as model, TaskEventKind, Timestamp};
use taskplane_store::tasks::StoredTask;
use utoipa::ToSchema;

use super::task::{Task, TaskState};
use super::{json_value, ms};

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
        Self {
            attempt: attempt.number,
            state: attempt.state.into(),
            worker: attempt.worker.map(str::to_owned),
            sent_at: attempt.sent_at,
            received_at: attempt.received_at,
            started_at: attempt.started_at,
            finished_at: end.map(|end| end.ts),
            wait_ms: attempt.wait_us(eta).map(ms),
            runtime_ms: attempt.runtime_us().map(ms),
            exception: end.and_then(|end| end.exception.clone()),
            exception_message: end.and_then(|end| end.exception_message.clone()),
            traceback: end.and_then(|end| end.traceback.clone()),
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
}

impl From<&Mark> for TimelineEntry {
    fn from(mark: &Mark) -> Self {
        Self {
            ts: mark.ts,
            event: mark.kind.wire_name().to_owned(),
            attempt: mark.attempt,
            worker: mark.worker.clone(),
            detail: detail(mark),
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
}

impl From<&StoredTask> for TaskDetail {
    fn from(stored: &StoredTask) -> Self {
        let record = &stored.record;
        let attempts = record.task().attempts;
        let eta_of = |number| record.eta.as_ref().filter(|eta| eta.attempt == number).map(|eta| eta.value);
        Self {
            task: Task::from(stored),
            attempts: attempts.iter().map(|attempt| Attempt::new(attempt, eta_of(attempt.number))).collect(),
            timeline: timeline(stored),
        }
    }
}

/// What happened to a task, by time; of what happened at the same time, what comes earlier in a task's life is first.
pub(in crate::api) fn timeline(stored: &StoredTask) -> Vec<TimelineEntry> {
    let record = &stored.record;
    let mut marks: Vec<&Mark> = record.marks.iter().collect();
    marks.sort_by_key(|mark| (mark.ts, mark.attempt, mark.kind.rank()));
    let mut entries: Vec<TimelineEntry> = marks.into_iter().map(TimelineEntry::from).collect();
    if let Some(progress) = &record.progress {
        let entry = TimelineEntry {
            ts: progress.ts,
            event: TaskEventKind::Progress.wire_name().to_owned(),
            attempt: Some(progress.attempt),
            worker: None,
            detail: progress.value.note.clone(),
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
