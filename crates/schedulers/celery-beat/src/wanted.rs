//! A schedule as it is wanted: what is there, and the change of it.

use serde_json::{Map, Value};
use taskplane_agent::engine::CommandError;
use taskplane_agent::scheduler::{ScheduleChange, ScheduleEntry};
use taskplane_model::Timestamp;
use taskplane_model::schedule::{Kind, Timing};

/// Everything that can be set of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) task: String,
    pub(crate) kind: Kind,
    pub(crate) expression: String,
    pub(crate) timezone: Option<String>,
    pub(crate) timing: Timing,
    pub(crate) args: Vec<Value>,
    pub(crate) kwargs: Map<String, Value>,
    pub(crate) queue: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) one_off: bool,
    pub(crate) starts_at: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) expire_seconds: Option<u64>,
    pub(crate) priority: Option<u8>,
    pub(crate) description: String,
}

pub(crate) fn invalid(text: impl Into<String>) -> CommandError {
    CommandError::InvalidArgs(text.into())
}

impl Wanted {
    /// A new schedule.
    ///
    /// # Errors
    /// Something that every schedule needs is missing, or its times are not understood.
    pub(crate) fn new(change: &ScheduleChange) -> Result<Self, CommandError> {
        Self::changed(&ScheduleEntry::default(), change)
    }

    /// What `entry` is after `change`.
    ///
    /// # Errors
    /// As with [`Self::new`].
    pub(crate) fn changed(entry: &ScheduleEntry, change: &ScheduleChange) -> Result<Self, CommandError> {
        let facts = &entry.facts;
        let or = |given: &Option<String>, known: &Option<String>| given.clone().or_else(|| known.clone());
        let missing = |what: &str| invalid(format!("a schedule needs {what}"));
        let name = or(&change.name, &facts.name).ok_or_else(|| missing("a name"))?;
        let task = or(&change.task, &facts.task).ok_or_else(|| missing("the name of a task (task)"))?;
        let kind = or(&change.kind, &facts.kind).ok_or_else(|| missing("a kind"))?;
        let is_other_kind = facts.kind.as_ref().is_some_and(|known| *known != kind);
        let known_expression = facts.expression.clone().filter(|_| !is_other_kind);
        let expression = change.expression.clone().or(known_expression).ok_or_else(|| missing("an expression"))?;
        let kind = Kind::parse(&kind)
            .ok_or_else(|| invalid("a schedule's kind is one of crontab, interval, clocked and solar"))?;
        let is_crontab = kind == Kind::Crontab;
        let timezone = match &change.timezone {
            Some(timezone) => timezone.clone(),
            None => facts.timezone.clone().filter(|_| is_crontab),
        };
        if timezone.is_some() && !is_crontab {
            return Err(invalid("only a crontab has a timezone; write the zone of a clocked schedule into its time"));
        }
        let expression = expression.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let timing = Timing::parse(kind.as_str(), &expression, timezone.as_deref())
            .map_err(|error| invalid(error.to_string()))?;
        let one_off = change.one_off.or(facts.one_off.filter(|_| !is_other_kind));
        let wanted = Self {
            name: name.trim().to_owned(),
            task: task.trim().to_owned(),
            kind,
            expression,
            timezone,
            timing,
            args: change.args.clone().or_else(|| entry.args.as_ref()?.as_array().cloned()).unwrap_or_default(),
            kwargs: change.kwargs.clone().or_else(|| entry.kwargs.as_ref()?.as_object().cloned()).unwrap_or_default(),
            queue: change.queue.clone().unwrap_or_else(|| facts.queue.clone()),
            enabled: change.enabled.or(facts.enabled).unwrap_or(true),
            // A clocked schedule can run but once.
            one_off: one_off.unwrap_or(kind == Kind::Clocked),
            starts_at: change.starts_at.unwrap_or(facts.starts_at),
            expires_at: change.expires_at.unwrap_or(facts.expires_at),
            expire_seconds: change.expire_seconds.unwrap_or(facts.expire_seconds),
            priority: change.priority.unwrap_or(facts.priority),
            description: or(&change.description, &facts.description).unwrap_or_default(),
        };
        if wanted.name.is_empty() || wanted.task.is_empty() {
            return Err(missing("a name, and the name of a task"));
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: &str, expression: &str) -> ScheduleChange {
        ScheduleChange {
            name: Some("n".into()),
            task: Some("t".into()),
            kind: Some(kind.into()),
            expression: Some(expression.into()),
            ..ScheduleChange::default()
        }
    }

    #[test]
    fn what_a_schedule_needs_is_asked_for() {
        let refused = |change: &ScheduleChange| Wanted::new(change).expect_err("refused").to_string();
        assert_eq!(refused(&ScheduleChange::default()), "a schedule needs a name");
        let nothing = ScheduleChange { expression: None, ..change("interval", "") };
        assert_eq!(refused(&nothing), "a schedule needs an expression");
        assert!(refused(&change("interval", "often")).contains("30s, 5m"));
        let zoned = ScheduleChange { timezone: Some(Some("UTC".into())), ..change("interval", "5m") };
        assert!(refused(&zoned).contains("only a crontab"));
    }

    #[test]
    fn another_kind_needs_another_expression() {
        let mut entry = ScheduleEntry::default();
        entry.facts.name = Some("n".into());
        entry.facts.task = Some("t".into());
        entry.facts.kind = Some("crontab".into());
        entry.facts.expression = Some("0 3 * * *".into());
        entry.facts.timezone = Some("Europe/Berlin".into());
        let to_interval = ScheduleChange { kind: Some("interval".into()), ..ScheduleChange::default() };
        assert!(Wanted::changed(&entry, &to_interval).is_err());
        let whole = ScheduleChange { expression: Some("5m".into()), ..to_interval };
        assert_eq!(Wanted::changed(&entry, &whole).expect("valid").timezone, None);
        let later = ScheduleChange { expression: Some("0 4 * * *".into()), ..ScheduleChange::default() };
        assert_eq!(Wanted::changed(&entry, &later).expect("valid").timezone.as_deref(), Some("Europe/Berlin"));
    }
}
