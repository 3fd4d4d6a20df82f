//! `taskplane agents`.

use anyhow::Result;
use serde_json::Value;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::api::Api;
use crate::arguments::{AgentsCommand, AgentsVerb};
use crate::output;
use crate::table::{self, Column};

pub(crate) async fn run(command: AgentsCommand) -> Result<()> {
    let AgentsVerb::List = command.verb;
    let agents = Api::new(&command.api)?.list("agents").await?;
    if command.api.json {
        return output::json(&Value::Array(agents));
    }
    if agents.is_empty() {
        output::note(
            "no agent has connected yet: make a token with `taskplane token create`, then run `taskplane agent`",
        );
        return Ok(());
    }
    output::data(&table::list(&columns(clock::now()), &agents, output::width()))
}

fn columns(now: Timestamp) -> Vec<Column> {
    vec![
        Column::field("NAME", "name"),
        Column::field("STATE", "state").whole(),
        Column::new("SEEN", move |agent| table::age(&agent["last_seen_at"], now)).number(),
        Column::field("ENGINES", "engines"),
        Column::new("BUFFERED", |agent| table::text(&agent["buffer"]["events"])).number(),
        Column::new("DROPPED", |agent| table::text(&agent["buffer"]["dropped"])).number(),
        Column::field("VERSION", "version").spare(),
        Column::new("PROBLEM", problem),
    ]
}

/// What is wrong with it, or with an engine that it observes.
fn problem(agent: &Value) -> String {
    let adapters = agent["adapters"].as_object().into_iter().flatten();
    let unwell =
        adapters.filter(|(_, says)| *says != "ok").map(|(name, says)| format!("{name}: {}", table::text(says)));
    agent["problem"].as_str().map(str::to_owned).into_iter().chain(unwell).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn agents_are_a_line_each() {
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let agents = [
            json!({"name": "web", "state": "online", "engines": ["celery"], "last_seen_at": "2026-11-22T18:19:58Z",
                "buffer": {"events": 3, "dropped": 0}, "version": "0.1.0", "adapters": {"celery": "ok"}, "problem": null}),
            json!({"name": "old", "state": "offline", "engines": [], "last_seen_at": null, "buffer": null,
                "version": null, "adapters": {"celery": "Redis does not answer"}, "problem": "Clock is off"}),
        ];
        let expected = "\
NAME  STATE    SEEN  ENGINES  BUFFERED  DROPPED  VERSION  PROBLEM
web   online     2s  celery          3        0  0.1.0
old   offline     -  -               -        -  -        Clock is off; celery: Redis does not answer";
        assert_eq!(table::list(&columns(now), &agents, None), expected);
    }
}
