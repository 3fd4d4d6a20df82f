//! Arguments of commands, read once at the edge into types. Messages never quote what was given: it may be secret.

mod schedule;
mod workers;

use std::collections::HashSet;

use serde_json::{Map, Value};
use taskplane_model::Timestamp;
use taskplane_protocol::limits::{MAX_BULK_TASKS, MAX_NAME_BYTES, MAX_TASK_ID_BYTES};

use crate::engine::{CancelRequest, CommandError, KnownTask, RetryRequest};

/// The arguments of one command.
pub(super) struct Args<'a> {
    cmd: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Args<'a> {
    pub(super) fn new(cmd: &'a str, args: &'a Value) -> Result<Self, CommandError> {
        match args {
            Value::Object(fields) => Ok(Self { cmd, fields }),
            _ => Err(CommandError::InvalidArgs(format!("the args of {cmd} must be an object"))),
        }
    }

    pub(super) fn engine(&self) -> Result<Option<&'a str>, CommandError> {
        self.text("engine", MAX_NAME_BYTES)
    }

    pub(super) fn retry(&self) -> Result<RetryRequest, CommandError> {
        self.retry_of(self.task_id()?)
    }

    /// A retry of each task that is named, each once.
    pub(super) fn retries(&self) -> Result<Vec<RetryRequest>, CommandError> {
        let alike = self.retry_of(String::new())?;
        let retry = |task_id: String| RetryRequest { known: self.known(&task_id), task_id, ..alike.clone() };
        Ok(self.distinct_task_ids()?.into_iter().map(retry).collect())
    }

    /// What the brain knows of a task. It only helps: what is no such thing is passed over.
    pub(super) fn known(&self, task_id: &str) -> KnownTask {
        let Some(known) = self.given("known").and_then(|known| known.get(task_id)) else { return KnownTask::default() };
        let text = |value: &Value, max: usize| {
            value.as_str().filter(|text| !text.is_empty() && text.len() <= max).map(str::to_owned)
        };
        let copies = known.get("retried").and_then(Value::as_object).into_iter().flatten().take(MAX_BULK_TASKS);
        let copies = copies.filter_map(|(old, new)| Some((old.clone(), text(new, MAX_TASK_ID_BYTES)?)));
        KnownTask {
            name: known.get("name").and_then(|name| text(name, MAX_NAME_BYTES)),
            queue: known.get("queue").and_then(|queue| text(queue, MAX_NAME_BYTES)),
            copies: copies.collect(),
        }
    }

    fn retry_of(&self, task_id: String) -> Result<RetryRequest, CommandError> {
        let known = self.known(&task_id);
        let overrides = match self.given("override") {
            None => return Ok(RetryRequest { task_id, known, ..RetryRequest::default() }),
            Some(Value::Object(fields)) => Self { cmd: self.cmd, fields },
            Some(_) => return Err(self.invalid("override", "an object")),
        };
        let args = match overrides.given("args") {
            None => None,
            Some(Value::Array(args)) => Some(args.clone()),
            Some(_) => return Err(self.invalid("override.args", "an array")),
        };
        let kwargs = match overrides.given("kwargs") {
            None => None,
            Some(Value::Object(kwargs)) => Some(kwargs.clone()),
            Some(_) => return Err(self.invalid("override.kwargs", "an object")),
        };
        let eta = match overrides.given("eta") {
            None => None,
            Some(eta) => Some(
                eta.as_str()
                    .and_then(Timestamp::parse_rfc3339)
                    .ok_or_else(|| self.invalid("override.eta", "an RFC 3339 time with a zone"))?,
            ),
        };
        let queue = overrides.text("queue", MAX_NAME_BYTES)?.map(str::to_owned);
        Ok(RetryRequest { task_id, args, kwargs, queue, eta, known })
    }

    pub(super) fn cancel(&self) -> Result<CancelRequest, CommandError> {
        let terminate = match self.given("terminate") {
            None => false,
            Some(Value::Bool(terminate)) => *terminate,
            Some(_) => return Err(self.invalid("terminate", "true or false")),
        };
        let signal = self.text("signal", 16)?.map(str::to_owned);
        if signal.as_ref().is_some_and(|signal| !signal.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())) {
            return Err(self.invalid("signal", "the name of a signal, such as SIGTERM"));
        }
        Ok(CancelRequest { task_id: self.task_id()?, terminate, signal })
    }

    pub(super) fn task_ids(&self) -> Result<Vec<String>, CommandError> {
        let expected = || self.invalid("task_ids", "an array of 1 to 1000 task ids");
        let Some(Value::Array(ids)) = self.given("task_ids") else { return Err(expected()) };
        if ids.is_empty() || ids.len() > MAX_BULK_TASKS {
            return Err(expected());
        }
        let id =
            |id: &Value| id.as_str().filter(|id| !id.is_empty() && id.len() <= MAX_TASK_ID_BYTES).map(str::to_owned);
        ids.iter().map(id).collect::<Option<Vec<_>>>().ok_or_else(expected)
    }

    /// Each once, in their order.
    pub(super) fn distinct_task_ids(&self) -> Result<Vec<String>, CommandError> {
        let mut seen = HashSet::new();
        Ok(self.task_ids()?.into_iter().filter(|id| seen.insert(id.clone())).collect())
    }

    pub(super) fn queue(&self) -> Result<&'a str, CommandError> {
        self.text("queue", MAX_NAME_BYTES)?.ok_or_else(|| self.invalid("queue", "the name of a queue"))
    }

    fn task_id(&self) -> Result<String, CommandError> {
        let id = self.text("task_id", MAX_TASK_ID_BYTES)?.map(str::to_owned);
        id.ok_or_else(|| self.invalid("task_id", "the id of a task"))
    }

    fn text(&self, field: &str, max_bytes: usize) -> Result<Option<&'a str>, CommandError> {
        match self.given(field) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= max_bytes => Ok(Some(text)),
            Some(_) => Err(self.invalid(field, &format!("a text of 1 to {max_bytes} bytes"))),
        }
    }

    fn given(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn invalid(&self, field: &str, expected: &str) -> CommandError {
        CommandError::InvalidArgs(format!("{} needs {field} to be {expected}", self.cmd))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message<T>(read: Result<T, CommandError>) -> String {
        read.err().map(|error| format!("{}: {error}", error.code())).unwrap_or_default()
    }

    #[test]
    fn a_retry_may_override_what_is_published() {
        let args = json!({"task_id": "t", "engine": "celery", "override": {
            "args": [1], "kwargs": {"a": 2}, "queue": "q", "eta": "2026-11-22T12:00:00Z"}});
        let request = Args::new("retry_task", &args).and_then(|args| args.retry()).expect("valid");
        assert_eq!(request.args, Some(vec![json!(1)]));
        assert_eq!(
            (request.queue.as_deref(), request.eta.map(|eta| eta.to_string()).as_deref()),
            (Some("q"), Some("2026-11-22T12:00:00.000000Z"))
        );
        let plain = json!({"task_id": "t", "override": null});
        assert_eq!(
            Args::new("retry_task", &plain).and_then(|args| args.retry()),
            Ok(RetryRequest { task_id: "t".into(), ..RetryRequest::default() })
        );
    }

    #[test]
    fn what_the_brain_knows_comes_along_and_nonsense_in_it_is_passed_over() {
        let args = json!({"task_ids": ["a", "b", "c"], "known": {
            "a": {"name": "shop.charge", "queue": "pay", "retried": {"m": "n", "x": 7}},
            "b": {"name": "", "queue": 5, "retried": []}, "other": {"name": "n"}}});
        let requests = Args::new("preview_retry", &args).and_then(|args| args.retries()).expect("valid");
        let known: Vec<&KnownTask> = requests.iter().map(|request| &request.known).collect();
        let copies = [("m".to_owned(), "n".to_owned())].into();
        let told = KnownTask { name: Some("shop.charge".into()), queue: Some("pay".into()), copies };
        assert_eq!(known, [&told, &KnownTask::default(), &KnownTask::default()]);
        let one = json!({"task_id": "a", "known": args["known"], "override": {"queue": "q"}});
        let request = Args::new("retry_task", &one).and_then(|args| args.retry()).expect("valid");
        assert_eq!((request.known, request.queue.as_deref()), (told, Some("q")));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_sentence_that_quotes_nothing() {
        for (args, sentence) in [
            (json!([]), "invalid_args: the args of retry_task must be an object"),
            (json!({}), "invalid_args: retry_task needs task_id to be the id of a task"),
            (json!({"task_id": 5}), "invalid_args: retry_task needs task_id to be a text of 1 to 512 bytes"),
            (
                json!({"task_id": "t", "override": {"args": "s3cret"}}),
                "invalid_args: retry_task needs override.args to be an array",
            ),
            (
                json!({"task_id": "t", "override": {"eta": "soon"}}),
                "invalid_args: retry_task needs override.eta to be an RFC 3339 time with a zone",
            ),
        ] {
            assert_eq!(message(Args::new("retry_task", &args).and_then(|args| args.retry())), sentence);
        }
        let many = json!({"task_ids": vec!["t"; 1001]});
        assert_eq!(
            message(Args::new("bulk_retry", &many).and_then(|args| args.task_ids())),
            "invalid_args: bulk_retry needs task_ids to be an array of 1 to 1000 task ids"
        );
        let signal = json!({"task_id": "t", "signal": "rm -rf"});
        assert!(Args::new("cancel_task", &signal).and_then(|args| args.cancel()).is_err());
    }
}
