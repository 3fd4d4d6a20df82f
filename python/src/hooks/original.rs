//! The message itself, as kombu writes it to Redis: what a retry publishes again. It stays on this host.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Number, Value, json};

use crate::read::fields::{attribute, item, name};

/// Longest body that is kept, in bytes, so that its envelope has at most 256 KiB.
const MAX_BODY: usize = 180 << 10;
/// Deepest nesting of a header.
const MAX_DEPTH: usize = 32;

/// The envelope of a message that a worker received. `None` when it is too large, or holds what JSON cannot.
pub(super) fn envelope(message: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let py = message.py();
    let body = attribute(message, intern!(py, "body"))?;
    let body = if let Ok(bytes) = body.cast::<PyBytes>() {
        bytes.as_bytes()
    } else {
        body.cast::<PyString>().ok()?.to_str().ok()?.as_bytes()
    };
    if body.len() > MAX_BODY {
        return None;
    }
    let text = |key| attribute(message, key).and_then(|found| name(&found));
    let mut headers = exact_dict(&attribute(message, intern!(py, "headers"))?, 0)?;
    // kombu has inflated the body.
    headers.remove("compression");
    let envelope = json!({
        "body": STANDARD.encode(body),
        "content-encoding": text(intern!(py, "content_encoding")),
        "content-type": text(intern!(py, "content_type")),
        "headers": headers,
        "properties": properties(message)?,
    });
    serde_json::to_vec(&envelope).ok()
}

fn properties(message: &Bound<'_, PyAny>) -> Option<Map<String, Value>> {
    let py = message.py();
    let known = attribute(message, intern!(py, "properties"))?;
    let known = known.cast::<PyDict>().ok()?;
    let mut properties = Map::new();
    for key in ["correlation_id", "reply_to", "delivery_mode", "priority", "expiration"] {
        if let Some(value) = known.get_item(key).ok().flatten().and_then(|found| exact(&found, 0)) {
            properties.insert(key.into(), value);
        }
    }
    let delivery = attribute(message, intern!(py, "delivery_info"));
    let delivery = delivery.as_ref().and_then(|delivery| delivery.cast::<PyDict>().ok());
    let part = |key| delivery.and_then(|delivery| name(&item(delivery, key)?)).unwrap_or_default();
    properties.insert(
        "delivery_info".into(),
        json!({"exchange": part(intern!(py, "exchange")), "routing_key": part(intern!(py, "routing_key"))}),
    );
    // RabbitMQ's tags are numbers.
    let tag = attribute(message, intern!(py, "delivery_tag")).and_then(|tag| exact(&tag, 0));
    let tag = tag.map(|tag| tag.as_str().map_or_else(|| tag.to_string(), str::to_owned));
    properties.insert("delivery_tag".into(), tag.unwrap_or_default().into());
    properties.insert("body_encoding".into(), "base64".into());
    Some(properties)
}

/// The same value in JSON; `None` when there is none.
fn exact(object: &Bound<'_, PyAny>, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    if object.is_none() {
        return Some(Value::Null);
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Some(text.to_str().ok()?.into());
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Some(truth.is_true().into());
    }
    if let Ok(number) = object.cast::<PyInt>() {
        return number.extract::<i64>().map(Value::from).or_else(|_| number.extract::<u64>().map(Value::from)).ok();
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Number::from_f64(number.value()).map(Value::Number);
    }
    if let Ok(items) = object.cast::<PyList>() {
        return items.iter().map(|item| exact(&item, depth + 1)).collect::<Option<Vec<_>>>().map(Value::from);
    }
    if let Ok(items) = object.cast::<PyTuple>() {
        return items.iter().map(|item| exact(&item, depth + 1)).collect::<Option<Vec<_>>>().map(Value::from);
    }
    exact_dict(object, depth).map(Value::Object)
}

fn exact_dict(object: &Bound<'_, PyAny>, depth: usize) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    for (key, value) in object.cast::<PyDict>().ok()?.iter() {
        fields.insert(key.cast::<PyString>().ok()?.to_str().ok()?.to_owned(), exact(&value, depth + 1)?);
    }
    Some(fields)
}
