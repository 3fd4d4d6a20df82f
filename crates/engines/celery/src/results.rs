//! Result metas: what the result backend stores for a task, and publishes on each write.

use serde_json::{Map, Value};
use taskplane_agent::engine::{KnownBy, TaskObservation};
use taskplane_model::{TaskEventKind, Timestamp};

use crate::{
    events::host_of,
    exception::Exception,
    message::{text, time},
    python_json::read_leniently,
};

/// Key prefix of results, and of the channels that announce them.
pub(crate) const KEY_PREFIX: &str = "celery-task-meta-";

/// One result as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Meta {
    pub(crate) task_id: String,
    pub(crate) kind: TaskEventKind,
    pub(crate) date_done: Option<Timestamp>,
    /// How it came here.
    pub(crate) known_by: KnownBy,
    fields: Map<String, Value>,
}

impl Meta {
    /// Reads a stored result. `None` when it tells of no event: a custom state, or bytes that are compressed or no JSON.
    pub(crate) fn parse(raw: &[u8]) -> Option<Self> {
        let fields: Map<String, Value> = read_leniently(raw).ok()?;
        let kind = match fields.get("status")?.as_str()? {
            "STARTED" => TaskEventKind::Started,
            "SUCCESS" => TaskEventKind::Succeeded,
            "FAILURE" => TaskEventKind::Failed,
            "RETRY" => TaskEventKind::Retry,
            "REVOKED" => TaskEventKind::Revoked,
            _ => return None,
        };
        let date_done = time(fields.get("date_done"));
        Some(Self { task_id: text(&fields, "task_id")?, kind, date_done, known_by: KnownBy::ResultChannel, fields })
    }

    /// The same, read from the backend.
    pub(crate) fn stored(self) -> Self {
        Self { known_by: KnownBy::ResultBackend, ..self }
    }

    /// True for the failure that Celery writes for a link of a chain that was never sent, as far as its result alone can
    /// tell: an extended one names the worker of each task that ran.
    pub(crate) fn is_of_unstarted_link(&self) -> bool {
        let is_extended = self.fields.contains_key("worker");
        self.kind == TaskEventKind::Failed && is_extended && text(&self.fields, "worker").is_none()
    }

    /// Full arguments, which only `result_extended` stores.
    pub(crate) fn args(&self) -> Option<Vec<Value>> {
        self.fields.get("args")?.as_array().cloned()
    }

    /// Full keyword arguments, which only `result_extended` stores.
    pub(crate) fn kwargs(&self) -> Option<Map<String, Value>> {
        self.fields.get("kwargs")?.as_object().cloned()
    }

    /// The text forms of the arguments, which django-celery-results stores instead.
    pub(crate) fn reprs(&self) -> (Option<String>, Option<String>) {
        (text(&self.fields, "args_repr"), text(&self.fields, "kwargs_repr"))
    }

    /// What the task returned, or what is told of its failure.
    pub(crate) fn result(&self) -> Option<&Value> {
        self.fields.get("result")
    }

    /// True for the failure that Celery gives to the body of a chord, of which a member failed, instead of sending it.
    pub(crate) fn is_of_failed_chord(&self) -> bool {
        let kind = self.result().and_then(|result| result.get("exc_type")).and_then(Value::as_str);
        self.kind == TaskEventKind::Failed && kind == Some("ChordError")
    }

    /// Everything the result tells.
    pub(crate) fn seen(&self) -> TaskObservation {
        let mut seen = TaskObservation { kind: self.kind, task_id: self.task_id.clone(), ..TaskObservation::default() };
        self.enrich(&mut seen);
        seen
    }

    /// Adds to an event what only the result knows. Its values are real ones, where an event has reprs.
    pub(crate) fn enrich(&self, seen: &mut TaskObservation) {
        let fields = &self.fields;
        fill(&mut seen.group_id, text(fields, "group_id"));
        // A retry names itself as its parent.
        fill(&mut seen.parent_id, text(fields, "parent_id").filter(|parent| *parent != self.task_id));
        fill(&mut seen.name, text(fields, "name"));
        fill(&mut seen.queue, text(fields, "queue"));
        fill(&mut seen.worker, text(fields, "worker"));
        fill(&mut seen.traceback, text(fields, "traceback"));
        let retries = fields.get("retries").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        seen.retries = seen.retries.or(retries);
        seen.args = self.args().map(Value::Array).or(seen.args.take());
        seen.kwargs = self.kwargs().map(Value::Object).or(seen.kwargs.take());
        let result = fields.get("result").unwrap_or(&Value::Null);
        match self.kind {
            // One that cannot be read is not there, which is not the same as none.
            TaskEventKind::Succeeded => seen.result = fields.get("result").cloned().or(seen.result.take()),
            TaskEventKind::Failed | TaskEventKind::Retry => {
                let exception = Exception::from_result(result);
                seen.exception = exception.kind.or(seen.exception.take());
                seen.exception_message = exception.message.or(seen.exception_message.take());
            }
            TaskEventKind::Revoked => revoked(result, seen),
            _ => {
                fill(&mut seen.worker, result.get("hostname").and_then(Value::as_str).map(str::to_owned));
                // The process that runs the task, where the event has only the worker's main process.
                seen.pid = result.get("pid").and_then(Value::as_u64).or(seen.pid);
            }
        }
        fill(&mut seen.hostname, seen.worker.as_deref().and_then(host_of));
    }
}

fn revoked(result: &Value, seen: &mut TaskObservation) {
    match result.pointer("/exc_message/0").and_then(Value::as_str) {
        Some("terminated") => seen.terminated = Some(true),
        Some("expired") => seen.expired = Some(true),
        _ => {}
    }
}

fn fill<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn meta(case: &str) -> Meta {
        let sample = samples::results().into_iter().find(|s| s["case"] == case).expect("a known case");
        Meta::parse(sample["value"].to_string().as_bytes()).expect("a result")
    }

    #[test]
    fn an_extended_result_has_the_real_arguments() {
        let seen = meta("redis, result_extended").seen();
        assert_eq!((seen.args, seen.kwargs), (Some(json!([1])), Some(json!({"y": 3}))));
        assert_eq!((seen.queue.as_deref(), seen.worker.as_deref()), (Some("celery"), Some("x1@host")));
        assert_eq!((seen.hostname.as_deref(), seen.result), (Some("host"), Some(json!(4))));
    }

    #[test]
    fn results_tell_how_a_task_ended() {
        assert_eq!(meta("revoked").seen().terminated, Some(true));
        assert_eq!(meta("worker lost").seen().exception.as_deref(), Some("WorkerLostError"));
        let started = meta("started (task_track_started)").seen();
        assert_eq!((started.kind, started.pid), (TaskEventKind::Started, Some(11571)));
    }

    #[test]
    fn a_real_result_beats_the_repr_of_the_event() {
        let mut seen = TaskObservation { result: Some(json!("'spawned'")), ..TaskObservation::default() };
        meta("redis, default, child of a task that spawned one").enrich(&mut seen);
        assert_eq!(seen.result, Some(json!("spawned")));
    }

    #[test]
    fn what_is_no_result_is_passed_over() {
        for raw in ["", "null", "{}", r#"{"status":"PROGRESS","task_id":"x"}"#, r#"{"status":"SUCCESS"}"#] {
            assert_eq!(Meta::parse(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn attacks_are_passed_over_or_bounded() {
        let deep = format!(r#"{{"status":"SUCCESS","task_id":"x","result":{}"#, "[".repeat(100_000));
        assert_eq!(Meta::parse(deep.as_bytes()), None);
        let closed = format!("{deep}{}}}", "]".repeat(100_000));
        assert_eq!(Meta::parse(closed.as_bytes()), None);
        // A number of a million digits is no number that JSON readers hold; it costs the result, not the agent.
        let endless = format!(r#"{{"status":"SUCCESS","task_id":"x","result":{}}}"#, "9".repeat(1 << 20));
        assert_eq!(Meta::parse(endless.as_bytes()), None);
        let large = r#"{"status":"FAILURE","task_id":"x","result":{"exc_type":"E","exc_message":"MESSAGE"}}"#;
        let meta = Meta::parse(large.replace("MESSAGE", &"x".repeat(1 << 20)).as_bytes()).expect("a result");
        assert!(meta.seen().exception_message.is_some_and(|message| message.len() < 20 << 10));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Meta::parse(&bytes);
        }
    }
}
