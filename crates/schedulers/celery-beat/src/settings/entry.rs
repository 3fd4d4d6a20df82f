//! One entry of `beat_schedule`, as a worker's answer to `conf` shows it.
//!
//! What a worker tells is meant for people: times come as numbers, as Python's text of a `timedelta` (`1 day, 0:05:00`), or as the text of a
//! Celery object (`<crontab: 0 3 * * * (m/h/dM/MY/d)>`, `<solar: sunset at latitude 52.5, longitude: 13.4>`, `<freq: 1.00 hour>`). Values
//! whose keys look secret come as stars.

use serde_json::{Map, Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest};
use taskplane_agent::scheduler::ScheduleEntry;
use taskplane_model::Timestamp;
use taskplane_model::schedule::{Schedule, format_duration};

use crate::ENGINE;
use crate::next::next_run;
use crate::wanted::invalid;

/// Longest text of a time that is kept where it is not understood, in characters.
const MAX_TEXT: usize = 200;
/// What Celery shows instead of a value whose key looks secret.
const HIDDEN: &str = "********";

/// The settings of one worker's application.
pub(super) struct Settings<'a> {
    entries: Option<&'a Map<String, Value>>,
    zone: Option<&'a str>,
    is_utc: bool,
}

impl<'a> Settings<'a> {
    pub(super) fn new(settings: &'a Value) -> Self {
        Self {
            entries: settings.get("beat_schedule").and_then(Value::as_object),
            zone: settings.get("timezone").and_then(Value::as_str),
            is_utc: settings.get("enable_utc").and_then(Value::as_bool).unwrap_or(true),
        }
    }

    /// The schedules, as `worker` told them.
    pub(super) fn entries(&self, worker: &str, now: Timestamp) -> Vec<ScheduleEntry> {
        let entries = self.entries.into_iter().flatten();
        entries.filter(|(_, told)| told.is_object()).map(|(name, told)| self.entry(name, told, worker, now)).collect()
    }

    fn entry(&self, name: &str, told: &Value, worker: &str, now: Timestamp) -> ScheduleEntry {
        let options = told.get("options");
        let option = |key: &str| options.and_then(|options| options.get(key));
        let (kind, expression) = times(told.get("schedule"));
        let is_crontab = kind.as_deref() == Some("crontab");
        // Without a zone and without UTC, beat goes by the clock of its host, which nobody tells.
        let zone = self.zone.map(str::to_owned).or_else(|| self.is_utc.then(|| "UTC".to_owned()));
        let mut facts = Schedule {
            id: name.to_owned(),
            name: Some(name.to_owned()),
            task: told.get("task").and_then(Value::as_str).map(str::to_owned),
            engine: Some(ENGINE.to_owned()),
            timezone: zone.clone().filter(|_| is_crontab),
            kind,
            expression,
            queue: option("queue").and_then(Value::as_str).map(str::to_owned),
            enabled: Some(true),
            one_off: Some(false),
            expire_seconds: option("expires").and_then(Value::as_f64).filter(|s| *s >= 0.0).map(|s| s as u64),
            priority: option("priority").and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok()),
            read_only: Some(true),
            description: Some(format!(
                "From beat_schedule in the settings of the application, as {worker} tells them."
            )),
            ..Schedule::default()
        };
        // An interval counts from its last run, which stands in beat's own file.
        let is_told = facts.kind.as_deref() == Some("solar") || (is_crontab && zone.is_some());
        facts.next_run_at = if is_told { next_run(&facts, None, now) } else { None };
        let given = |key: &str, empty: Value| told.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(empty);
        ScheduleEntry { facts, args: Some(given("args", json!([]))), kwargs: Some(given("kwargs", json!({}))) }
    }
}

/// What beat would enqueue at `now`.
pub(super) fn enqueued(entry: &ScheduleEntry, now: Timestamp) -> Result<EnqueueRequest, CommandError> {
    let (Some(Value::Array(args)), Some(Value::Object(kwargs))) = (&entry.args, &entry.kwargs) else {
        return Err(invalid("the schedule cannot be run now: its arguments are not an array and an object"));
    };
    if kwargs.values().chain(args).any(is_hidden) {
        return Err(invalid("the schedule cannot be run now: workers do not tell some of its arguments"));
    }
    let facts = &entry.facts;
    let expires = facts.expire_seconds.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000_000));
    Ok(EnqueueRequest {
        name: facts.task.clone().unwrap_or_default(),
        args: args.clone(),
        kwargs: kwargs.clone(),
        queue: facts.queue.clone(),
        eta: None,
        expires: expires.map(|after| now.plus(after)),
        priority: facts.priority,
        headers: Map::from_iter([("periodic_task_name".to_owned(), json!(facts.id))]),
    })
}

fn is_hidden(value: &Value) -> bool {
    match value {
        Value::String(text) => text == HIDDEN,
        Value::Array(items) => items.iter().any(is_hidden),
        Value::Object(fields) => fields.values().any(is_hidden),
        _ => false,
    }
}

/// Kind and expression of what a worker tells as the time of an entry. What is not understood, or was rounded for people, is kept as it
/// is under a kind of its own.
fn times(told: Option<&Value>) -> (Option<String>, Option<String>) {
    let of = |kind: &str, expression: String| (Some(kind.to_owned()), Some(expression));
    let interval = |micros: i64| of("interval", format_duration(micros));
    match told {
        Some(Value::Number(seconds)) => match seconds.as_f64().map(|seconds| (seconds * 1e6).round()) {
            Some(micros) if (1.0..9e18).contains(&micros) => interval(micros as i64),
            _ => of("unknown", seconds.to_string()),
        },
        Some(Value::String(text)) => {
            if let Some(micros) = timedelta(text) {
                return interval(micros);
            }
            if let Some(fields) = inside(text, "<crontab: ", " (m/h/dM/MY/d)>") {
                return of("crontab", fields.to_owned());
            }
            if let Some(solar) = inside(text, "<solar: ", ">").and_then(solar) {
                return of("solar", solar);
            }
            of("unknown", text.chars().take(MAX_TEXT).collect())
        }
        _ => (None, None),
    }
}

fn inside<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    text.strip_prefix(before)?.strip_suffix(after)
}

/// `sunset at latitude 52.5, longitude: 13.4` as `sunset 52.5 13.4`.
fn solar(text: &str) -> Option<String> {
    let (event, place) = text.split_once(" at latitude ")?;
    let (latitude, longitude) = place.split_once(", longitude: ")?;
    Some(format!("{event} {latitude} {longitude}"))
}

/// Microseconds of Python's text of a `timedelta` that is more than nothing: `0:05:00`, `1 day, 2:00:00`, `0:00:00.500000`.
fn timedelta(text: &str) -> Option<i64> {
    let (days, clock) = match text.split_once(", ") {
        Some((days, clock)) => {
            (days.split_once(" day").filter(|(_, s)| matches!(*s, "" | "s"))?.0.parse().ok()?, clock)
        }
        None => (0i64, text),
    };
    let mut parts = clock.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    let fraction = number(&format!("{fraction:0<6}")).filter(|_| fraction.len() <= 6)?;
    let whole =
        days.checked_mul(86_400)?.checked_add(number(hours)? * 3_600 + number(minutes)? * 60 + number(seconds)?)?;
    whole.checked_mul(1_000_000)?.checked_add(fraction).filter(|micros| *micros > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(told: Value) -> (String, String) {
        let (kind, expression) = times(Some(&told));
        (kind.unwrap_or_default(), expression.unwrap_or_default())
    }

    #[test]
    fn times_are_read_as_workers_tell_them() {
        let told = [
            (json!(30.0), ("interval", "30s")),
            (json!(0.5), ("interval", "500ms")),
            (json!("0:05:00"), ("interval", "5m")),
            (json!("1 day, 0:00:00"), ("interval", "1d")),
            (json!("2 days, 1:00:00.500000"), ("interval", "176400500ms")),
            (json!("<crontab: */5 3 * * mon-fri (m/h/dM/MY/d)>"), ("crontab", "*/5 3 * * mon-fri")),
            (json!("<solar: sunset at latitude 52.5, longitude: 13.4>"), ("solar", "sunset 52.5 13.4")),
            (json!("<freq: 1.67 minutes>"), ("unknown", "<freq: 1.67 minutes>")),
            (json!("<my.Schedule object at 0x7f>"), ("unknown", "<my.Schedule object at 0x7f>")),
            (json!("-1 day, 0:00:00"), ("unknown", "-1 day, 0:00:00")),
            (json!("0:00:00"), ("unknown", "0:00:00")),
            (json!(-3), ("unknown", "-3")),
        ];
        for (value, (kind, expression)) in told {
            assert_eq!(read(value.clone()), (kind.to_owned(), expression.to_owned()), "{value}");
        }
    }

    fn entries(settings: &Value) -> Vec<ScheduleEntry> {
        Settings::new(settings).entries("w@host", Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time"))
    }

    #[test]
    fn crontabs_are_read_in_the_zone_of_the_application() {
        let told = json!({"timezone": "Europe/Berlin", "beat_schedule": {
            "nightly": {"task": "shop.report", "schedule": "<crontab: 0 3 * * * (m/h/dM/MY/d)>", "options": {"queue": "slow", "expires": 60}},
            "often": {"task": "shop.look", "schedule": 10.0, "args": [1]},
        }});
        let [nightly, often] = entries(&told).try_into().expect("two");
        let (facts, next) = (nightly.facts, Timestamp::parse_rfc3339("2026-01-01T02:00:00Z"));
        assert_eq!((facts.timezone.as_deref(), facts.next_run_at), (Some("Europe/Berlin"), next));
        assert_eq!(
            (facts.queue.as_deref(), facts.expire_seconds, facts.read_only),
            (Some("slow"), Some(60), Some(true))
        );
        assert_eq!((often.facts.timezone, often.facts.next_run_at, often.args), (None, None, Some(json!([1]))));
    }

    #[test]
    fn a_schedule_whose_arguments_nobody_tells_is_not_run() {
        let told = json!({"beat_schedule": {
            "a": {"task": "t", "schedule": 1.0, "kwargs": {"password": "********"}},
            "b": {"task": "t", "schedule": 1.0, "kwargs": {"k": [1]}, "options": {"priority": 3}},
        }});
        let [hidden, open] = entries(&told).try_into().expect("two");
        assert!(matches!(enqueued(&hidden, Timestamp(0)), Err(CommandError::InvalidArgs(_))));
        let request = enqueued(&open, Timestamp(0)).expect("it can be run");
        assert_eq!((request.name.as_str(), request.priority), ("t", Some(3)));
        assert_eq!(request.headers["periodic_task_name"], "b");
    }

    #[test]
    fn settings_without_schedules_have_none() {
        assert_eq!(entries(&json!({"timezone": "UTC"})), []);
        assert_eq!(entries(&json!({"beat_schedule": "{}"})), []);
        assert_eq!(entries(&json!({"error": "no"})), []);
    }
}
