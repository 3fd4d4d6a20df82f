//! `taskplane queues list`.

use anyhow::Result;
use serde_json::Value;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::api::Api;
use crate::output;
use crate::table::{self, Column};

pub(super) async fn run(api: &Api, json: bool) -> Result<()> {
    let queues = api.list("queues").await?;
    if json {
        return output::json(&Value::Array(queues));
    }
    if queues.is_empty() {
        output::note("no queue is known yet: an agent tells of them, see `taskplane agents list`");
        return Ok(());
    }
    output::data(&table::list(&columns(clock::now()), &queues, output::width()))
}

fn columns(now: Timestamp) -> Vec<Column> {
    vec![
        Column::field("NAME", "name"),
        Column::field("ENGINE", "engine"),
        Column::field("WAITING", "depth").number(),
        Column::field("UNACKED", "unacked").number(),
        Column::field("CONSUMERS", "consumers").number(),
        Column::new("OLDEST", |queue| table::duration(&queue["oldest_age_ms"])).number(),
        Column::new("SAMPLED", move |queue| table::age(&queue["sampled_at"], now)).number().spare(),
        Column::field("AGENT", "agent").spare(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queues_are_a_line_each() {
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let queues = [json!({"name": "emails", "engine": "celery", "depth": 7, "unacked": 0, "consumers": null,
            "oldest_age_ms": 65_000.0, "sampled_at": "2026-11-22T18:19:58Z", "agent": "sidecar"})];
        let expected = "\
NAME    ENGINE  WAITING  UNACKED  CONSUMERS  OLDEST  SAMPLED  AGENT
emails  celery        7        0          -   1m05s       2s  sidecar";
        assert_eq!(table::list(&columns(now), &queues, None), expected);
    }
}
