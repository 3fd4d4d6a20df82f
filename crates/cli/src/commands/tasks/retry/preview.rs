//! What a retry would send, for people. Values are redacted.

use serde_json::Value;

use crate::output;

/// What would be sent for a task, or why it cannot be.
pub(super) fn preview(id: &str, told: &Value, failed: &Value) -> String {
    if !told.is_object() {
        let why = failed["message"].as_str().or(failed.as_str()).unwrap_or("the agent said nothing about it");
        return output::printable(&format!("{id} cannot be retried: {why}")).to_string();
    }
    let text = |key: &str| told[key].as_str().unwrap_or("-").to_owned();
    let mut lines = vec![
        format!("{id} would be sent as a new task"),
        format!("  name      {}", text("name")),
        format!("  queue     {}", text("queue")),
    ];
    lines.extend(told["eta"].as_str().map(|eta| format!("  eta       {eta}")));
    // They are told where the agent can read them.
    let values = |key: &str| told.get(key).filter(|value| !value.is_null()).map_or("-".to_owned(), Value::to_string);
    lines.push(format!("  args      {}", values("args_redacted")));
    lines.push(format!("  kwargs    {}", values("kwargs_redacted")));
    let whole = if told["lossless"] == true { "nothing is lost" } else { "not all of the original message" };
    lines.push(format!("  source    {}, {whole}", text("source")));
    lines.extend(
        told["notes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|note| Some(format!("  note      {}", note.as_str()?))),
    );
    lines.iter().map(|line| output::printable(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_preview_says_what_would_be_sent_or_why_nothing_can_be() {
        let told = json!({"name": "pay", "queue": "q", "eta": null, "args_redacted": [1], "kwargs_redacted": {},
            "source": "message", "lossless": true, "notes": ["its callbacks are kept"]});
        let said = preview("a", &told, &Value::Null);
        for part in ["name      pay", "queue     q", "args      [1]", "message, nothing is lost", "callbacks"] {
            assert!(said.contains(part), "{said}");
        }
        let unread = preview("a", &json!({"name": "pay", "queue": "q"}), &Value::Null);
        assert!(unread.contains("args      -") && unread.contains("kwargs    -"), "{unread}");
        let gone = preview("b", &Value::Null, &json!({"error": "not_found", "message": "it is gone"}));
        assert_eq!(gone, "b cannot be retried: it is gone");
    }
}
