//! What RedBeat keeps of a schedule: a definition and its last run, both JSON, with Python objects as objects that have
//! a `__type__`.

use serde_json::{Map, Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest};
use taskplane_agent::scheduler::ScheduleEntry;
use taskplane_model::Timestamp;
use taskplane_model::schedule::{Kind, Schedule, format_duration, parse_duration};

use crate::ENGINE;
use crate::next::next_run;
use crate::wanted::{Wanted, invalid};

/// One schedule as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) definition: Map<String, Value>,
    pub(super) meta: Map<String, Value>,
    /// When it is due, in seconds; negative for never.
    pub(super) score: Option<f64>,
}

impl Stored {
    /// The entry. What cannot be read of it is not known.
    pub(super) fn entry(&self) -> ScheduleEntry {
        let text = |key: &str| self.definition.get(key).and_then(Value::as_str).map(str::to_owned);
        let options = self.options();
        let (kind, expression) = times(self.definition.get("schedule"));
        let (last_run_at, zone) = self.last_run();
        let enabled = self.definition.get("enabled").and_then(Value::as_bool).unwrap_or(true);
        let due = self.score.filter(|score| *score >= 0.0 && enabled).and_then(Timestamp::from_unix_seconds);
        let expires = options.get("expires");
        let facts = Schedule {
            id: self.name.clone(),
            name: Some(self.name.clone()),
            task: text("task"),
            engine: Some(ENGINE.to_owned()),
            // Crontabs are read in the application's zone, in which its last run is written down.
            timezone: zone.filter(|_| kind == Some("crontab")),
            kind: kind.map(str::to_owned),
            expression,
            queue: options.get("queue").and_then(Value::as_str).map(str::to_owned),
            enabled: Some(enabled),
            one_off: Some(false),
            expires_at: expires.and_then(instant),
            expire_seconds: expires.and_then(Value::as_f64).filter(|s| *s >= 0.0).map(|seconds| seconds as u64),
            priority: options.get("priority").and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok()),
            last_run_at,
            next_run_at: due,
            total_run_count: self.meta.get("total_run_count").and_then(Value::as_u64),
            read_only: Some(false),
            ..Schedule::default()
        };
        let given = |key: &str, empty: Value| match self.definition.get(key) {
            None | Some(Value::Null) => empty,
            Some(value) => value.clone(),
        };
        ScheduleEntry { facts, args: Some(given("args", json!([]))), kwargs: Some(given("kwargs", json!({}))) }
    }

    /// What beat would enqueue at `now`.
    pub(super) fn enqueued(&self, now: Timestamp) -> Result<EnqueueRequest, CommandError> {
        let entry = self.entry();
        let (Some(Value::Array(args)), Some(Value::Object(kwargs))) = (&entry.args, &entry.kwargs) else {
            return Err(invalid("the schedule cannot be run now: its arguments are not an array and an object"));
        };
        if has_objects(&json!([args, kwargs])) {
            return Err(invalid(
                "the schedule cannot be run now: its arguments hold Python objects that only beat can make",
            ));
        }
        let mut headers = match self.options().get("headers") {
            Some(Value::Object(headers)) => headers.clone(),
            _ => Map::new(),
        };
        headers.insert("periodic_task_name".into(), self.name.clone().into());
        let facts = entry.facts;
        let after = facts.expire_seconds.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000_000));
        Ok(EnqueueRequest {
            name: facts.task.unwrap_or_default(),
            args: args.clone(),
            kwargs: kwargs.clone(),
            queue: facts.queue,
            eta: None,
            expires: facts.expires_at.or(after.map(|after| now.plus(after))),
            priority: facts.priority,
            headers,
        })
    }

    /// The definition after a change; what we know nothing of stays.
    ///
    /// # Errors
    /// RedBeat has no place for something that is wanted.
    pub(super) fn define(&mut self, wanted: &Wanted, change_times: bool) -> Result<(), CommandError> {
        let refuse = |what: &str| Err(invalid(format!("RedBeat's schedules have no {what}")));
        if wanted.one_off {
            return refuse("one_off: they run until they are deleted or paused");
        }
        if wanted.starts_at.is_some() {
            return refuse("starts_at");
        }
        if !wanted.description.is_empty() {
            return refuse("description");
        }
        let (_, zone) = self.last_run();
        if change_times && wanted.timezone.is_some() && wanted.timezone != zone {
            return refuse("timezone of their own: crontabs are read in the application's. Leave it out");
        }
        let mut options = self.options();
        set(&mut options, "queue", wanted.queue.clone().map(Value::from));
        set(&mut options, "priority", wanted.priority.map(Value::from));
        let known = self.entry().facts;
        if (wanted.expires_at, wanted.expire_seconds) != (known.expires_at, known.expire_seconds) {
            if wanted.expires_at.is_some() {
                return refuse("expires_at that can be set from here; give expire_seconds");
            }
            set(&mut options, "expires", wanted.expire_seconds.map(Value::from));
        }
        if change_times {
            self.definition.insert("schedule".into(), schedule(wanted)?);
        }
        self.definition.extend([
            ("name".to_owned(), wanted.name.clone().into()),
            ("task".to_owned(), wanted.task.clone().into()),
            ("args".to_owned(), wanted.args.clone().into()),
            ("kwargs".to_owned(), wanted.kwargs.clone().into()),
            ("options".to_owned(), options.into()),
            ("enabled".to_owned(), wanted.enabled.into()),
        ]);
        Ok(())
    }

    /// Counts from `now` on, as a schedule that is new or resumed does.
    pub(super) fn begin(&mut self, now: Timestamp) {
        let (_, zone) = self.last_run();
        self.meta.insert("last_run_at".into(), written(now, zone.as_deref()));
    }

    /// When beat is to look at it: when it is due, or at once where only beat can tell.
    pub(super) fn due(&self, now: Timestamp) -> i64 {
        let facts = self.entry().facts;
        let is_known = facts.kind.as_deref() == Some("interval") || facts.timezone.is_some();
        let next = next_run(&Schedule { enabled: Some(true), ..facts.clone() }, facts.last_run_at, now);
        next.filter(|_| is_known).unwrap_or(now).0.div_euclid(1_000_000)
    }

    fn options(&self) -> Map<String, Value> {
        self.definition.get("options").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// When it last ran, and the zone that it is written in.
    fn last_run(&self) -> (Option<Timestamp>, Option<String>) {
        let last = self.meta.get("last_run_at");
        let zone = last.and_then(|last| last.get("timezone")).and_then(Value::as_str).map(str::to_owned);
        (last.and_then(instant), zone)
    }
}

fn set(options: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(options.insert(key.to_owned(), value)),
        None => drop(options.remove(key)),
    }
}

/// Kind and expression of a schedule object.
fn times(schedule: Option<&Value>) -> (Option<&'static str>, Option<String>) {
    let Some(schedule) = schedule else { return (None, None) };
    let field = |key: &str| match schedule.get(key) {
        Some(Value::String(text)) => text.replace(' ', ""),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(numbers)) => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        _ => "*".to_owned(),
    };
    match schedule.get("__type__").and_then(Value::as_str) {
        Some("interval") => {
            let micros = schedule.get("every").and_then(Value::as_f64).map(|seconds| (seconds * 1e6).round());
            let micros = micros.filter(|micros| (1.0..9e18).contains(micros));
            (Some("interval"), micros.map(|micros| format_duration(micros as i64)))
        }
        Some("crontab") => {
            let fields = ["minute", "hour", "day_of_month", "month_of_year", "day_of_week"].map(field);
            (Some("crontab"), Some(fields.join(" ")))
        }
        Some("rrule") => (Some("rrule"), Some(rule(schedule))),
        _ => (None, None),
    }
}

/// A recurrence rule for people: what it sets, without what it leaves open.
fn rule(schedule: &Value) -> String {
    let shown = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        _ if key == "__type__" => None,
        value => Some(format!("{key}={value}")),
    };
    schedule.as_object().into_iter().flatten().filter_map(shown).collect::<Vec<_>>().join(" ")
}

/// A schedule object.
fn schedule(wanted: &Wanted) -> Result<Value, CommandError> {
    match wanted.kind {
        Kind::Interval => {
            let micros = parse_duration(&wanted.expression).unwrap_or(0);
            Ok(json!({"__type__": "interval", "every": micros as f64 / 1e6, "relative": false}))
        }
        Kind::Crontab => {
            let fields: Vec<&str> = wanted.expression.split(' ').collect();
            let &[minute, hour, day, month, weekday] = fields.as_slice() else {
                return Err(invalid("a crontab has five fields"));
            };
            Ok(json!({
                "__type__": "crontab", "minute": minute, "hour": hour, "day_of_month": day, "month_of_year": month,
                "day_of_week": weekday,
            }))
        }
        Kind::Clocked | Kind::Solar => Err(invalid("RedBeat's schedules are crontabs or intervals")),
    }
}

/// Reads a Python datetime. Its zone is a name, or an offset in seconds.
fn instant(value: &Value) -> Option<Timestamp> {
    if value.get("__type__")?.as_str()? != "datetime" {
        return None;
    }
    let part = |key: &str| value.get(key).and_then(Value::as_i64);
    let small = |key: &str, default: i8| part(key).map_or(Some(default), |n| i8::try_from(n).ok());
    let year = i16::try_from(part("year")?).ok()?;
    let nanos = i32::try_from(part("microsecond").unwrap_or(0).checked_mul(1_000)?).ok()?;
    let (hour, minute, second) = (small("hour", 0)?, small("minute", 0)?, small("second", 0)?);
    let wall =
        jiff::civil::DateTime::new(year, small("month", 1)?, small("day", 1)?, hour, minute, second, nanos).ok()?;
    let zone = match value.get("timezone") {
        None | Some(Value::Null) => jiff::tz::TimeZone::UTC,
        Some(Value::String(name)) => taskplane_model::schedule::time_zone(name).ok()?,
        Some(offset) => jiff::tz::Offset::from_seconds(offset.as_f64()? as i32).ok()?.to_time_zone(),
    };
    Some(Timestamp(wall.to_zoned(zone).ok()?.timestamp().as_microsecond()))
}

/// A Python datetime in `zone`, or UTC.
fn written(at: Timestamp, zone: Option<&str>) -> Value {
    let known = zone.and_then(|name| taskplane_model::schedule::time_zone(name).ok());
    let name = if known.is_some() { zone } else { None };
    let instant = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    let wall = known.unwrap_or(jiff::tz::TimeZone::UTC).to_datetime(instant);
    json!({
        "__type__": "datetime", "year": wall.year(), "month": wall.month(), "day": wall.day(), "hour": wall.hour(),
        "minute": wall.minute(), "second": wall.second(), "microsecond": wall.subsec_nanosecond() / 1_000,
        "timezone": name.unwrap_or("UTC"),
    })
}

fn has_objects(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_objects),
        Value::Object(fields) => fields.contains_key("__type__") || fields.values().any(has_objects),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use taskplane_agent::scheduler::ScheduleChange;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    /// As redbeat 2.4 keeps it.
    fn stored() -> Stored {
        Stored {
            name: "every-3".into(),
            definition: object(json!({
                "name": "every-3", "task": "rb.tick", "args": [1], "kwargs": {}, "options": {"queue": "q2"},
                "schedule": {"__type__": "interval", "every": 3.0, "relative": false}, "enabled": true})),
            meta: object(json!({"last_run_at": {
                "__type__": "datetime", "year": 2026, "month": 11, "day": 22, "hour": 16, "minute": 29, "second": 45,
                "microsecond": 983_558, "timezone": "UTC"}, "total_run_count": 1})),
            score: Some(1_795_364_988.0),
        }
    }

    #[test]
    fn a_stored_schedule_is_read() {
        let entry = stored().entry();
        assert_eq!((entry.facts.kind.as_deref(), entry.facts.expression.as_deref()), (Some("interval"), Some("3s")));
        assert_eq!(entry.facts.last_run_at.map(|at| at.to_string()).as_deref(), Some("2026-11-22T16:29:45.983558Z"));
        assert_eq!(entry.facts.next_run_at, Some(Timestamp(1_795_364_988_000_000)));
        assert_eq!((entry.facts.queue.as_deref(), entry.args), (Some("q2"), Some(json!([1]))));
        let crontab =
            json!({"__type__": "crontab", "minute": 0, "hour": "4", "day_of_week": "*", "month_of_year": "*"});
        assert_eq!(times(Some(&crontab)), (Some("crontab"), Some("0 4 * * *".into())));
        let nonsense = Stored { definition: object(json!({"schedule": 5, "args": null})), ..Stored::default() };
        assert_eq!(nonsense.entry().args, Some(json!([])));
    }

    #[test]
    fn a_last_run_is_written_in_the_zone_that_it_was_in() {
        let mut stored = stored();
        stored.meta["last_run_at"]["timezone"] = "Europe/Berlin".into();
        let now = Timestamp::parse_rfc3339("2026-07-01T12:00:00.000005Z").expect("a time");
        stored.begin(now);
        assert_eq!((&stored.meta["last_run_at"]["hour"], stored.entry().facts.last_run_at), (&json!(14), Some(now)));
        let offset =
            json!({"__type__": "datetime", "year": 2026, "month": 7, "day": 1, "hour": 14, "timezone": 7200.0});
        assert_eq!(instant(&offset), Some(now.plus(-5)));
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let mut stored = stored();
        stored.definition["options"]["headers"] = json!({"x": 1});
        let change = ScheduleChange { expression: Some("5m".into()), queue: Some(None), ..ScheduleChange::default() };
        let wanted = Wanted::changed(&stored.entry(), &change).expect("valid");
        stored.define(&wanted, true).expect("valid");
        assert_eq!(stored.definition["schedule"], json!({"__type__": "interval", "every": 300.0, "relative": false}));
        assert_eq!(stored.definition["options"], json!({"headers": {"x": 1}}));
        assert_eq!(stored.definition["args"], json!([1]));
    }

    #[test]
    fn what_redbeat_has_no_place_for_is_refused() {
        let refused = |change: ScheduleChange| {
            let wanted = Wanted::changed(&stored().entry(), &change).expect("valid");
            let times = change.expression.is_some();
            stored().define(&wanted, times).expect_err("refused").to_string()
        };
        let once = ScheduleChange { one_off: Some(true), ..ScheduleChange::default() };
        assert!(refused(once).contains("no one_off"));
        let solar = ScheduleChange {
            kind: Some("solar".into()),
            expression: Some("sunset 1 1".into()),
            ..ScheduleChange::default()
        };
        assert!(refused(solar).contains("crontabs or intervals"));
        let described = ScheduleChange { description: Some("x".into()), ..ScheduleChange::default() };
        assert!(refused(described).contains("no description"));
    }

    #[test]
    fn arguments_that_only_python_can_make_are_not_enqueued() {
        let mut stored = stored();
        let request = stored.enqueued(Timestamp(0)).expect("a request");
        assert_eq!(request.headers["periodic_task_name"], "every-3");
        stored.definition["args"] = json!([{"__type__": "datetime", "year": 2026}]);
        assert!(stored.enqueued(Timestamp(0)).is_err());
    }
}
