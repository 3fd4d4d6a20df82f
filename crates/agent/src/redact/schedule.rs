//! From a scheduler's entry to a schedule on the wire.

use serde_json::value::RawValue;
use taskplane_model::schedule::Schedule;

use super::Redactor;
use super::event::raw;
use super::text::cut_end;
use super::value::redacted_json;
use crate::scheduler::ScheduleEntry;

/// Most bytes of the arguments of one schedule, each way of giving them.
const MAX_VALUE_BYTES: usize = 16 << 10;
/// Most bytes in JSON of a name or an expression.
const MAX_NAME_BYTES: usize = 1 << 10;
/// Most bytes in JSON of a description.
const MAX_DESCRIPTION_BYTES: usize = 2 << 10;

impl Redactor {
    /// The schedule that the brain is told of, redacted; at most 64 KiB in JSON. This is the only way from an entry to
    /// the network.
    pub fn schedule(&self, entry: &ScheduleEntry) -> Schedule {
        let facts = &entry.facts;
        let name = |text: &Option<String>| text.as_deref().map(|text| cut_end(text, MAX_NAME_BYTES).into_owned());
        let value = |value: &Option<serde_json::Value>| {
            let redacted = redacted_json(self, value.as_ref()?, MAX_VALUE_BYTES);
            serde_json::from_str(raw(redacted).get()).ok()
        };
        Schedule {
            name: name(&facts.name),
            task: name(&facts.task),
            expression: name(&facts.expression),
            queue: name(&facts.queue),
            args_redacted: value(&entry.args),
            kwargs_redacted: value(&entry.kwargs),
            description: facts.description.as_deref().map(|text| self.shown_text(text, MAX_DESCRIPTION_BYTES)),
            ..facts.clone()
        }
    }

    /// [`Self::schedule`] as JSON text.
    pub(crate) fn schedule_json(&self, entry: &ScheduleEntry) -> Box<RawValue> {
        serde_json::value::to_raw_value(&self.schedule(entry)).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_and_descriptions_are_redacted_and_the_rest_is_told() {
        let redactor = Redactor::new(&Default::default()).expect("built-in rules");
        let entry = ScheduleEntry {
            facts: Schedule {
                id: "7".into(),
                name: Some("mail bob@example.com".into()),
                task: Some("mail.send".into()),
                description: Some("for bob@example.com".into()),
                ..Schedule::default()
            },
            args: Some(json!(["bob@example.com", 3])),
            kwargs: Some(json!({"password": "hunter2"})),
        };
        let shown = serde_json::to_value(redactor.schedule(&entry)).expect("JSON");
        assert_eq!(shown["args_redacted"], json!(["<email>", 3]));
        assert_eq!(shown["kwargs_redacted"], json!({"password": "<redacted>"}));
        assert_eq!((&shown["description"], &shown["task"]), (&json!("for <email>"), &json!("mail.send")));
    }
}
