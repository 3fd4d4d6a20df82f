//! From Python objects to values, without running code of the application.
//!
//! Only exact built-in types are read, and of their subclasses the built-in part, by the C functions that no subclass can
//! change. Everything else shows as `<TypeName>`. How much is read is bounded, so that a huge argument costs a bounded time;
//! the bounds are those of redaction, which marks what is cut in the same way.

pub(crate) mod fields;
mod kinds;

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
};
use serde_json::{Map, Number, Value};

pub(crate) use kinds::{Kinds, type_name};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 32;
/// Most elements of one list or dict that are read, the marker included.
const MAX_WIDTH: usize = 256;
/// Most elements that are read of all of an event's values.
const MAX_NODES: usize = 4096;
/// Most bytes of text that are read of all of an event's values.
const MAX_TEXT: usize = 256 << 10;
/// Longer strings are masked by redaction without looking into them.
const MAX_CHARS: usize = 64 << 10;
const CUT_SIZE: &str = "<cut size>";

/// Reads the values of one event.
pub(crate) struct Reader {
    nodes_left: usize,
    text_left: usize,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { nodes_left: MAX_NODES, text_left: MAX_TEXT }
    }

    /// What is shown of `object`.
    pub(crate) fn value(&mut self, object: &Bound<'_, PyAny>) -> Value {
        self.nested(object, 0)
    }

    fn nested(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Value {
        if self.nodes_left == 0 {
            return CUT_SIZE.into();
        }
        self.nodes_left -= 1;
        if let Ok(text) = object.cast::<PyString>() {
            return Value::String(self.text(text));
        }
        if object.is_none() {
            return Value::Null;
        }
        if let Ok(truth) = object.cast::<PyBool>() {
            return Value::Bool(truth.is_true());
        }
        if let Ok(number) = object.cast::<PyInt>() {
            return integer(number);
        }
        if let Ok(number) = object.cast::<PyFloat>() {
            return float(number.value());
        }
        if let Ok(fields) = object.cast::<PyDict>() {
            return if depth >= MAX_DEPTH { cut_depth() } else { self.object(fields, depth) };
        }
        if let Ok(items) = object.cast::<PyList>() {
            return if depth >= MAX_DEPTH { cut_depth() } else { self.array(items.len(), items.iter(), depth) };
        }
        if let Ok(items) = object.cast::<PyTuple>() {
            return if depth >= MAX_DEPTH { cut_depth() } else { self.array(items.len(), items.iter(), depth) };
        }
        self.other(object, depth)
    }

    fn other(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Value {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return format!("<bytes len={}>", bytes.as_bytes().len()).into();
        }
        if let Ok(bytes) = object.cast::<PyByteArray>() {
            return format!("<bytes len={}>", bytes.len()).into();
        }
        // A subclass of a set may iterate in its own way.
        if let Ok(items) = object.cast_exact::<PySet>() {
            return if depth >= MAX_DEPTH { cut_depth() } else { self.array(items.len(), items.iter(), depth) };
        }
        if let Ok(items) = object.cast_exact::<PyFrozenSet>() {
            return if depth >= MAX_DEPTH { cut_depth() } else { self.array(items.len(), items.iter(), depth) };
        }
        let kinds = Kinds::get(object.py());
        match kinds.and_then(|kinds| kinds.plain_text(object)) {
            Some(text) => text.into(),
            None => shown_type(object).into(),
        }
    }

    fn array<'py>(&mut self, len: usize, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> Value {
        let kept = if len > MAX_WIDTH { MAX_WIDTH - 1 } else { len };
        let mut values = Vec::with_capacity(kept.min(self.nodes_left) + 1);
        for item in items.take(kept) {
            let is_full = self.nodes_left == 0;
            values.push(self.nested(&item, depth + 1));
            if is_full {
                return values.into();
            }
        }
        if kept < len {
            values.push(format!("<cut {} items>", len - kept).into());
        }
        values.into()
    }

    fn object(&mut self, fields: &Bound<'_, PyDict>, depth: usize) -> Value {
        let len = fields.len();
        let kept = if len > MAX_WIDTH { MAX_WIDTH - 1 } else { len };
        let mut values = Map::new();
        for (key, value) in fields.iter().take(kept) {
            if self.nodes_left == 0 {
                values.insert("<cut>".into(), CUT_SIZE.into());
                return values.into();
            }
            let key = self.key(&key);
            let value = self.nested(&value, depth + 1);
            values.insert(key, value);
        }
        if kept < len {
            values.insert("<cut>".into(), format!("<cut {} items>", len - kept).into());
        }
        values.into()
    }

    fn key(&mut self, key: &Bound<'_, PyAny>) -> String {
        if let Ok(text) = key.cast::<PyString>() {
            return self.text(text);
        }
        let is_plain = key.is_none() || key.cast::<PyInt>().is_ok() || key.cast::<PyFloat>().is_ok();
        if !is_plain {
            return shown_type(key);
        }
        match self.nested(key, MAX_DEPTH) {
            Value::String(text) => text,
            plain => plain.to_string(),
        }
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> String {
        let chars = text.code_point_len().unwrap_or(0);
        if chars > MAX_CHARS {
            return format!("<str len={chars}>");
        }
        // What cannot be encoded holds halves of surrogate pairs.
        let Ok(known) = text.to_str() else { return format!("<str len={chars}>") };
        match self.text_left.checked_sub(known.len()) {
            Some(left) => {
                self.text_left = left;
                known.to_owned()
            }
            None => CUT_SIZE.to_owned(),
        }
    }
}

fn integer(number: &Bound<'_, PyInt>) -> Value {
    if let Ok(number) = number.extract::<i64>() {
        return number.into();
    }
    number.extract::<u64>().map_or_else(|_| "<int>".into(), Value::from)
}

fn float(number: f64) -> Value {
    let as_text = if number.is_nan() { "nan" } else { ["-inf", "inf"][usize::from(number > 0.0)] };
    Number::from_f64(number).map_or_else(|| as_text.into(), Value::Number)
}

fn cut_depth() -> Value {
    "<cut depth>".into()
}

/// The type's name as a marker of at most 16 characters, which redaction lets pass.
fn shown_type(object: &Bound<'_, PyAny>) -> String {
    let name = type_name(object).unwrap_or_else(|| "object".into());
    match name.char_indices().nth(14) {
        None => format!("<{name}>"),
        Some(_) => format!("<{}…>", name.chars().take(13).collect::<String>()),
    }
}
