//! The fields of a schedule that people give.

use serde_json::{Map, Value};
use taskplane_model::Timestamp;
use taskplane_model::schedule::{Kind, Timing, time_zone};

use super::{Argument, boolean, fits, name};

/// Longest expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 600;
/// Longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 10_000;

/// A new schedule.
pub(super) fn whole(value: &Value) -> Result<(), String> {
    schedule(value, true)
}

/// What changes of a schedule.
pub(super) fn part(value: &Value) -> Result<(), String> {
    if value.as_object().is_some_and(Map::is_empty) {
        return Err("changes nothing".into());
    }
    schedule(value, false)
}

fn schedule(value: &Value, is_new: bool) -> Result<(), String> {
    let fields = value.as_object().ok_or("must be an object")?;
    let known = [
        Argument("name", is_new, name),
        Argument("task", is_new, name),
        Argument("kind", is_new, kind),
        Argument("expression", is_new, expression),
        Argument("timezone", false, zone),
        Argument("args", false, |v| if v.is_array() { Ok(()) } else { Err("must be a list".into()) }),
        Argument("kwargs", false, |v| if v.is_object() { Ok(()) } else { Err("must be an object".into()) }),
        Argument("queue", false, name),
        Argument("enabled", false, boolean),
        Argument("one_off", false, boolean),
        Argument("starts_at", false, time),
        Argument("expires_at", false, time),
        Argument("expire_seconds", false, whole_number),
        Argument("priority", false, priority),
        Argument("description", false, description),
    ];
    fits(fields, &known).map_err(|why| format!("is not understood: {why}"))?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    // Of a change, what it does not name is only known where the schedule is.
    let (Some(kind), Some(expression)) = (text("kind"), text("expression")) else { return Ok(()) };
    Timing::parse(kind, expression, text("timezone")).map(drop).map_err(|error| format!("is not understood: {error}"))
}

fn kind(value: &Value) -> Result<(), String> {
    let is_known = value.as_str().is_some_and(|kind| Kind::parse(kind).is_some());
    if is_known { Ok(()) } else { Err("must be crontab, interval, clocked or solar".into()) }
}

fn expression(value: &Value) -> Result<(), String> {
    text(value, MAX_EXPRESSION_BYTES)
}

fn zone(value: &Value) -> Result<(), String> {
    time_zone(value.as_str().ok_or("must be a string")?).map(drop).map_err(|error| error.to_string())
}

fn time(value: &Value) -> Result<(), String> {
    match value.as_str().and_then(Timestamp::parse_rfc3339) {
        Some(_) => Ok(()),
        None => Err("must be a time such as 2026-11-22T18:00:00Z".into()),
    }
}

fn whole_number(value: &Value) -> Result<(), String> {
    if value.as_u64().is_some_and(|number| number <= u64::from(u32::MAX)) {
        Ok(())
    } else {
        Err("must be a whole number of seconds".into())
    }
}

fn priority(value: &Value) -> Result<(), String> {
    if value.as_u64().is_some_and(|number| number <= 255) { Ok(()) } else { Err("must be from 0 to 255".into()) }
}

fn description(value: &Value) -> Result<(), String> {
    let text = value.as_str().ok_or("must be a string")?;
    if text.len() <= MAX_DESCRIPTION_BYTES {
        Ok(())
    } else {
        Err(format!("must have at most {MAX_DESCRIPTION_BYTES} bytes"))
    }
}

fn text(value: &Value, limit: usize) -> Result<(), String> {
    super::text_within(value.as_str().ok_or("must be a string")?, limit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nightly() -> Value {
        json!({"name": "nightly", "task": "reports.nightly", "kind": "crontab", "expression": "0 3 * * *"})
    }

    fn with(key: &str, value: Value) -> Value {
        let mut schedule = nightly();
        schedule[key] = value;
        schedule
    }

    #[test]
    fn schedules_of_the_right_form_pass() {
        whole(&nightly()).expect("is whole");
        let full = json!({"name": "n", "task": "t", "kind": "interval", "expression": "30s",
            "timezone": "Europe/Berlin", "args": [1], "kwargs": {"a": 1}, "queue": null, "enabled": false, "one_off": true,
            "starts_at": "2026-11-22T18:00:00Z", "expires_at": null, "expire_seconds": 60, "priority": 3,
            "description": ""});
        whole(&full).expect("is whole");
        part(&json!({"expression": "0 4 * * *"})).expect("is a part");
        part(&json!({"enabled": true})).expect("is a part");
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = [
            with("expression", json!("0 25 * * *")),
            with("expression", json!("")),
            with("kind", json!("weekly")),
            with("timezone", json!("Mars/Olympus")),
            with("args", json!({})),
            with("kwargs", json!([])),
            with("enabled", json!("no")),
            with("priority", json!(256)),
            with("expire_seconds", json!(-1)),
            with("starts_at", json!("soon")),
            with("id", json!("7")),
            with("engine", json!("celery")),
            with("args_redacted", json!([])),
            with("name", json!(null)),
            json!({"name": "n"}),
            json!([]),
        ];
        for schedule in refused {
            assert!(whole(&schedule).is_err(), "{schedule}");
        }
        for schedule in [json!({}), json!({"expresion": "0 4 * * *"}), json!({"kind": "interval", "expression": "x"})] {
            assert!(part(&schedule).is_err(), "{schedule}");
        }
    }
}
