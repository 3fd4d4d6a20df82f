//! Reading django-celery-beat's tables.

use serde_json::{Map, Value as Json};
use taskplane_agent::engine::EnqueueRequest;
use taskplane_agent::scheduler::{MAX_SCHEDULES, ScheduleEntry};
use taskplane_model::Timestamp;
use taskplane_model::schedule::Schedule;

use super::address::Address;
use super::database::{DatabaseError, Session};
use super::statement::{Dialect, Row, Statement, Value};
use super::validate::interval_expression;
use crate::ENGINE;
use crate::next::next_run;

pub(super) const TASKS: &str = "django_celery_beat_periodictask";
pub(super) const CRONTABS: &str = "django_celery_beat_crontabschedule";
pub(super) const INTERVALS: &str = "django_celery_beat_intervalschedule";
pub(super) const CLOCKED: &str = "django_celery_beat_clockedschedule";
pub(super) const SOLAR: &str = "django_celery_beat_solarschedule";
pub(super) const CHANGES: &str = "django_celery_beat_periodictasks";

/// One row of the table of schedules, with what it points to.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) entry: ScheduleEntry,
    /// What an interval counts from.
    anchor: Option<Timestamp>,
    exchange: Option<String>,
    headers: Map<String, Json>,
}

impl Task {
    /// The entry, with its next run after `now`.
    pub(super) fn at(&self, now: Timestamp) -> ScheduleEntry {
        let mut entry = self.entry.clone();
        entry.facts.next_run_at = next_run(&entry.facts, self.anchor, now);
        entry
    }

    /// What beat would enqueue at `now`; the text says why it cannot be told.
    pub(super) fn enqueued(&self, now: Timestamp) -> Result<EnqueueRequest, &'static str> {
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

/// All schedules by id, at most [`MAX_SCHEDULES`]; and whether there are more.
pub(super) async fn all(session: &mut Session, address: &Address) -> Result<(Vec<Task>, bool), DatabaseError> {
    let limit = i64::try_from(MAX_SCHEDULES).unwrap_or(i64::MAX) + 1;
    let select = select(session.dialect()).sql(&format!(" ORDER BY t.id LIMIT {limit}"));
    let mut tasks: Vec<Task> = session.rows(select, address).await?.into_iter().filter_map(task).collect();
    let are_more = tasks.len() > MAX_SCHEDULES;
    tasks.truncate(MAX_SCHEDULES);
    Ok((tasks, are_more))
}

/// One schedule. In a transaction that will change it, nobody else does meanwhile.
pub(super) async fn one(
    session: &mut Session,
    address: &Address,
    id: i64,
    for_update: bool,
) -> Result<Option<Task>, DatabaseError> {
    let dialect = session.dialect();
    let lock = if for_update { dialect.for_update("t") } else { String::new() };
    let select = select(dialect).sql(" WHERE ").all_of(&[("t.id", Value::Integer(Some(id)))]).sql(&lock);
    Ok(session.rows(select, address).await?.into_iter().next().and_then(task))
}

/// What is different after any change that is worth reading all rows again.
pub(super) async fn marker(session: &mut Session, address: &Address) -> Result<Vec<Option<String>>, DatabaseError> {
    let d = session.dialect();
    let (last, changed, run) =
        (d.instant("last_update"), d.instant("max(date_changed)"), d.instant("max(last_run_at)"));
    let (count, highest, runs) = (d.column("count(*)"), d.column("max(id)"), d.column("sum(total_run_count)"));
    let sql = format!(
        "SELECT (SELECT {last} FROM {CHANGES} WHERE ident = 1), {count}, {highest}, {changed}, {run}, {runs} FROM {TASKS}"
    );
    let rows = session.rows(Statement::new(d, &sql), address).await?;
    Ok(rows.into_iter().next().map(|row| row.0.collect()).unwrap_or_default())
}

fn select(d: Dialect) -> Statement {
    let texts = |columns: &[&str]| columns.iter().map(|column| d.column(column)).collect::<Vec<_>>().join(", ");
    let instants = |columns: &[&str]| columns.iter().map(|column| d.instant(column)).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {}, {}, {}, {} FROM {TASKS} t \
         LEFT JOIN {INTERVALS} i ON i.id = t.interval_id LEFT JOIN {CRONTABS} c ON c.id = t.crontab_id \
         LEFT JOIN {SOLAR} s ON s.id = t.solar_id LEFT JOIN {CLOCKED} k ON k.id = t.clocked_id",
        texts(&["t.id", "t.name", "t.task", "t.args", "t.kwargs", "t.queue", "t.exchange", "t.headers", "t.priority"]),
        texts(&["t.expire_seconds", "t.one_off", "t.enabled", "t.total_run_count", "t.description"]),
        instants(&["t.expires", "t.start_time", "t.last_run_at", "t.date_changed", "k.clocked_time"]),
        texts(&[
            "i.every",
            "i.period",
            "c.minute",
            "c.hour",
            "c.day_of_month",
            "c.month_of_year",
            "c.day_of_week",
            "c.timezone",
            "s.event",
            "s.latitude",
            "s.longitude",
        ]),
    );
    Statement::new(d, &sql)
}

/// Reads a row of [`select`]; `None` only when it has no id.
fn task(mut row: Row) -> Option<Task> {
    let id = row.text()?;
    let (name, task_name, args, kwargs) = (row.text(), row.text(), row.text(), row.text());
    let (queue, exchange, headers, priority) = (row.text(), row.text(), row.text(), row.number());
    let (expire_seconds, one_off, enabled) = (row.number(), row.flag(), row.flag());
    let (total_run_count, description) = (row.number(), row.text());
    let (expires_at, starts_at, last_run_at) = (row.instant(), row.instant(), row.instant());
    let date_changed = row.instant();
    let times = times(&mut row);
    let (kind, expression, timezone) = times.map_or((None, None, None), |(k, e, z)| (Some(k.to_owned()), e, z));
    let facts = Schedule {
        id,
        name,
        task: task_name,
        engine: Some(ENGINE.to_owned()),
        kind,
        expression,
        timezone,
        queue: queue.filter(|queue| !queue.is_empty()),
        enabled,
        one_off,
        starts_at,
        expires_at,
        expire_seconds,
        priority,
        last_run_at,
        total_run_count,
        read_only: Some(false),
        description: description.filter(|text| !text.is_empty()),
        ..Schedule::default()
    };
    let args = json(args.as_deref(), "[]").filter(Json::is_array);
    let kwargs = json(kwargs.as_deref(), "{}").filter(Json::is_object);
    let headers = match json(headers.as_deref(), "{}") {
        Some(Json::Object(headers)) => headers,
        _ => Map::new(),
    };
    let exchange = exchange.filter(|exchange| !exchange.is_empty());
    let anchor = last_run_at.or(date_changed);
    Some(Task { entry: ScheduleEntry { facts, args, kwargs }, anchor, exchange, headers })
}

/// Kind, expression and zone, from the end of a row.
fn times(row: &mut Row) -> Option<(&'static str, Option<String>, Option<String>)> {
    let clocked = row.instant();
    let (every, period) = (row.text(), row.text());
    // As it is shown in Django's admin: without the blanks that a field may have.
    let fields: [Option<String>; 5] = std::array::from_fn(|_| row.text().map(|field| field.replace(' ', "")));
    let zone = row.text();
    let (event, latitude, longitude) = (row.text(), row.text(), row.text());
    if let Some(at) = clocked {
        return Some(("clocked", Some(at.to_string()), None));
    }
    if let (Some(every), Some(period)) = (every, period) {
        return Some(("interval", interval_expression(&every, &period), None));
    }
    if let Some(fields) = fields.into_iter().collect::<Option<Vec<_>>>() {
        let shown = fields.into_iter().map(|field| if field.is_empty() { "*".to_owned() } else { field });
        return Some(("crontab", Some(shown.collect::<Vec<_>>().join(" ")), zone));
    }
    let (event, latitude, longitude) = (event?, latitude?, longitude?);
    Some(("solar", Some(format!("{event} {} {}", plain(&latitude), plain(&longitude))), None))
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
