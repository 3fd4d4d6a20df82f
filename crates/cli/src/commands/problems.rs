//! `taskplane problems`.

use anyhow::Result;
use serde_json::Value;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::api::Api;
use crate::arguments::ProblemsCommand;
use crate::output;
use crate::table::{self, Column};

pub(crate) async fn run(command: ProblemsCommand) -> Result<()> {
    let problems = Api::new(&command.api)?.list("problems").await?;
    if command.api.json {
        return output::json(&Value::Array(problems));
    }
    if problems.is_empty() {
        output::note("no problem is known");
        return Ok(());
    }
    output::data(&table::list(&columns(clock::now()), &problems, output::width()))
}

fn columns(now: Timestamp) -> Vec<Column> {
    vec![
        Column::field("SEVERITY", "severity").whole(),
        Column::field("PROBLEM", "title"),
        Column::new("SINCE", move |problem| table::age(&problem["since"], now)).number(),
        Column::field("CAUSE", "cause"),
        Column::field("REMEDY", "remedy"),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_are_a_line_each() {
        let now = Timestamp::parse_rfc3339("2026-11-22T18:20:00Z").expect("a time");
        let problems = [
            json!({"severity": "error", "title": "Worker w1 is offline", "cause": "It was idle.", "remedy": null,
                "since": "2026-11-22T18:18:00Z"}),
            json!({"severity": "warning", "title": "Worker w2 sends no task events", "cause": "So it is.",
                "remedy": "Start it with -E.", "since": null}),
        ];
        let expected = "\
SEVERITY  PROBLEM                         SINCE  CAUSE         REMEDY
error     Worker w1 is offline               2m  It was idle.  -
warning   Worker w2 sends no task events      -  So it is.     Start it with -E.";
        assert_eq!(table::list(&columns(now), &problems, None), expected);
    }
}
