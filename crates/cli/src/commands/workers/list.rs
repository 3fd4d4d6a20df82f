//! `taskplane workers list`.

use anyhow::Result;
use serde_json::Value;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::api::Api;
use crate::output;
use crate::table::{self, Column};

pub(super) async fn run(api: &Api, json: bool) -> Result<()> {
    let workers = api.list("workers").await?;
    if json {
        return output::json(&Value::Array(workers));
    }
    if workers.is_empty() {
        output::note("no worker is known yet: an agent tells of them, see `taskplane agents list`");
        return Ok(());
    }
    output::data(&table::list(&columns(clock::now()), &workers, output::width()))
}

fn columns(now: Timestamp) -> Vec<Column> {
    vec![
        Column::field("NAME", "name"),
        Column::field("STATE", "state").whole(),
        Column::field("ENGINE", "engine"),
        Column::new("BUSY", busy).number(),
        Column::field("PROCESSED", "processed").number(),
        Column::field("QUEUES", "queues"),
        Column::new("SEEN", move |worker| table::age(&worker["last_seen_at"], now)).number(),
        Column::field("POOL", "pool").spare(),
        Column::field("SOFTWARE", "software").spare(),
    ]
}

/// Tasks it runs, of those it can run at once.
fn busy(worker: &Value) -> String {
    format!("{}/{}", table::text(&worker["active"]), table::text(&worker["concurrency"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn workers_are_a_line_each() {
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let workers = [json!({"name": "w1@test", "state": "online", "engine": "celery", "active": 1, "concurrency": 2,
            "processed": 40, "queues": ["default", "emails"], "last_seen_at": "2026-11-22T18:19:58Z", "pool": "prefork",
            "software": null})];
        let expected = "\
NAME     STATE   ENGINE  BUSY  PROCESSED  QUEUES           SEEN  POOL     SOFTWARE
w1@test  online  celery   1/2         40  default, emails    2s  prefork  -";
        assert_eq!(table::list(&columns(now), &workers, None), expected);
    }
}
