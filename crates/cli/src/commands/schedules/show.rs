//! `taskplane schedules show`.

use anyhow::Result;
use serde_json::Value;

use super::{list, named};
use crate::api::Api;
use crate::arguments::ScheduleNamed;
use crate::output;
use crate::table::{self, Column, text};

pub(super) async fn run(api: &Api, schedule: &ScheduleNamed, json: bool) -> Result<()> {
    let found = named::find(api, schedule).await?;
    let part = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let schedule = api.get(&["schedules", &part("scheduler"), &part("id")], &[]).await?;
    if json { output::json(&schedule) } else { output::data(&page(&schedule, output::width())) }
}

fn page(schedule: &Value, width: Option<u16>) -> String {
    let mut parts = vec![table::facts(&facts(schedule), width)];
    if let Some(runs) = schedule["last_runs"].as_array().filter(|runs| !runs.is_empty()) {
        parts.push(table::list(&columns(), runs, width));
    }
    parts.join("\n\n")
}

fn facts(schedule: &Value) -> Vec<(&'static str, String)> {
    let field = |key: &str| text(&schedule[key]);
    let next = schedule["next_runs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    vec![
        ("Schedule", named::name(schedule)),
        ("Scheduler", field("scheduler")),
        ("Id", field("id")),
        ("State", list::state(schedule)),
        ("Since", text(&schedule["problem"]["since"])),
        ("Why", text(&schedule["problem"]["message"])),
        ("Task", field("task")),
        ("When", field("words")),
        ("Expression", field("expression")),
        ("Zone", field("timezone")),
        ("Arguments", json(&schedule["args_redacted"])),
        ("Keywords", json(&schedule["kwargs_redacted"])),
        ("Queue", field("queue")),
        (
            "Read only",
            if schedule["read_only"] == true { "yes, it stands in code or settings".into() } else { String::new() },
        ),
        ("Next runs", next.collect::<Vec<_>>().join("\n")),
        ("Runs ever", field("total_run_count")),
        ("Description", field("description")),
        ("Told by", field("agent")),
    ]
}

fn columns() -> Vec<Column> {
    vec![
        Column::field("DUE", "due").whole(),
        Column::new("OUTCOME", |run| {
            let overlapping = if run["overlapping"] == true { ", overlapping" } else { "" };
            format!("{}{overlapping}", text(&run["state"]))
        }),
        Column::field("RAN", "seen_at").whole(),
        Column::new("KNOWN BY", |run| known_by(&run["evidence"])).spare(),
        Column::field("TASK", "task_id").whole(),
    ]
}

fn known_by(evidence: &Value) -> String {
    match evidence.as_str() {
        Some("last_run_at") => "the scheduler's record".to_owned(),
        Some("run_count") => "the scheduler's count".to_owned(),
        Some("task") => "its task".to_owned(),
        _ => String::new(),
    }
}

fn json(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_has_facts_and_runs() {
        let schedule = json!({
            "scheduler": "celery-beat", "id": "1", "name": "nightly", "task": "t", "words": "Every day at 03:00 UTC",
            "expression": "0 3 * * *", "timezone": "UTC", "args_redacted": [1], "kwargs_redacted": null, "read_only": true,
            "problem": {"kind": "missed", "since": "2026-11-22T03:00:00Z", "message": null}, "enabled": true,
            "next_runs": ["2026-11-23T03:00:00Z"], "agent": "sidecar",
            "last_runs": [{"due": "2026-11-22T03:00:00Z", "state": "missed", "seen_at": null, "evidence": null},
                {"due": "2026-11-21T03:00:00Z", "state": "seen", "seen_at": "2026-11-21T03:00:01Z", "evidence": "task",
                    "task_id": "x", "overlapping": true}],
        });
        let page = page(&schedule, None);
        for wanted in
            ["missed", "Every day at 03:00 UTC", "[1]", "in code or settings", "seen, overlapping", "its task"]
        {
            assert!(page.contains(wanted), "{wanted} in\n{page}");
        }
    }
}
