//! `taskplane schedules list`.

use anyhow::Result;
use serde_json::Value;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::api::Api;
use crate::output;
use crate::table::{self, Column};

pub(super) async fn run(api: &Api, json: bool) -> Result<()> {
    let schedules = api.pages("schedules").await?;
    if json {
        return output::json(&Value::Array(schedules));
    }
    if schedules.is_empty() {
        output::note("no schedule is known yet: an agent tells of them, see `taskplane agents list`");
        return Ok(());
    }
    output::data(&table::list(&columns(clock::now()), &schedules, output::width()))
}

fn columns(now: Timestamp) -> Vec<Column> {
    vec![
        Column::new("NAME", super::named::name),
        Column::field("TASK", "task"),
        Column::new("WHEN", when),
        Column::new("LAST RUN", move |schedule| table::age(last_seen(schedule), now)).number(),
        Column::new("NEXT RUN", move |schedule| next(schedule, now)).number(),
        Column::new("STATE", state),
        Column::field("SCHEDULER", "scheduler").spare(),
        Column::field("ID", "id").spare(),
    ]
}

fn when(schedule: &Value) -> String {
    table::text(if schedule["words"].is_null() { &schedule["expression"] } else { &schedule["words"] })
}

/// When it last ran, by any evidence.
fn last_seen(schedule: &Value) -> &Value {
    let runs = schedule["last_runs"].as_array();
    let seen = runs.and_then(|runs| runs.iter().find(|run| !run["seen_at"].is_null()));
    seen.map_or(&schedule["last_run_at"], |run| &run["seen_at"])
}

fn next(schedule: &Value, now: Timestamp) -> String {
    let next = schedule["next_runs"][0].as_str().and_then(Timestamp::parse_rfc3339);
    next.map_or_else(String::new, |next| {
        let ms = (next.0.saturating_sub(now.0)).max(0) as f64 / 1_000.0;
        format!("in {}", table::duration(&Value::from(ms)))
    })
}

/// Paused, or what is wrong.
pub(super) fn state(schedule: &Value) -> String {
    if schedule["enabled"] == false {
        return "paused".to_owned();
    }
    let text = match schedule["problem"]["kind"].as_str() {
        None => "ok",
        Some("scheduler_silent") => "scheduler silent",
        Some("not_understood") => "not understood",
        Some("agent_away") => "agent away",
        Some(other) => other,
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_are_a_line_each() {
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let schedules = [
            json!({"scheduler": "celery-beat", "id": "1", "name": "nightly", "task": "reports.nightly", "enabled": true,
                "words": "Every hour", "next_runs": ["2026-11-22T19:00:00Z"], "problem": {"kind": "scheduler_silent"},
                "last_runs": [{"state": "missed", "seen_at": null}, {"state": "seen", "seen_at": "2026-11-22T17:00:00Z"}]}),
            json!({"scheduler": "celery-beat", "id": "2", "name": null, "task": "ping", "enabled": false, "words": null,
                "expression": "odd", "next_runs": [], "problem": null, "last_runs": [], "last_run_at": null}),
        ];
        let expected = "\
NAME     TASK             WHEN        LAST RUN   NEXT RUN  STATE             SCHEDULER    ID
nightly  reports.nightly  Every hour        1h  in 40m00s  scheduler silent  celery-beat  1
2        ping             odd                -             paused            celery-beat  2";
        let shown = table::list(&columns(now), &schedules, None);
        assert_eq!(shown, expected);
    }
}
