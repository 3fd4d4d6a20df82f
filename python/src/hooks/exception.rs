//! What was raised, without asking the exception itself: its `__str__` is code of the application.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use serde_json::Value;

use crate::read::fields::{MAX_TEXT, facts_of, item, name, text};
use crate::read::{Kinds, Reader, type_name};

/// What follows an exception's text where another was raised while it was handled.
const CHAINED: [&str; 2] =
    ["\n\nDuring handling of the above exception", "\n\nThe above exception was the direct cause"];

/// Type and text of an exception.
pub(super) struct Raised {
    pub(super) name: String,
    pub(super) message: Option<String>,
}

impl Raised {
    /// One text that it was raised with is its message. Else Celery has already asked it, when it wrote the traceback: its text
    /// stands there behind its type. Else the plain values that it was raised with are.
    pub(super) fn read(exception: &Bound<'_, PyAny>, traceback: Option<&str>) -> Option<Self> {
        let py = exception.py();
        let mut class = type_name(exception)?;
        let wrapped = match class.as_str() {
            "ExceptionWithTraceback" => item(&facts_of(exception)?, intern!(py, "exc")),
            _ => None,
        };
        let exception = wrapped.as_ref().unwrap_or(exception);
        if wrapped.is_some() {
            class = type_name(exception)?;
        }
        if class == "UnpickleableExceptionWrapper" {
            // Celery's stand-in for what cannot be pickled knows its name.
            let facts = facts_of(exception)?;
            class = item(&facts, intern!(py, "exc_cls_name")).and_then(|found| name(&found)).unwrap_or(class);
        }
        let args = Kinds::get(py)?.args_of(exception);
        let first = args.as_ref().filter(|args| args.len() == 1).and_then(|args| args.get_item(0).ok());
        let alone = first.as_ref().and_then(|only| text(only.cast_exact::<PyString>().ok()?));
        let message = alone.or_else(|| traceback.and_then(|traceback| in_traceback(traceback, &class))).or_else(|| {
            let args = args?;
            let mut reader = Reader::new();
            let plain: Vec<String> = args.iter().take(8).map(|value| plain(reader.value(&value))).collect();
            Some(plain.join(", "))
        });
        Some(Self { name: class, message })
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The text behind the last `module.Class:` that begins a line.
fn in_traceback(traceback: &str, class: &str) -> Option<String> {
    let mut end = traceback.len();
    while let Some(start) = traceback[..end].rfind('\n').map_or((end > 0).then_some(0), |at| Some(at + 1)) {
        let line = &traceback[start..end];
        let (path, has_text) = match line.split_once(": ") {
            Some((path, _)) => (path, true),
            None => (line, false),
        };
        if path.rsplit('.').next() == Some(class) && !path.starts_with(char::is_whitespace) {
            if !has_text {
                return Some(String::new());
            }
            let text = &traceback[start + path.len() + 2..];
            let stop = CHAINED.iter().filter_map(|chained| text.find(chained)).min().unwrap_or(text.len());
            let mut text = text[..stop].trim_end().to_owned();
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            return Some(text);
        }
        if start == 0 {
            return None;
        }
        end = start - 1;
    }
    None
}
