//! Whether a task can be a schedule's, by the arguments that are told of both.

use serde_json::Value;
use taskplane_model::TaskRecord;
use taskplane_model::schedule::Schedule;

/// Longer arguments of tasks are not read: those of schedules are cut here.
const MAX_READ: usize = 16 << 10;
/// How what agents write in place of what they hide begins.
const REDACTED: [&str; 7] = ["<redacted", "<email", "<jwt", "<card", "<url-credentials", "<str len=", "<bytes len="];

/// True when the task was sent with other arguments than the schedule's. What is not told of either side contradicts nothing: a run that
/// is called missed although it was made is worse than one that is called seen.
pub(crate) fn contradict(schedule: &Schedule, task: &TaskRecord) -> bool {
    let differ = |wanted: &Option<Value>, found: &Option<String>| {
        let found = found.as_deref().filter(|found| found.len() <= MAX_READ);
        let found = found.and_then(|found| serde_json::from_str::<Value>(found).ok());
        match (wanted, &found) {
            (Some(wanted @ Value::Array(_)), Some(found @ Value::Array(_)))
            | (Some(wanted @ Value::Object(_)), Some(found @ Value::Object(_))) => !may_be_same(wanted, found),
            // Not told, or told in a form that could not be read.
            _ => false,
        }
    };
    differ(&schedule.args_redacted, &task.args) || differ(&schedule.kwargs_redacted, &task.kwargs)
}

/// Markers compare as they stand. Where one side shows what the other hides, agents redact differently, and nobody can know.
fn may_be_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            let same = || one.iter().zip(other).all(|(one, other)| may_be_same(one, other));
            let mut texts = one.iter().chain(other).filter_map(Value::as_str);
            texts.any(is_cut) || (one.len() == other.len() && same())
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| may_be_same(one, other));
            one.keys().chain(other.keys()).any(|key| is_cut(key)) || (one.len() == other.len() && one.iter().all(same))
        }
        (Value::String(one), Value::String(other)) if is_redacted(one) && is_redacted(other) => one == other,
        (one, other) => one == other || [one, other].iter().any(|value| value.as_str().is_some_and(is_hidden)),
    }
}

/// Something stood here, and nobody tells what: a marker, a Python object by its name, Celery's stars, or a text that was shortened.
fn is_hidden(text: &str) -> bool {
    let is_marker = text.starts_with('<') && text.ends_with('>');
    let is_stars = text.len() > 2 && text.bytes().all(|byte| byte == b'*');
    is_marker || is_stars || text.ends_with("...") || text.ends_with('…')
}

fn is_redacted(text: &str) -> bool {
    text.ends_with('>') && REDACTED.iter().any(|marker| text.starts_with(marker))
}

/// More stood here: agents and Celery keep only the beginning of what is long.
fn is_cut(text: &str) -> bool {
    text.starts_with("<cut") || matches!(text, "…" | "...")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differ(schedule: [Value; 2], task: [&str; 2]) -> bool {
        let told = |value: Value| Some(value).filter(|value| !value.is_null());
        let [args_redacted, kwargs_redacted] = schedule.map(told);
        let [args, kwargs] = task.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
        let schedule = Schedule { args_redacted, kwargs_redacted, ..Schedule::default() };
        contradict(&schedule, &TaskRecord { args, kwargs, ..TaskRecord::default() })
    }

    fn args_differ(schedule: Value, task: &str) -> bool {
        differ([schedule, json!({})], [task, "{}"])
    }

    #[test]
    fn other_arguments_contradict() {
        assert!(!differ([json!([1, "a"]), json!({"x": null, "y": [2.5]})], ["[1,\"a\"]", r#"{"y":[2.5],"x":null}"#]));
        assert!(args_differ(json!([1]), "[2]"));
        assert!(args_differ(json!([1]), "[1,1]"));
        assert!(args_differ(json!(["1"]), "[1]"));
        assert!(differ([json!([]), json!({"x": 1})], ["[]", r#"{"x":2}"#]));
        assert!(differ([json!([]), json!({"x": 1})], ["[]", r#"{"y":1}"#]));
    }

    #[test]
    fn no_arguments_are_arguments_too() {
        assert!(!args_differ(json!([]), "[]"));
        assert!(args_differ(json!([]), "[1]"));
        assert!(args_differ(json!([1]), "[]"));
        assert!(differ([json!([]), json!({})], ["[]", r#"{"x":null}"#]));
    }

    #[test]
    fn what_is_not_told_contradicts_nothing() {
        assert!(!differ([json!(null), json!(null)], ["[1]", r#"{"x":1}"#]));
        assert!(!differ([json!([1]), json!({"x": 1})], ["", ""]));
        for unreadable in ["null", "\"not a tuple\"", "{}", "[1", "\"<redacted>\""] {
            assert!(!args_differ(json!([1]), unreadable), "{unreadable}");
        }
        assert!(!args_differ(json!([1]), &format!("[\"{}\"]", "x".repeat(MAX_READ))));
        assert!(differ([json!(null), json!({"x": 1})], ["[1]", r#"{"x":2}"#]), "the other way of giving them is told");
    }

    #[test]
    fn markers_compare_as_they_stand_and_not_with_what_another_agent_shows() {
        assert!(!args_differ(json!(["<email>", "<str len=24>"]), r#"["<email>","<str len=24>"]"#));
        assert!(args_differ(json!(["<str len=24>"]), r#"["<str len=25>"]"#));
        assert!(args_differ(json!(["<email>"]), r#"["<str len=25>"]"#));
        assert!(!args_differ(json!(["EUR"]), r#"["<str len=3>"]"#));
        assert!(!args_differ(json!([{"token": "<redacted>"}]), r#"[{"token":7}]"#));
        assert!(args_differ(json!(["<str len=24>", 1]), r#"["<str len=24>",2]"#));
    }

    #[test]
    fn what_was_cut_or_has_no_place_in_json_contradicts_nothing() {
        assert!(!args_differ(json!([1, 2, 3]), r#"[1,"…"]"#));
        assert!(!args_differ(json!([1, "<cut size>"]), "[1,2,3]"));
        assert!(!differ([json!([]), json!({"a": 1, "b": 2})], ["[]", r#"{"a":1,"…":["…"]}"#]));
        assert!(!args_differ(json!([{"__type__": "datetime", "__value__": "<str len=19>"}]), r#"["<datetime>"]"#));
        assert!(!args_differ(json!(["<str len=34>"]), r#"["<datetime>"]"#));
        assert!(!args_differ(json!(["********"]), "[1]"));
        assert!(!args_differ(json!(["<str len=2000>"]), r#"["a stump..."]"#));
    }
}
