//! One of django-celery-beat's schedules, whoever read it.

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use taskplane_agent::engine::{CommandError, EnqueueRequest};
use taskplane_agent::scheduler::{ChangedSchedule, ScheduleEntry};
use taskplane_model::Timestamp;
use taskplane_model::schedule::Schedule;

use crate::ENGINE;
use crate::clock;
use crate::next::next_run;
use crate::validate::interval_expression;

/// The row that Celery itself has beat make at every start.
const MADE_BY_BEAT: &str = "celery.backend_cleanup";

/// A row of the table of schedules, as it was read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Columns {
    /// Its key, as text.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Task type.
    pub task: Option<String>,
    /// Positional arguments, in JSON.
    pub args: Option<String>,
    /// Keyword arguments, in JSON.
    pub kwargs: Option<String>,
    /// Queue.
    pub queue: Option<String>,
    /// Exchange.
    pub exchange: Option<String>,
    /// Headers of its messages, in JSON.
    pub headers: Option<String>,
    /// Priority of its tasks.
    pub priority: Option<u8>,
    /// Its tasks expire so many seconds after they were enqueued.
    pub expire_seconds: Option<u64>,
    /// It runs once.
    pub one_off: Option<bool>,
    /// False while it is paused.
    pub enabled: Option<bool>,
    /// How often it ran.
    pub total_run_count: Option<u64>,
    /// For people.
    pub description: Option<String>,
    /// Not after.
    pub expires: Option<Timestamp>,
    /// Not before.
    pub start_time: Option<Timestamp>,
    /// Its last run.
    pub last_run_at: Option<Timestamp>,
    /// Its last change.
    pub date_changed: Option<Timestamp>,
    /// When it runs.
    pub times: Option<Times>,
}

/// The row that a schedule points to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Times {
    /// At this time.
    Clocked(Timestamp),
    /// So many, of this unit.
    Interval(String, String),
    /// Minute, hour, day of the month, month, day of the week; and the zone.
    Crontab([String; 5], Option<String>),
    /// Event, latitude, longitude.
    Solar(String, String, String),
}

/// What a row says.
#[derive(Clone, Debug)]
pub(crate) struct PeriodicTask {
    pub(crate) entry: ScheduleEntry,
    /// What an interval counts from.
    anchor: Option<Timestamp>,
    exchange: Option<String>,
    headers: Map<String, Json>,
}

impl PeriodicTask {
    /// The entry, with its next run after `now`.
    pub(crate) fn at(&self, now: Timestamp) -> ScheduleEntry {
        let mut entry = self.entry.clone();
        entry.facts.next_run_at = next_run(&entry.facts, self.anchor, now);
        entry
    }

    /// What beat would enqueue at `now`.
    ///
    /// # Errors
    /// No worker would run it, or it cannot be told.
    pub(crate) fn run_now(&self, now: Timestamp) -> Result<EnqueueRequest, CommandError> {
        if self.entry.facts.expires_at.is_some_and(|expires| expires <= now) {
            return Err(CommandError::InvalidArgs("the schedule has expired: no worker would run its task".into()));
        }
        self.enqueued(now).map_err(|why| CommandError::InvalidArgs(format!("the schedule cannot be run now: {why}")))
    }

    /// What to know about a change of a schedule that beat makes itself; `None` for others.
    pub(crate) fn comes_back(&self, what: &str) -> Option<String> {
        let is_made = self.entry.facts.name.as_deref() == Some(MADE_BY_BEAT);
        is_made.then(|| format!("beat makes this schedule itself: {what} when beat starts again"))
    }

    /// The text says why it cannot be told.
    fn enqueued(&self, now: Timestamp) -> Result<EnqueueRequest, &'static str> {
        let facts = &self.entry.facts;
        let (Some(Json::Array(args)), Some(Json::Object(kwargs))) = (&self.entry.args, &self.entry.kwargs) else {
            return Err("its arguments are not a JSON array and a JSON object: correct them first");
        };
        // Beat names the schedule in the message; so does Taskplane.
        let mut headers = self.headers.clone();
        headers.insert("periodic_task_name".into(), facts.name.clone().into());
        let after = facts.expire_seconds.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000_000));
        if self.exchange.is_some() && facts.queue.is_none() {
            return Err("it goes to an exchange and not to a queue: give it a queue to run it from here");
        }
        Ok(EnqueueRequest {
            name: facts.task.clone().unwrap_or_default(),
            args: args.clone(),
            kwargs: kwargs.clone(),
            queue: facts.queue.clone(),
            eta: None,
            expires: facts.expires_at.or(after.map(|after| now.plus(after))),
            priority: facts.priority,
            headers,
        })
    }
}

impl From<Columns> for PeriodicTask {
    fn from(columns: Columns) -> Self {
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (kind, expression, timezone) = columns.times.map_or((None, None, None), |times| {
            let (kind, expression, timezone) = times.told();
            (Some(kind.to_owned()), expression, timezone)
        });
        let facts = Schedule {
            id: columns.id,
            name: columns.name,
            task: columns.task,
            engine: Some(ENGINE.to_owned()),
            kind,
            expression,
            timezone,
            queue: text(columns.queue),
            enabled: columns.enabled,
            one_off: columns.one_off,
            starts_at: columns.start_time,
            expires_at: columns.expires,
            expire_seconds: columns.expire_seconds,
            priority: columns.priority,
            last_run_at: columns.last_run_at,
            total_run_count: columns.total_run_count,
            read_only: Some(false),
            description: text(columns.description),
            ..Schedule::default()
        };
        let args = json(columns.args.as_deref(), "[]").filter(Json::is_array);
        let kwargs = json(columns.kwargs.as_deref(), "{}").filter(Json::is_object);
        let headers = match json(columns.headers.as_deref(), "{}") {
            Some(Json::Object(headers)) => headers,
            _ => Map::new(),
        };
        Self {
            entry: ScheduleEntry { facts, args, kwargs },
            anchor: columns.last_run_at.or(columns.date_changed),
            exchange: text(columns.exchange),
            headers,
        }
    }
}

impl Times {
    /// Kind, expression and zone.
    fn told(self) -> (&'static str, Option<String>, Option<String>) {
        match self {
            Self::Clocked(at) => ("clocked", Some(at.to_string()), None),
            Self::Interval(every, period) => ("interval", interval_expression(&every, &period), None),
            Self::Crontab(fields, zone) => {
                // As it is shown in Django's admin: without the blanks that a field may have.
                let shown = fields.map(|field| field.replace(' ', "")).map(|field| match field.as_str() {
                    "" => "*".to_owned(),
                    _ => field,
                });
                ("crontab", Some(shown.join(" ")), zone)
            }
            Self::Solar(event, latitude, longitude) => {
                ("solar", Some(format!("{event} {} {}", plain(&latitude), plain(&longitude))), None)
            }
        }
    }
}

/// What a change led to.
pub(crate) fn told(task: Option<PeriodicTask>, message: Option<String>) -> ChangedSchedule {
    ChangedSchedule { entry: task.map(|task| task.at(clock::now())).unwrap_or_default(), message }
}

/// There is none with this id.
pub(crate) fn missing(id: &str) -> CommandError {
    CommandError::NotFound(format!("there is no schedule with the id {id}"))
}

/// A decimal number without the zeros at its end.
fn plain(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

fn json(text: Option<&str>, empty: &str) -> Option<Json> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(empty);
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_lose_the_zeros_at_their_end() {
        assert_eq!(["52.520000", "13.0", "-7", "100", "0.5"].map(plain), ["52.52", "13", "-7", "100", "0.5"]);
    }
}
