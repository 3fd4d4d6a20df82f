//! `taskplane tasks list`.

use anyhow::Result;
use serde_json::Value;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::api::Api;
use crate::arguments::TaskListOptions;
use crate::output;
use crate::table::{self, Column};

pub(super) async fn run(api: &Api, options: &TaskListOptions, json: bool) -> Result<()> {
    let filter = [
        ("q", &options.q),
        ("state", &options.state),
        ("name", &options.name),
        ("queue", &options.queue),
        ("worker", &options.worker),
        ("since", &options.since),
        ("until", &options.until),
    ];
    let filter: Vec<_> = filter.iter().filter_map(|(key, value)| value.as_deref().map(|value| (*key, value))).collect();
    let limit = usize::try_from(options.limit)?;
    let (tasks, may_be_more) = api.tasks(&filter, limit).await?;
    if json {
        output::json(&Value::Array(tasks))?;
    } else if tasks.is_empty() {
        output::note("no tasks match");
    } else {
        output::data(&table::list(&columns(clock::now()), &tasks, output::width()))?;
    }
    if may_be_more {
        output::note(&format!("these are the newest {limit}; there may be more, see --limit"));
    }
    Ok(())
}

fn columns(now: Timestamp) -> Vec<Column> {
    vec![
        Column::field("ID", "task_id").whole(),
        Column::field("STATE", "state").whole(),
        Column::new("AGE", move |task| table::age(&task["first_seen_at"], now)).number(),
        Column::field("NAME", "name"),
        Column::field("QUEUE", "queue"),
        Column::field("WORKER", "worker").spare(),
        Column::new("RAN", |task| table::duration(&task["runtime_ms"])).number().spare(),
        Column::new("ERROR", error).spare(),
    ]
}

/// The beginning of what went wrong.
fn error(task: &Value) -> String {
    const LONGEST: usize = 60;
    let Some(exception) = task["exception"].as_str() else { return String::new() };
    let text = match task["exception_message"].as_str() {
        Some(message) => format!("{exception}: {message}"),
        None => exception.to_owned(),
    };
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tasks_are_a_line_each() {
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let tasks = [
            json!({"task_id": "0b5f0a6e-0f5c-4a7e-9b7d-1f2f3a4b5c6d", "state": "failed", "name": "shop.charge",
                "first_seen_at": "2026-11-22T18:17:00Z", "queue": "emails", "worker": "w1@test", "runtime_ms": 3.2,
                "exception": "ValueError", "exception_message": "card declined\nfor order 17"}),
            json!({"task_id": "b", "state": "pending", "first_seen_at": "2026-11-22T18:19:59Z"}),
        ];
        let expected = "\
ID                                    STATE    AGE  NAME         QUEUE   WORKER   RAN  ERROR
0b5f0a6e-0f5c-4a7e-9b7d-1f2f3a4b5c6d  failed    3m  shop.charge  emails  w1@test  3ms  ValueError: card declined for order 17
b                                     pending   1s  -            -       -          -";
        assert_eq!(table::list(&columns(now), &tasks, None), expected);
        let narrow = table::list(&columns(now), &tasks, Some(78));
        assert!(
            narrow.starts_with("ID                                    STATE    AGE  NAME         QUEUE\n"),
            "{narrow}"
        );
        assert!(narrow.lines().all(|line| line.chars().count() <= 78), "{narrow}");
    }

    #[test]
    fn long_errors_are_shortened() {
        let task = json!({"exception": "E", "exception_message": "é".repeat(100)});
        assert_eq!(error(&task).chars().count(), 60);
        assert!(error(&task).ends_with('…'));
    }
}
