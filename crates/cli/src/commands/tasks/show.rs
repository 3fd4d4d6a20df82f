//! `taskplane tasks show`.

use anyhow::Result;
use serde_json::Value;

use crate::api::Api;
use crate::arguments::TaskShowOptions;
use crate::output;
use crate::table::{self, Column, duration, text};

pub(super) async fn run(api: &Api, options: &TaskShowOptions, json: bool) -> Result<()> {
    let task = api.get(&["tasks", &options.engine, &options.id], &[]).await?;
    if json { output::json(&task) } else { output::data(&page(&task, output::width())) }
}

/// Facts, attempts, and what went wrong.
fn page(task: &Value, width: Option<u16>) -> String {
    let mut parts = vec![table::facts(&facts(task), width)];
    if let Some(attempts) = task["attempts"].as_array().filter(|attempts| !attempts.is_empty()) {
        parts.push(table::list(&attempt_columns(), attempts, width));
    }
    let evidence: Vec<&str> =
        task["lost"]["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !evidence.is_empty() {
        parts.push(output::printable(&format!("Lost: {}", evidence.join("; "))));
    }
    if task["started_twice"] == true {
        parts.push(format!("Started more than once: {}", starts(task)));
    }
    // As it is: people copy it, and editors find files and lines in it.
    parts.extend(task["traceback"].as_str().map(|traceback| output::printable(traceback.trim_end())));
    parts.join("\n\n")
}

fn facts(task: &Value) -> Vec<(&'static str, String)> {
    let field = |key: &str| text(&task[key]);
    vec![
        ("Task", field("task_id")),
        ("Engine", field("engine")),
        ("Name", field("name")),
        ("State", field("state")),
        ("Error", error(task)),
        ("Queue", field("queue")),
        ("Worker", field("worker")),
        ("Agent", field("agent")),
        // Always JSON, so that they can go into a retry.
        ("Arguments", json(&task["args_redacted"])),
        ("Keywords", json(&task["kwargs_redacted"])),
        ("Result", json(&task["result_redacted"])),
        ("Progress", progress(&task["progress"])),
        ("Sent", time(&task["sent_at"])),
        ("Due", time(&task["eta"])),
        ("Expires", time(&task["expires"])),
        ("Received", time(&task["received_at"])),
        ("Started", time(&task["started_at"])),
        ("Finished", time(&task["finished_at"])),
        ("Waited", duration(&task["wait_ms"])),
        ("Ran", duration(&task["runtime_ms"])),
        ("Priority", field("priority")),
        ("Root", field("root_id")),
        ("Parent", field("parent_id")),
        ("Group", field("group_id")),
        ("Chord", field("chord_id")),
        ("Retry of", field("retry_of")),
        ("Retried as", field("retried_as")),
    ]
}

fn attempt_columns() -> Vec<Column> {
    vec![
        // The API counts from 0, people from 1.
        Column::new("ATTEMPT", |attempt| attempt["attempt"].as_u64().map_or(0, |n| n + 1).to_string()).number(),
        Column::field("STATE", "state").whole(),
        Column::new("STARTED", |attempt| time(&attempt["started_at"])).whole(),
        Column::new("WAITED", |attempt| duration(&attempt["wait_ms"])).number().spare(),
        Column::new("RAN", |attempt| duration(&attempt["runtime_ms"])).number(),
        Column::field("WORKER", "worker").spare(),
        Column::new("ERROR", error),
    ]
}

/// When and where attempts began that began more than once.
fn starts(task: &Value) -> String {
    let of_attempt = |attempt: &Value| attempt["starts"].as_array().filter(|starts| starts.len() > 1).cloned();
    let starts = task["attempts"].as_array().into_iter().flatten().filter_map(of_attempt).flatten();
    let one = |start: Value| match start["worker"].as_str() {
        Some(worker) => format!("{} on {}", time(&start["at"]), output::printable(worker)),
        None => time(&start["at"]),
    };
    starts.map(one).collect::<Vec<_>>().join(", ")
}

fn error(of: &Value) -> String {
    match (of["exception"].as_str(), of["exception_message"].as_str()) {
        (Some(exception), Some(message)) => format!("{exception}: {message}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => String::new(),
    }
}

fn json(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}

/// `2026-11-22T18:20:00.123456Z` to the millisecond.
fn time(value: &Value) -> String {
    let Some((date, time)) = value.as_str().and_then(|at| at.split_once('T')) else { return text(value) };
    let time = time.trim_end_matches('Z');
    format!("{date} {}Z", time.get(..12).unwrap_or(time))
}

fn progress(value: &Value) -> String {
    let done = match (&value["done"], &value["total"]) {
        (Value::Null, _) => return String::new(),
        (done, Value::Null) => done.to_string(),
        (done, total) => format!("{done} of {total}"),
    };
    value["note"].as_str().map_or_else(|| done.clone(), |note| format!("{done}: {note}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_says_why_a_task_is_lost_and_where_it_began_twice() {
        let task = json!({
            "task_id": "t", "state": "lost", "lost": {"evidence": ["no result is stored", "the worker w2, which had it, is gone"]},
            "started_twice": true,
            "attempts": [{"attempt": 0, "starts": [
                {"at": "2026-11-22T18:20:00Z", "worker": "w1"}, {"at": "2026-11-22T18:21:00Z", "worker": "w2"},
            ]}],
        });
        let page = page(&task, None);
        let expected = "Lost: no result is stored; the worker w2, which had it, is gone\n\n\
            Started more than once: 2026-11-22 18:20:00Z on w1, 2026-11-22 18:21:00Z on w2";
        assert!(page.ends_with(expected), "{page}");
    }

    #[test]
    fn a_page_has_facts_attempts_and_the_traceback() {
        let task = json!({
            "task_id": "t", "engine": "celery", "name": "shop.charge", "state": "failed", "exception": "ValueError",
            "exception_message": "card declined", "args_redacted": ["a"], "kwargs_redacted": {}, "queue": null,
            "sent_at": "2026-11-22T18:20:00.123456Z", "runtime_ms": 3.0, "progress": {"done": 1, "total": 2, "note": null},
            "traceback": "Traceback:\n\tline\u{7}\nValueError: card declined\n",
            "attempts": [{"attempt": 0, "state": "failed", "started_at": "2026-11-22T18:20:01Z", "worker": "w",
                "wait_ms": 1.0, "runtime_ms": 3.0, "exception": "ValueError", "exception_message": "card declined"}],
        });
        let expected = "\
Task       t
Engine     celery
Name       shop.charge
State      failed
Error      ValueError: card declined
Arguments  [\"a\"]
Keywords   {}
Progress   1 of 2
Sent       2026-11-22 18:20:00.123Z
Ran        3ms

ATTEMPT  STATE   STARTED               WAITED  RAN  WORKER  ERROR
      1  failed  2026-11-22 18:20:01Z     1ms  3ms  w       ValueError: card declined

Traceback:
    line\\u{7}
ValueError: card declined";
        assert_eq!(page(&task, None), expected);
    }
}
