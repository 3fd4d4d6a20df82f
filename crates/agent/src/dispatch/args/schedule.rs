//! Arguments of commands about schedules.

use serde_json::{Map, Value};
use taskplane_model::Timestamp;
use taskplane_protocol::limits::MAX_NAME_BYTES;

use super::Args;
use crate::engine::{CommandError, EnqueueRequest};
use crate::scheduler::ScheduleChange;

/// What of a schedule a command can set.
const SETTABLE: [&str; 15] = [
    "name",
    "task",
    "kind",
    "expression",
    "timezone",
    "args",
    "kwargs",
    "queue",
    "enabled",
    "one_off",
    "starts_at",
    "expires_at",
    "expire_seconds",
    "priority",
    "description",
];
/// Longest expression, in bytes; schedulers have narrower bounds of their own.
const MAX_EXPRESSION_BYTES: usize = 1 << 10;
/// Longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 16 << 10;
/// Most bytes of a task's arguments in JSON.
const MAX_ARGUMENT_BYTES: usize = 256 << 10;

impl<'a> Args<'a> {
    pub(in crate::dispatch) fn cmd(&self) -> &'a str {
        self.cmd
    }

    pub(in crate::dispatch) fn scheduler(&self) -> Result<Option<&'a str>, CommandError> {
        self.text("scheduler", MAX_NAME_BYTES)
    }

    pub(in crate::dispatch) fn schedule_id(&self) -> Result<&'a str, CommandError> {
        self.text("id", MAX_NAME_BYTES)?.ok_or_else(|| self.invalid("id", "the id of a schedule"))
    }

    pub(in crate::dispatch) fn paused(&self) -> Result<bool, CommandError> {
        Ok(self.flag("paused")?.unwrap_or(true))
    }

    /// What the command wants a schedule to be.
    pub(in crate::dispatch) fn schedule(&self) -> Result<ScheduleChange, CommandError> {
        let Some(Value::Object(fields)) = self.given("schedule") else {
            return Err(self.invalid("schedule", "an object"));
        };
        if fields.keys().any(|key| !SETTABLE.contains(&key.as_str())) {
            let sentence = format!("a schedule's {} can be set, and nothing else", SETTABLE.join(", "));
            return Err(CommandError::InvalidArgs(sentence));
        }
        let these = Self { cmd: self.cmd, fields };
        let text = |field, max| these.text(field, max).map(|text| text.map(str::to_owned));
        // A field that is given as null is emptied, where it can be empty.
        let cleared = |field: &str| fields.get(field).is_some_and(Value::is_null);
        let queue = text("queue", MAX_NAME_BYTES)?;
        let timezone = text("timezone", MAX_NAME_BYTES)?;
        let starts_at = these.time("starts_at")?;
        let expires_at = these.time("expires_at")?;
        let expire_seconds = these.whole("expire_seconds", u64::from(u32::MAX))?;
        let priority = these.whole("priority", 255)?.and_then(|priority| u8::try_from(priority).ok());
        let description = match fields.get("description") {
            None => None,
            Some(Value::Null) => Some(String::new()),
            Some(Value::String(text)) if text.len() <= MAX_DESCRIPTION_BYTES => Some(text.clone()),
            Some(_) => return Err(self.invalid("description", "a text of at most 16 KiB")),
        };
        Ok(ScheduleChange {
            name: text("name", MAX_NAME_BYTES)?,
            task: text("task", MAX_NAME_BYTES)?,
            kind: text("kind", 16)?,
            expression: text("expression", MAX_EXPRESSION_BYTES)?,
            timezone: settable(timezone, cleared("timezone")),
            args: these.positional()?,
            kwargs: these.keywords()?,
            queue: settable(queue, cleared("queue")),
            enabled: these.flag("enabled")?,
            one_off: these.flag("one_off")?,
            starts_at: settable(starts_at, cleared("starts_at")),
            expires_at: settable(expires_at, cleared("expires_at")),
            expire_seconds: settable(expire_seconds, cleared("expire_seconds")),
            priority: settable(priority, cleared("priority")),
            description,
        })
    }

    /// What the command wants to be enqueued.
    pub(in crate::dispatch) fn enqueue(&self) -> Result<EnqueueRequest, CommandError> {
        let name = self.text("name", MAX_NAME_BYTES)?.ok_or_else(|| self.invalid("name", "the name of a task type"))?;
        Ok(EnqueueRequest {
            name: name.to_owned(),
            args: self.positional()?.unwrap_or_default(),
            kwargs: self.keywords()?.unwrap_or_default(),
            queue: self.text("queue", MAX_NAME_BYTES)?.map(str::to_owned),
            eta: self.time("eta")?,
            ..EnqueueRequest::default()
        })
    }

    fn positional(&self) -> Result<Option<Vec<Value>>, CommandError> {
        match self.given("args") {
            None => Ok(None),
            Some(Value::Array(args)) if is_small(args) => Ok(Some(args.clone())),
            Some(_) => Err(self.invalid("args", "an array of at most 256 KiB")),
        }
    }

    fn keywords(&self) -> Result<Option<Map<String, Value>>, CommandError> {
        match self.given("kwargs") {
            None => Ok(None),
            Some(Value::Object(kwargs)) if is_small(kwargs) => Ok(Some(kwargs.clone())),
            Some(_) => Err(self.invalid("kwargs", "an object of at most 256 KiB")),
        }
    }

    fn flag(&self, field: &str) -> Result<Option<bool>, CommandError> {
        match self.given(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.invalid(field, "true or false")),
        }
    }

    fn whole(&self, field: &str, most: u64) -> Result<Option<u64>, CommandError> {
        let Some(value) = self.given(field) else { return Ok(None) };
        let number = value.as_u64().filter(|number| *number <= most);
        number.map(Some).ok_or_else(|| self.invalid(field, &format!("a whole number from 0 to {most}")))
    }

    fn time(&self, field: &str) -> Result<Option<Timestamp>, CommandError> {
        let Some(value) = self.given(field) else { return Ok(None) };
        let time = value.as_str().and_then(Timestamp::parse_rfc3339);
        time.map(Some).ok_or_else(|| self.invalid(field, "an RFC 3339 time with a zone"))
    }
}

/// A value to set, or to empty, or to leave alone.
fn settable<T>(value: Option<T>, is_cleared: bool) -> Option<Option<T>> {
    match value {
        Some(value) => Some(Some(value)),
        None => is_cleared.then_some(None),
    }
}

fn is_small(value: &impl serde::Serialize) -> bool {
    serde_json::to_vec(value).is_ok_and(|json| json.len() <= MAX_ARGUMENT_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(schedule: Value) -> Result<ScheduleChange, String> {
        let args = json!({"scheduler": "celery-beat", "schedule": schedule});
        Args::new("schedule_create", &args).and_then(|args| args.schedule()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_given_is_set_what_is_null_is_emptied_and_the_rest_stays() {
        let change = change(json!({
            "name": "nightly", "args": [1], "queue": null, "timezone": "UTC", "expires_at": "2026-11-22T12:00:00Z",
            "priority": 3, "expire_seconds": null, "description": null}));
        assert_eq!(
            change,
            Ok(ScheduleChange {
                name: Some("nightly".into()),
                args: Some(vec![json!(1)]),
                queue: Some(None),
                timezone: Some(Some("UTC".into())),
                expires_at: Some(Timestamp::parse_rfc3339("2026-11-22T12:00:00Z")),
                priority: Some(Some(3)),
                expire_seconds: Some(None),
                description: Some(String::new()),
                ..ScheduleChange::default()
            })
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_sentence_that_quotes_nothing() {
        for (schedule, sentence) in [
            (json!("s3cret"), "schedule_create needs schedule to be an object"),
            (json!({"args": "s3cret"}), "schedule_create needs args to be an array of at most 256 KiB"),
            (json!({"kwargs": ["s3cret"]}), "schedule_create needs kwargs to be an object of at most 256 KiB"),
            (json!({"priority": 256}), "schedule_create needs priority to be a whole number from 0 to 255"),
            (json!({"enabled": "yes"}), "schedule_create needs enabled to be true or false"),
            (json!({"name": ""}), "schedule_create needs name to be a text of 1 to 512 bytes"),
            (json!({"starts_at": "soon"}), "schedule_create needs starts_at to be an RFC 3339 time with a zone"),
        ] {
            assert_eq!(change(schedule), Err(sentence.to_owned()));
        }
        let unknown = change(json!({"s3cret": 1})).expect_err("refused");
        assert!(unknown.starts_with("a schedule's name, task, kind") && !unknown.contains("s3cret"), "{unknown}");
    }
}
