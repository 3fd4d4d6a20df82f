//! `taskplane tasks why`.

use anyhow::Result;
use serde_json::Value;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::api::Api;
use crate::arguments::TaskWhyOptions;
use crate::output::{self, printable};
use crate::table::{self, Column};

pub(super) async fn run(api: &Api, options: &TaskWhyOptions, json: bool) -> Result<()> {
    let query: &[(&str, &str)] = if options.ask { &[("ask", "true")] } else { &[] };
    let why = api.get(&["tasks", &options.engine, &options.id, "why"], query).await?;
    if json { output::json(&why) } else { output::data(&page(&why, clock::now(), output::width())) }
}

/// The answer, its reasons, and what the agent has found.
fn page(why: &Value, now: Timestamp, width: Option<u16>) -> String {
    let mut parts = vec![printable(&table::text(&why["summary"]))];
    if let Some(reasons) = why["reasons"].as_array().filter(|reasons| !reasons.is_empty()) {
        parts.push(table::list(&reason_columns(now), reasons, width));
    }
    if why["inquiry"].is_object() {
        parts.push(table::facts(&found(&why["inquiry"]), width));
    }
    parts.join("\n\n")
}

fn reason_columns(now: Timestamp) -> Vec<Column> {
    vec![
        Column::field("ROLE", "role").whole(),
        Column::field("WHY", "text"),
        Column::new("SINCE", move |reason| table::age(&reason["since"], now)).number().spare(),
        Column::new("KNOWN BY", |reason| table::text(&reason["known_by"]).replace('_', " ")).whole(),
        Column::new("SEEN", move |reason| table::age(&reason["known_at"], now)).number(),
    ]
}

fn found(inquiry: &Value) -> Vec<(&'static str, String)> {
    let field = |key: &str| table::text(&inquiry[key]);
    let evidence = inquiry["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str);
    vec![
        ("Asked", field("asked_at")),
        ("Found", field("state")),
        ("Found in", field("found_in").replace('_', " ")),
        ("Evidence", evidence.collect::<Vec<_>>().join("; ")),
        ("Silent", field("workers_silent")),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_has_the_answer_its_reasons_and_what_was_found() {
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let why = json!({
            "summary": "It does not run because no worker consumes its queue emails.",
            "reasons": [
                {"code": "queue_unconsumed", "role": "blocks", "text": "No worker consumes the queue emails.",
                    "known_by": "queue_sample", "known_at": "2026-11-22T18:19:58Z", "since": null},
                {"code": "sample_old", "role": "context", "text": "Old.", "known_by": "inquiry",
                    "known_at": null, "since": "2026-11-22T18:10:00Z"},
            ],
            "inquiry": {"asked_at": "2026-11-22T18:19:59Z", "state": "pending", "found_in": "queue",
                "evidence": ["no result is stored", "its message waits in the queue emails"], "workers_silent": ["w9"]},
        });
        let expected = "\
It does not run because no worker consumes its queue emails.

ROLE     WHY                                   SINCE  KNOWN BY      SEEN
blocks   No worker consumes the queue emails.      -  queue sample    2s
context  Old.                                    10m  inquiry          -

Asked     2026-11-22T18:19:59Z
Found     pending
Found in  queue
Evidence  no result is stored; its message waits in the queue emails
Silent    w9";
        assert_eq!(page(&why, now, None), expected);
        let ended = json!({"summary": "It has ended.", "reasons": [], "inquiry": null});
        assert_eq!(page(&ended, now, None), "It has ended.");
    }
}
