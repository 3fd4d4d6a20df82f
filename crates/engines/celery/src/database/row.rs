//! A row to what Celery publishes of a result on Redis.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use taskplane_application_database::Row;
use taskplane_model::{Timestamp, time::MINUTE};
use tokio::time::Instant;

use super::{
    pickle::{self, Unpickled},
    table::Layout,
};
use crate::{exception::Exception, python_json::read_leniently};

/// When a row can have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Any time.
    Any,
    /// Since then.
    Since(Instant),
}

/// The task of a row of [`Table::results`](super::table::Table::results), and its result; `None` when it has none.
pub(super) fn meta(mut row: Row, layout: Layout, freshness: Freshness, now: Timestamp) -> Option<(String, Vec<u8>)> {
    let (task_id, status) = (row.text()?, row.text()?);
    let done = row.instant().filter(|done| is_credible(*done, freshness, now));
    let traceback = row.text();
    let mut meta = json!({"task_id": task_id, "status": status, "traceback": traceback});
    let map = meta.as_object_mut()?;
    fill(map, "date_done", done.map(|done| done.to_string().into()));
    let result = match layout {
        Layout::Celery => of_celery(&mut row, map),
        Layout::Django => of_django(&mut row, map),
    };
    let is_failure = matches!(status.as_str(), "FAILURE" | "RETRY");
    fill(map, "result", if is_failure { failure(result, traceback.as_deref()) } else { result });
    Some((task_id, meta.to_string().into_bytes()))
}

/// False for a time in another zone: a time without one is UTC by default, and the application may have it otherwise.
fn is_credible(done: Timestamp, freshness: Freshness, now: Timestamp) -> bool {
    let ago = now.0 - done.0;
    match freshness {
        Freshness::Any => ago > -MINUTE,
        Freshness::Since(then) => {
            let since = i64::try_from(then.elapsed().as_micros()).unwrap_or(i64::MAX);
            ago.abs() < since.saturating_add(10 * MINUTE)
        }
    }
}

fn fill(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value);
    }
}

/// The columns of Celery's own table. The result, if it can be read.
fn of_celery(row: &mut Row, map: &mut Map<String, Value>) -> Option<Value> {
    let mut value = || {
        let (bytes, length): (Option<Vec<u8>>, Option<u64>) = (row.bytes(), row.number());
        if length.is_none() { Some(plain(Value::Null)) } else { bytes.as_deref().and_then(of_bytes) }
    };
    let result = value().map(|read| read.value);
    for key in ["name", "worker", "queue"] {
        fill(map, key, row.text().map(Value::from));
    }
    fill(map, "retries", row.number::<u32>().map(Value::from));
    for key in ["args", "kwargs"] {
        let (bytes, _): (Option<Vec<u8>>, Option<u64>) = (row.bytes(), row.number());
        let read = bytes.as_deref().and_then(of_bytes).filter(|read| read.is_plain);
        fill(map, key, read.map(|read| read.value));
    }
    result
}

/// The columns of django-celery-results. The result, if it can be read.
fn of_django(row: &mut Row, map: &mut Map<String, Value>) -> Option<Value> {
    let kind = row.text().unwrap_or_default();
    fill(map, "name", row.text().map(Value::from));
    fill(map, "worker", row.text().map(Value::from));
    let mut value = || {
        let (text, length): (Option<String>, Option<u64>) = (row.text(), row.number());
        if length.is_none() { Some(plain(Value::Null)) } else { of_text(&kind, &text?) }
    };
    let result = value().map(|read| read.value);
    for key in ["args", "kwargs"] {
        match value() {
            // What the publisher gave as the text form.
            Some(Unpickled { value: Value::String(repr), .. }) => fill(map, &format!("{key}_repr"), Some(repr.into())),
            Some(Unpickled { value, is_plain: true }) if !value.is_null() => fill(map, key, Some(value)),
            _ => {}
        }
    }
    result
}

fn plain(value: Value) -> Unpickled {
    Unpickled { value, is_plain: true }
}

/// What a serializer made: JSON or a pickle. Up to Celery 5.6 results are pickles, whatever the serializer.
fn of_bytes(bytes: &[u8]) -> Option<Unpickled> {
    if pickle::is_pickle(bytes) { pickle::read(bytes) } else { read_leniently(bytes).ok().map(plain) }
}

fn of_text(kind: &str, text: &str) -> Option<Unpickled> {
    match kind {
        "application/json" => read_leniently(text.as_bytes()).ok().map(plain),
        "application/x-python-serialize" => pickle::read(&STANDARD.decode(text.trim()).ok()?),
        _ => None,
    }
}

/// What a failure tells; where its exception cannot be read, by its traceback.
fn failure(result: Option<Value>, traceback: Option<&str>) -> Option<Value> {
    if result.as_ref().is_some_and(|result| result.get("exc_type").is_some()) {
        return result;
    }
    let told = Exception::from_event(None, traceback);
    Some(json!({"exc_type": told.kind?, "exc_message": [told.message.unwrap_or_default()]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_json_or_pickles_whoever_wrote_them() {
        let pickle = b"\x80\x04K\x07.";
        assert_eq!(of_bytes(pickle), Some(plain(json!(7))));
        assert_eq!(of_bytes(br#"{"n": NaN}"#), Some(plain(json!({"n": "NaN"}))));
        assert_eq!(of_text("application/json", "[1]"), Some(plain(json!([1]))));
        assert_eq!(of_text("application/x-python-serialize", &STANDARD.encode(pickle)), Some(plain(json!(7))));
        for unread in [of_bytes(b"\x00celery-compressed\x00"), of_bytes(b"\x81\xa1a\x01"), of_bytes(b"\x80\x04cos\n")] {
            assert_eq!(unread, None);
        }
        assert_eq!((of_text("application/x-yaml", "1"), of_text("application/json", "")), (None, None));
    }

    #[test]
    fn a_failure_that_cannot_be_read_is_told_by_its_traceback() {
        let traceback = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nshop.Declined: no money\n";
        let told = json!({"exc_type": "Declined", "exc_message": ["no money"]});
        assert_eq!(failure(None, Some(traceback)), Some(told.clone()));
        assert_eq!(failure(Some(json!("<shop.Declined>")), Some(traceback)), Some(told.clone()));
        assert_eq!(failure(Some(told.clone()), None), Some(told));
        assert_eq!(failure(None, None), None);
    }

    #[test]
    fn times_of_another_zone_are_not_believed() {
        let now = Timestamp(1_000 * MINUTE);
        let credible = |minutes, freshness| is_credible(Timestamp(now.0 + minutes * MINUTE), freshness, now);
        let new = Freshness::Since(Instant::now());
        assert!(credible(0, new) && !credible(120, new) && !credible(-120, new));
        assert!(credible(-120, Freshness::Any) && !credible(120, Freshness::Any));
    }
}
