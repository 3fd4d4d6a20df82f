//! Reading django-celery-beat's tables.

use taskplane_agent::scheduler::MAX_SCHEDULES;
use taskplane_application_database::{Dialect, Row, Session, Statement, Value};

use super::database::DatabaseError;
use crate::periodic_task::{Columns, PeriodicTask, Times};

pub(super) const TASKS: &str = "django_celery_beat_periodictask";
pub(super) const CRONTABS: &str = "django_celery_beat_crontabschedule";
pub(super) const INTERVALS: &str = "django_celery_beat_intervalschedule";
pub(super) const CLOCKED: &str = "django_celery_beat_clockedschedule";
pub(super) const SOLAR: &str = "django_celery_beat_solarschedule";
pub(super) const CHANGES: &str = "django_celery_beat_periodictasks";

/// All schedules by id, at most [`MAX_SCHEDULES`]; and whether there are more.
pub(super) async fn all(session: &mut Session) -> Result<(Vec<PeriodicTask>, bool), DatabaseError> {
    let limit = i64::try_from(MAX_SCHEDULES).unwrap_or(i64::MAX) + 1;
    let select = select(session.dialect()).sql(&format!(" ORDER BY t.id LIMIT {limit}"));
    let mut tasks: Vec<PeriodicTask> = session.rows(select).await?.into_iter().filter_map(task).collect();
    let are_more = tasks.len() > MAX_SCHEDULES;
    tasks.truncate(MAX_SCHEDULES);
    Ok((tasks, are_more))
}

/// One schedule. In a transaction that will change it, nobody else does meanwhile.
pub(super) async fn one(
    session: &mut Session,
    id: i64,
    for_update: bool,
) -> Result<Option<PeriodicTask>, DatabaseError> {
    let dialect = session.dialect();
    let lock = if for_update { dialect.for_update("t") } else { String::new() };
    let select = select(dialect).sql(" WHERE ").all_of(&[("t.id", Value::Integer(Some(id)))]).sql(&lock);
    Ok(session.rows(select).await?.into_iter().next().and_then(task))
}

/// What is different after any change that is worth reading all rows again.
pub(super) async fn marker(session: &mut Session) -> Result<Vec<Option<String>>, DatabaseError> {
    let d = session.dialect();
    let (last, changed, run) =
        (d.instant("last_update"), d.instant("max(date_changed)"), d.instant("max(last_run_at)"));
    let (count, highest, runs) = (d.column("count(*)"), d.column("max(id)"), d.column("sum(total_run_count)"));
    let sql = format!(
        "SELECT (SELECT {last} FROM {CHANGES} WHERE ident = 1), {count}, {highest}, {changed}, {run}, {runs} FROM {TASKS}"
    );
    let rows = session.rows(Statement::new(d, &sql)).await?;
    Ok(rows.into_iter().next().map(Row::texts).unwrap_or_default())
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
fn task(mut row: Row) -> Option<PeriodicTask> {
    let columns = Columns {
        id: row.text()?,
        name: row.text(),
        task: row.text(),
        args: row.text(),
        kwargs: row.text(),
        queue: row.text(),
        exchange: row.text(),
        headers: row.text(),
        priority: row.number(),
        expire_seconds: row.number(),
        one_off: row.flag(),
        enabled: row.flag(),
        total_run_count: row.number(),
        description: row.text(),
        expires: row.instant(),
        start_time: row.instant(),
        last_run_at: row.instant(),
        date_changed: row.instant(),
        times: None,
    };
    Some(PeriodicTask::from(Columns { times: times(&mut row), ..columns }))
}

/// What the end of a row points to.
fn times(row: &mut Row) -> Option<Times> {
    let clocked = row.instant();
    let (every, period) = (row.text(), row.text());
    let fields: [Option<String>; 5] = std::array::from_fn(|_| row.text());
    let zone = row.text();
    let (event, latitude, longitude) = (row.text(), row.text(), row.text());
    if let Some(at) = clocked {
        return Some(Times::Clocked(at));
    }
    if let (Some(every), Some(period)) = (every, period) {
        return Some(Times::Interval(every, period));
    }
    if let [Some(minute), Some(hour), Some(day), Some(month), Some(weekday)] = fields {
        return Some(Times::Crontab([minute, hour, day, month, weekday], zone));
    }
    Some(Times::Solar(event?, latitude?, longitude?))
}
