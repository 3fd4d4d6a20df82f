//! The message itself, as kombu writes it to Redis: what a retry publishes again. It stays on this host.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use taskplane_agent::json::{put, put_string};

use crate::read::fields::{attribute, item};

/// Longest body that is kept, in bytes, so that its envelope has at most 256 KiB.
const MAX_BODY: usize = 180 << 10;
/// Deepest nesting of a header.
const MAX_DEPTH: usize = 32;
/// Room for the usual headers and properties.
const USUAL_BYTES: usize = 2 << 10;

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
    let mut json = Json { out: Vec::with_capacity(USUAL_BYTES + body.len().div_ceil(3) * 4) };
    json.raw(r#"{"body":""#);
    let begin = json.out.len();
    json.out.resize(begin + body.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(body, &mut json.out[begin..]).ok()?;
    json.raw(r#"","content-encoding":"#);
    json.attribute(message, intern!(py, "content_encoding"))?;
    json.raw(r#","content-type":"#);
    json.attribute(message, intern!(py, "content_type"))?;
    json.raw(r#","headers":"#);
    let headers = attribute(message, intern!(py, "headers"))?;
    // kombu has inflated the body.
    json.object(headers.cast().ok()?, Some("compression"), 0)?;
    json.raw(r#","properties":{"#);
    properties(&mut json, message)?;
    json.raw("}}");
    Some(json.out)
}

fn properties(json: &mut Json, message: &Bound<'_, PyAny>) -> Option<()> {
    let py = message.py();
    let known = attribute(message, intern!(py, "properties"))?;
    let known = known.cast::<PyDict>().ok()?;
    for (key, name) in [
        (intern!(py, "correlation_id"), r#""correlation_id":"#),
        (intern!(py, "reply_to"), r#""reply_to":"#),
        (intern!(py, "delivery_mode"), r#""delivery_mode":"#),
        (intern!(py, "priority"), r#""priority":"#),
        (intern!(py, "expiration"), r#""expiration":"#),
    ] {
        if let Some(value) = item(known, key) {
            json.raw(name);
            json.value(&value, 0)?;
            json.raw(",");
        }
    }
    let delivery = attribute(message, intern!(py, "delivery_info"));
    let delivery = delivery.as_ref().and_then(|delivery| delivery.cast::<PyDict>().ok());
    let part = |key| delivery.and_then(|delivery| item(delivery, key));
    json.raw(r#""delivery_info":{"exchange":"#);
    json.text(part(intern!(py, "exchange")).as_ref())?;
    json.raw(r#","routing_key":"#);
    json.text(part(intern!(py, "routing_key")).as_ref())?;
    json.raw(r#"},"delivery_tag":"#);
    match attribute(message, intern!(py, "delivery_tag")) {
        // RabbitMQ's tags are numbers.
        Some(tag) if tag.cast::<PyInt>().is_ok() => {
            json.raw("\"");
            json.value(&tag, 0)?;
            json.raw("\"");
        }
        tag => json.text(tag.as_ref())?,
    }
    json.raw(r#","body_encoding":"base64""#);
    Some(())
}

/// JSON as it is written. `None` of a method: what is to be written has no JSON.
struct Json {
    out: Vec<u8>,
}

impl Json {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &Bound<'_, PyString>) -> Option<()> {
        put_string(&mut self.out, text.to_str().ok()?);
        Some(())
    }

    /// A text; an empty one where there is none.
    fn text(&mut self, object: Option<&Bound<'_, PyAny>>) -> Option<()> {
        match object {
            Some(object) => self.string(object.cast().ok()?),
            None => {
                self.raw("\"\"");
                Some(())
            }
        }
    }

    fn attribute(&mut self, object: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> Option<()> {
        match attribute(object, name) {
            Some(value) => self.value(&value, 0),
            None => {
                self.raw("null");
                Some(())
            }
        }
    }

    fn value(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Option<()> {
        if object.is_none() {
            self.raw("null");
        } else if let Ok(text) = object.cast::<PyString>() {
            self.string(text)?;
        } else if let Ok(truth) = object.cast::<PyBool>() {
            self.raw(if truth.is_true() { "true" } else { "false" });
        } else if let Ok(number) = object.cast::<PyInt>() {
            match number.extract::<i64>() {
                Ok(number) => put(&mut self.out, &number),
                Err(_) => put(&mut self.out, &number.extract::<u64>().ok()?),
            }
        } else if let Ok(number) = object.cast::<PyFloat>() {
            let number = Some(number.value()).filter(|number| number.is_finite())?;
            put(&mut self.out, &number);
        } else if let Ok(items) = object.cast::<PyList>() {
            self.array(items.iter(), depth)?;
        } else if let Ok(items) = object.cast::<PyTuple>() {
            self.array(items.iter(), depth)?;
        } else {
            self.object(object.cast().ok()?, None, depth)?;
        }
        Some(())
    }

    fn array<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        self.raw("[");
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.value(&item, depth + 1)?;
        }
        self.raw("]");
        Some(())
    }

    fn object(&mut self, fields: &Bound<'_, PyDict>, without: Option<&str>, depth: usize) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        self.raw("{");
        let mut separator = "";
        for (key, value) in fields.iter() {
            let key = key.cast::<PyString>().ok()?;
            if without.is_some_and(|without| key.to_str().is_ok_and(|key| key == without)) {
                continue;
            }
            self.raw(separator);
            self.string(key)?;
            self.raw(":");
            self.value(&value, depth + 1)?;
            separator = ",";
        }
        self.raw("}");
        Some(())
    }
}
