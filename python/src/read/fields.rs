//! Single facts out of Celery's own dicts and objects. What is missing, or of another kind than it must be, is `None`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use taskplane_model::Timestamp;

use super::kinds::Kinds;

/// Longest id or name that is read, in characters; the brain refuses longer ones.
const MAX_NAME: usize = 2 << 10;
/// Longest running text that is read, in characters: tracebacks are cut from the front, since the error stands at the end.
pub(crate) const MAX_TEXT: usize = 60 << 10;

/// `dict[key]`, for dicts with strings as keys.
pub(crate) fn item<'py>(dict: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    dict.get_item(key).ok().flatten().filter(|found| !found.is_none())
}

/// `object.name`. Only for objects of Celery's and kombu's own classes.
pub(crate) fn attribute<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    object.getattr(name).ok().filter(|found| !found.is_none())
}

/// What an object has in its `__dict__`.
pub(crate) fn facts_of<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    if let Ok(dict) = object.cast::<PyDict>() {
        return Some(dict.clone());
    }
    object.getattr(intern!(object.py(), "__dict__")).ok()?.cast_into().ok()
}

/// An id or a name.
pub(crate) fn name(object: &Bound<'_, PyAny>) -> Option<String> {
    let text = object.cast::<PyString>().ok()?;
    if text.code_point_len().ok()? > MAX_NAME {
        return None;
    }
    text.to_str().ok().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Running text, of which the end is kept where it is long.
pub(crate) fn text(object: &Bound<'_, PyAny>) -> Option<String> {
    let text = object.cast::<PyString>().ok()?;
    let known = text.to_cow().ok();
    let known = known.as_deref()?;
    if known.len() <= MAX_TEXT {
        return Some(known.to_owned());
    }
    let from = (known.len() - MAX_TEXT..known.len()).find(|at| known.is_char_boundary(*at))?;
    Some(format!("…{}", &known[from..]))
}

/// A number from zero up.
pub(crate) fn count(object: &Bound<'_, PyAny>) -> Option<u64> {
    object.cast::<PyInt>().ok()?.extract().ok()
}

/// A whole number.
pub(crate) fn integer(object: &Bound<'_, PyAny>) -> Option<i64> {
    object.cast::<PyInt>().ok()?.extract().ok()
}

/// Any number.
pub(crate) fn number(object: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(float) = object.cast::<PyFloat>() {
        return Some(float.value()).filter(|value| value.is_finite());
    }
    integer(object).map(|whole| whole as f64)
}

/// A truth value.
pub(crate) fn truth(object: &Bound<'_, PyAny>) -> Option<bool> {
    object.cast::<PyBool>().ok().map(|truth| truth.is_true())
}

/// An instant, as ISO text with a zone, or as a datetime that has one.
pub(crate) fn instant(object: &Bound<'_, PyAny>) -> Option<Timestamp> {
    if let Ok(text) = object.cast::<PyString>() {
        return Timestamp::parse_rfc3339(text.to_str().ok()?);
    }
    Timestamp::parse_rfc3339(&Kinds::get(object.py())?.plain_text(object)?)
}
