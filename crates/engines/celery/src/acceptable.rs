//! What a worker would choke on, though it is well-formed JSON: found before a message is sent.
//!
//! kombu turns `{"__type__", "__value__"}` into a Python value while it reads, wherever it lies. Where it cannot, the worker drops
//! the whole message. Celery takes some headers as they come, and a worker whose task has a time limit of a wrong form goes down
//! with it.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use taskplane_model::{Timestamp, time::DAY};

/// Within these a worker can reckon with a time in any zone: from 2 January 1970 to 30 December 9999.
const TIMES: std::ops::RangeInclusive<i64> = DAY..=253_402_128_000_000_000;

/// Finds what kombu cannot read, in a body or in headers. Types that it does not have itself may be the application's own.
pub(crate) fn check_values(value: &Value) -> Result<(), String> {
    each_typed(value, &mut |kind, value| match is_readable(kind, value) {
        Some(false) => Err(format!("{{\"__type__\": {kind}, …}} has a value that is none of that type")),
        _ => Ok(()),
    })
}

/// The types that kombu does not have itself.
pub(crate) fn own_types(values: &Value) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    // Nothing in here fails.
    let _ = each_typed(values, &mut |kind, value| {
        if is_readable(kind, value).is_none() {
            own.insert(kind.to_string());
        }
        Ok(())
    });
    own
}

/// What to say of a type that was supplied and that nobody is known to read.
pub(crate) fn unknown_type(kind: &str) -> String {
    format!(
        "Celery has no type {kind}: a worker would drop a message with {{\"__type__\": {kind}, \"__value__\": …}} in it"
    )
}

fn each_typed(value: &Value, check: &mut impl FnMut(&Value, &Value) -> Result<(), String>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| each_typed(item, check)),
        Value::Object(fields) => {
            fields.values().try_for_each(|item| each_typed(item, check))?;
            match (fields.len(), fields.get("__type__"), fields.get("__value__")) {
                (2, Some(kind), Some(value)) => check(kind, value),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Whether kombu can read a value of this type; `None` when it does not know the type.
fn is_readable(kind: &Value, value: &Value) -> Option<bool> {
    // A name that is no text cannot even be looked up.
    let Some(kind) = kind.as_str() else { return Some(false) };
    let text = value.as_str();
    Some(match kind {
        "bytes" => text.is_some(),
        "base64" => text.is_some_and(|text| STANDARD.decode(text).is_ok()),
        "datetime" | "date" => text.is_some_and(is_date_or_time_of_date),
        "time" => text.is_some_and(is_time),
        "decimal" => value.is_number() || text.is_some_and(is_decimal),
        "uuid" => is_uuid(value),
        _ => return None,
    })
}

fn is_date_or_time_of_date(text: &str) -> bool {
    let (date, rest) = (text.get(..10), text.get(10..).unwrap_or_default());
    let time = rest.strip_prefix(['T', ' ']);
    // Read with a time that is always right, to have the day checked against its month.
    let is_date = date.is_some_and(|date| Timestamp::parse_rfc3339(&format!("{date}T00:00:00Z")).is_some());
    is_date && (rest.is_empty() || time.is_some_and(is_time))
}

/// As Python 3.10 reads it: hours and minutes, seconds with three or six digits behind the point, an offset that is no `Z`.
fn is_time(text: &str) -> bool {
    let at = text.find(['+', '-']).unwrap_or(text.len());
    let (clock, offset) = text.split_at(at);
    let is_offset = offset.is_empty() || is_clock(&offset[1..], true);
    is_clock(clock, false) && is_offset
}

fn is_clock(text: &str, is_offset: bool) -> bool {
    let (clock, part) = text.split_once('.').map_or((text, None), |(clock, part)| (clock, Some(part)));
    let fields: Vec<&str> = clock.split(':').collect();
    let below = |field: &str, limit: u8| is_digits(field, 2) && field.parse::<u8>().is_ok_and(|number| number < limit);
    let is_part =
        part.is_none_or(|part| fields.len() == 3 && (is_digits(part, 6) || (!is_offset && is_digits(part, 3))));
    let limits = [24, 60, 60];
    (2..=3).contains(&fields.len()) && is_part && fields.iter().zip(limits).all(|(field, limit)| below(field, limit))
}

fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(text, "NaN" | "sNaN" | "Infinity") {
        return true;
    }
    let (number, exponent) =
        text.split_once(['E', 'e']).map_or((text, None), |(number, exponent)| (number, Some(exponent)));
    let is_exponent = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['+', '-']).unwrap_or(e);
        (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let digits = number.replacen('.', "", 1);
    is_exponent && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_uuid(value: &Value) -> bool {
    let Some(fields) = value.as_object().filter(|fields| fields.len() == 1) else { return false };
    fields.get("hex").and_then(Value::as_str).is_some_and(|hex| uuid::Uuid::try_parse(hex).is_ok())
}

/// Finds headers that Celery would take as they come, and stumble over.
pub(crate) fn check_headers(headers: &Map<String, Value>) -> Result<(), String> {
    let form = |name: &str, holds: fn(&Value) -> bool, form: &str| match headers.get(name) {
        Some(value) if !value.is_null() && !holds(value) => Err(format!("its header {name} is not {form}")),
        _ => Ok(()),
    };
    form("shadow", Value::is_string, "a text")?;
    form("ignore_result", Value::is_boolean, "true or false")?;
    form("timelimit", are_limits, "a pair of seconds, each of which may be null")?;
    form(
        "stamped_headers",
        |value| value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
        "a list of texts",
    )?;
    form("stamps", Value::is_object, "an object")?;
    headers.values().try_for_each(check_values)
}

fn are_limits(value: &Value) -> bool {
    let is_limit =
        |limit: &Value| limit.is_null() || limit.as_f64().is_some_and(|seconds| (0.0..1e9).contains(&seconds));
    value.as_array().is_some_and(|limits| limits.len() == 2 && limits.iter().all(is_limit))
}

/// Refuses a time that a worker cannot reckon with.
pub(crate) fn check_time(what: &str, at: Option<Timestamp>) -> Result<(), String> {
    match at {
        Some(at) if !TIMES.contains(&at.0) => Err(format!("its {what} lies before 1970 or after 9999")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn typed(kind: &str, value: Value) -> Result<(), String> {
        check_values(&json!([[{"deep": {"__type__": kind, "__value__": value}}]]))
    }

    #[test]
    fn what_kombu_writes_it_can_read() {
        for (kind, value) in [
            ("datetime", json!("2026-11-22T17:35:22.360401+00:00")),
            ("datetime", json!("2026-11-22T17:35:22")),
            ("datetime", json!("2024-02-29")),
            ("date", json!("2026-11-22")),
            ("time", json!("17:35:22.360401")),
            ("time", json!("17:35")),
            ("decimal", json!("-1.50E+7")),
            ("decimal", json!("NaN")),
            ("uuid", json!({"hex": "0123456789abcdef0123456789abcdef"})),
            ("bytes", json!("é")),
            ("base64", json!("/wA=")),
            ("app.Money", json!({"any": "thing"})),
        ] {
            assert_eq!(typed(kind, value), Ok(()), "{kind}");
        }
        assert_eq!(
            check_values(&json!({"__type__": "datetime", "__value__": "no", "more": 1})),
            Ok(()),
            "not marked as one"
        );
    }

    #[test]
    fn what_kombu_would_choke_on_is_found() {
        for (kind, value) in [
            ("datetime", json!("yesterday")),
            ("datetime", json!("2026-02-29T00:00:00")),
            ("datetime", json!("2026-11-22T24:00:00")),
            ("datetime", json!("2026-11-22T10:00:00Z")),
            ("time", json!("1:2")),
            ("time", json!(7)),
            ("decimal", json!("1,5")),
            ("decimal", json!("")),
            ("uuid", json!("0123456789abcdef0123456789abcdef")),
            ("uuid", json!({"hex": "xyz"})),
            ("bytes", json!(null)),
            ("base64", json!("a")),
        ] {
            assert!(typed(kind, value.clone()).is_err(), "{kind} {value}");
        }
        assert!(check_values(&json!({"__type__": ["x"], "__value__": 1})).is_err(), "a type that is no text");
    }

    #[test]
    fn headers_have_the_form_that_celery_takes_for_granted() {
        let check = |headers: Value| check_headers(headers.as_object().expect("a map"));
        let good = json!({"shadow": null, "timelimit": [null, 10.5], "ignore_result": true, "stamped_headers": ["a"],
            "stamps": {"a": [1]}, "x-own": {"any": ["thing"]}});
        assert_eq!(check(good), Ok(()));
        for bad in [
            json!({"timelimit": "soon"}),
            json!({"timelimit": [1]}),
            json!({"timelimit": ["1", null]}),
            json!({"timelimit": [-1, null]}),
            json!({"stamped_headers": "a"}),
            json!({"stamps": ["a"]}),
            json!({"shadow": 1}),
            json!({"ignore_result": "no"}),
            json!({"x-own": {"__type__": "date", "__value__": "never"}}),
        ] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_that_python_cannot_move_between_zones_are_refused() {
        let at = |us: i64| check_time("ETA", Some(Timestamp(us)));
        assert!(at(-62_135_596_800_000_000).is_err() && at(0).is_err() && at(253_402_300_799_000_000).is_err());
        assert!(at(31_536_000_000_000).is_ok() && at(253_402_041_600_000_000).is_ok());
        assert_eq!(check_time("ETA", None), Ok(()));
    }
}
