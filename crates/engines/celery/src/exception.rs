//! What an exception was, from the two forms in which Celery's events tell of it.

use serde_json::Value;

use crate::python_literal::{Dialect, head, read};

/// Longer texts are cut: exceptions are unbounded on the wire.
const MAX_MESSAGE: usize = 16 << 10;
/// The class billiard wraps exceptions in: its repr says nothing about the exception inside.
const WRAPPER: &str = "ExceptionWithTraceback";

/// Type and message of an exception.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) kind: Option<String>,
    pub(crate) message: Option<String>,
}

impl Exception {
    /// From an event's `exception` (a Python repr) and `traceback`.
    pub(crate) fn from_event(repr: Option<&str>, traceback: Option<&str>) -> Self {
        if let Some(told) = repr.and_then(from_repr).filter(|e| e.kind.as_deref() != Some(WRAPPER)) {
            return told;
        }
        if let Some(told) = traceback.and_then(from_traceback) {
            return told;
        }
        let message = repr.filter(|r| !r.is_empty() && *r != "None").map(bounded);
        Self { kind: None, message }
    }

    /// From a result's `{"exc_type", "exc_message", …}`.
    pub(crate) fn from_result(result: &Value) -> Self {
        let kind = result.get("exc_type").and_then(Value::as_str).map(last_segment);
        let message = match result.get("exc_message") {
            Some(Value::Array(parts)) => match parts.as_slice() {
                [] => Some(String::new()),
                [Value::String(only)] => Some(bounded(only)),
                several => Some(bounded(&several.iter().map(plain).collect::<Vec<_>>().join(", "))),
            },
            Some(Value::Null) | None => None,
            Some(other) => Some(bounded(&plain(other))),
        };
        Self { kind, message }
    }
}

/// `ValueError('boom')`: the type before the bracket, the message inside.
fn from_repr(repr: &str) -> Option<Exception> {
    let repr = repr.trim();
    let (path, rest) = repr.split_once('(')?;
    if !is_path(path) {
        return None;
    }
    let inner = rest.strip_suffix(')').unwrap_or(rest);
    // One string argument is the message itself, as str() would show it.
    let message = match read(&format!("({inner},)"), Dialect::Python).value {
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(only)] if inner.starts_with(['\'', '"']) => bounded(only),
            _ => bounded(inner),
        },
        _ => bounded(inner),
    };
    Some(Exception { kind: Some(last_segment(path)), message: Some(message) })
}

/// The last line of a traceback, `module.Type: message`. The message may run over several lines.
fn from_traceback(traceback: &str) -> Option<Exception> {
    let after = traceback.rsplit_once("Traceback (most recent call last):").map_or(traceback, |(_, after)| after);
    let start = after.lines().position(|line| !line.is_empty() && !line.starts_with([' ', '\t']))?;
    let last: Vec<&str> = after.lines().skip(start).collect();
    let text = last.join("\n");
    let (path, message) = text.split_once(':').map_or((text.as_str(), ""), |(path, m)| (path, m.trim()));
    is_path(path.trim()).then(|| Exception { kind: Some(last_segment(path.trim())), message: Some(bounded(message)) })
}

/// The countdown of a retry, in seconds, as the last line of its traceback tells it: `Retry in 1s: …`.
pub(crate) fn retry_countdown(traceback: &str) -> Option<f64> {
    let (_, after) = traceback.rsplit_once("Retry: Retry in ")?;
    let (seconds, _) = after.split_once('s')?;
    seconds.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0)
}

fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 300
        && text.chars().all(|c| c.is_alphanumeric() || "._<>".contains(c))
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn last_segment(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn bounded(text: &str) -> String {
    match head(text, MAX_MESSAGE) {
        (text, true) => text.to_owned(),
        (kept, false) => format!("{kept}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn told(repr: &str) -> (String, String) {
        let e = Exception::from_event(Some(repr), None);
        (e.kind.expect("a type"), e.message.expect("a message"))
    }

    #[test]
    fn a_repr_gives_type_and_message() {
        assert_eq!(told("ValueError('boom')"), ("ValueError".into(), "boom".into()));
        assert_eq!(told("KeyError(\"it's\")"), ("KeyError".into(), "it's".into()));
        assert_eq!(told("shop.errors.Declined('a\\nb')"), ("Declined".into(), "a\nb".into()));
        assert_eq!(told("OSError(2, 'No such file')"), ("OSError".into(), "2, 'No such file'".into()));
        assert_eq!(told("TimeoutError()"), ("TimeoutError".into(), String::new()));
    }

    #[test]
    fn a_wrapped_exception_is_told_by_its_traceback() {
        let event = &samples::events()["task-failed-worker-lost"];
        let e = Exception::from_event(event["exception"].as_str(), event["traceback"].as_str());
        assert_eq!(e.kind.as_deref(), Some("WorkerLostError"));
        assert_eq!(e.message.as_deref(), Some("Worker exited prematurely: signal 9 (SIGKILL) Job: 23."));
    }

    #[test]
    fn a_retry_is_told_by_its_cause_and_gives_its_countdown() {
        let event = &samples::events()["task-retried"];
        let e = Exception::from_event(event["exception"].as_str(), event["traceback"].as_str());
        assert_eq!((e.kind.as_deref(), e.message.as_deref()), (Some("KeyError"), Some("bob")));
        assert_eq!(event["traceback"].as_str().and_then(retry_countdown), Some(1.0));
        assert_eq!(retry_countdown("celery.exceptions.Retry: Retry at 2026-01-01"), None);
    }

    #[test]
    fn a_result_gives_type_and_message() {
        let e = Exception::from_result(&json!({"exc_type": "TaskRevokedError", "exc_message": ["terminated"]}));
        assert_eq!((e.kind.as_deref(), e.message.as_deref()), (Some("TaskRevokedError"), Some("terminated")));
        let e = Exception::from_result(&json!({"exc_type": "OSError", "exc_message": [2, "No such file"]}));
        assert_eq!(e.message.as_deref(), Some("2, No such file"));
    }

    #[test]
    fn a_message_of_several_lines_is_kept_whole() {
        let e = Exception::from_event(
            None,
            Some(
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nshop.Bad: first\nnote: second\n",
            ),
        );
        assert_eq!((e.kind.as_deref(), e.message.as_deref()), (Some("Bad"), Some("first\nnote: second")));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(a in "\\PC{0,80}", b in "[A-Za-z.(): \n'\"\\\\]{0,80}") {
            Exception::from_event(Some(&a), Some(&b));
            Exception::from_event(Some(&b), Some(&a));
            retry_countdown(&b);
        }
    }
}
