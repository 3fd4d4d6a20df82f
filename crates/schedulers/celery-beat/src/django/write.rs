//! Changing django-celery-beat's tables: each change in one transaction with the mark that makes beat read again.

use serde_json::Value as Json;
use taskplane_agent::engine::CommandError;
use taskplane_agent::scheduler::ScheduleChange;
use taskplane_application_database::{self as application, Dialect, Row, Session, Statement, Value};
use taskplane_model::Timestamp;

use super::database::DatabaseError;
use super::tables::{self, CHANGES, CLOCKED, CRONTABS, INTERVALS, SOLAR, TASKS};
use crate::periodic_task::PeriodicTask;
use crate::validate::{TimesRow, times_row};
use crate::wanted::Wanted;

/// One transaction.
pub(super) struct Writing<'a> {
    session: &'a mut Session,
    now: Timestamp,
}

/// What a transaction does.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Create(&'a ScheduleChange),
    Update(i64, &'a ScheduleChange),
    Pause(i64, bool),
    Delete(i64),
}

/// What came of a transaction.
pub(super) struct Written {
    /// The schedule's id.
    pub(super) id: i64,
    /// What it was, if it was there.
    pub(super) before: Option<PeriodicTask>,
    /// What the transaction made of it, if it is there; a moment later beat may have written something else.
    pub(super) made: Option<PeriodicTask>,
    /// What to know about it, for people.
    pub(super) message: Option<String>,
}

impl<'a> Writing<'a> {
    /// Begins. Unless [`Self::commit`] is called, nothing of it stays.
    pub(super) async fn begin(session: &'a mut Session) -> Result<Self, DatabaseError> {
        session.begin().await?;
        let clock = format!("SELECT {}", session.dialect().clock());
        let clock = Statement::new(session.dialect(), &clock);
        let mut rows = session.rows(clock).await?.into_iter();
        let now = rows.next().and_then(|mut row| row.instant()).unwrap_or_else(crate::clock::now);
        Ok(Self { session, now })
    }

    /// Makes a change.
    pub(super) async fn make(self, change: Change<'_>) -> Result<Written, CommandError> {
        match change {
            Change::Create(change) => self.create(change).await,
            Change::Update(id, change) => self.update(id, change).await,
            Change::Pause(id, paused) => self.pause(id, paused).await,
            Change::Delete(id) => self.delete(id).await,
        }
    }

    async fn create(mut self, change: &ScheduleChange) -> Result<Written, CommandError> {
        let wanted = Wanted::new(change)?;
        let times = times_row(&wanted)?;
        let [interval, crontab, solar, clocked] = self.times_ids(&times).await?;
        let mut columns = columns(&wanted);
        columns.extend([
            ("args", json(Json::Array(wanted.args.clone()))),
            ("kwargs", json(Json::Object(wanted.kwargs.clone()))),
            ("headers", Value::text("{}")),
            ("total_run_count", Value::Integer(Some(0))),
            ("date_changed", Value::Instant(Some(self.now))),
            interval,
            crontab,
            solar,
            clocked,
        ]);
        let id = self.insert(TASKS, &columns).await?;
        self.written(id, None, None).await
    }

    async fn update(mut self, id: i64, change: &ScheduleChange) -> Result<Written, CommandError> {
        let task = self.existing(id).await?;
        let wanted = Wanted::changed(&task.entry, change)?;
        let times = times_row(&wanted)?;
        let mut columns = columns(&wanted);
        if change.args.is_some() {
            columns.push(("args", json(Json::Array(wanted.args.clone()))));
        }
        if change.kwargs.is_some() {
            columns.push(("kwargs", json(Json::Object(wanted.kwargs.clone()))));
        }
        if !wanted.enabled {
            columns.push(("last_run_at", Value::Instant(None)));
        }
        if change.kind.is_some() || change.expression.is_some() || change.timezone.is_some() {
            columns.extend(self.times_ids(&times).await?);
        }
        columns.push(("date_changed", Value::Instant(Some(self.now))));
        self.set(id, &columns).await?;
        let message = task.comes_back("what its code says of it comes back");
        self.written(id, Some(task), message).await
    }

    async fn pause(mut self, id: i64, paused: bool) -> Result<Written, CommandError> {
        let task = self.existing(id).await?;
        let mut columns = vec![("enabled", Value::Flag(!paused)), ("date_changed", Value::Instant(Some(self.now)))];
        if paused {
            // As Django does: it begins anew when it is resumed, and does not make up for what it left out.
            columns.push(("last_run_at", Value::Instant(None)));
        }
        let message = match (task.entry.facts.enabled, paused) {
            (Some(true), false) => Some("it was not paused".to_owned()),
            (Some(false), true) => Some("it was paused already".to_owned()),
            _ => None,
        };
        self.set(id, &columns).await?;
        self.written(id, Some(task), message).await
    }

    async fn delete(mut self, id: i64) -> Result<Written, CommandError> {
        let task = self.existing(id).await?;
        let delete = Statement::new(self.session.dialect(), &format!("DELETE FROM {TASKS} WHERE "));
        self.rows(delete.all_of(&[("id", Value::Integer(Some(id)))])).await?;
        let message = task.comes_back("it comes back");
        self.written(id, Some(task), message).await
    }

    /// Makes it last, and says what it is now.
    async fn written(
        self,
        id: i64,
        before: Option<PeriodicTask>,
        message: Option<String>,
    ) -> Result<Written, CommandError> {
        let made = tables::one(self.session, id, false).await?;
        self.commit().await?;
        Ok(Written { id, before, made, message })
    }

    /// Tells beat once more that there was a change.
    pub(super) async fn mark_again(self) -> Result<(), DatabaseError> {
        self.commit().await
    }

    async fn existing(&mut self, id: i64) -> Result<PeriodicTask, CommandError> {
        let found = tables::one(self.session, id, true).await?;
        found.ok_or_else(|| CommandError::NotFound(format!("there is no schedule with the id {id} any more")))
    }

    /// Marks the change for beat, and makes all of it last.
    async fn commit(mut self) -> Result<(), DatabaseError> {
        let dialect = self.session.dialect();
        let key = || ("ident", Value::Integer(Some(1)));
        let select =
            Statement::new(dialect, &format!("SELECT {} FROM {CHANGES} WHERE ", dialect.instant("last_update")));
        let select = select.all_of(&[key()]).sql(&dialect.for_update(CHANGES));
        let marked = self.rows(select).await?.into_iter().next().map(|mut row| row.instant());
        let last = marked.flatten();
        // Beat reads again when the mark has grown, whatever the clocks say.
        let mark = last.map_or(self.now, |last| self.now.max(last.plus(1)));
        let mark = ("last_update", Value::Instant(Some(mark)));
        let statement = if marked.is_some() {
            Statement::update(dialect, CHANGES, &[mark], key())
        } else {
            // A beat that starts just now may make the first mark as well.
            Statement::insert(dialect, CHANGES, &[key(), mark]).sql(match dialect {
                Dialect::Mysql => " ON DUPLICATE KEY UPDATE last_update = VALUES(last_update)",
                _ => " ON CONFLICT (ident) DO UPDATE SET last_update = excluded.last_update",
            })
        };
        self.rows(statement).await?;
        Ok(self.session.run("COMMIT").await?)
    }

    /// The columns that point to a schedule's times: to a row that is there, as Django's admin would choose it, or to
    /// a new one. Rows that nothing points to any more stay, as they do there.
    async fn times_ids(&mut self, times: &TimesRow) -> Result<[(&'static str, Value); 4], DatabaseError> {
        let (column, table, row) = match times {
            TimesRow::Interval(every, period) => {
                let row = vec![("every", Value::Integer(Some(*every))), ("period", Value::text(*period))];
                ("interval_id", INTERVALS, row)
            }
            TimesRow::Crontab([minute, hour, day, month, weekday], zone) => {
                let fields = [
                    ("minute", minute),
                    ("hour", hour),
                    ("day_of_month", day),
                    ("month_of_year", month),
                    ("day_of_week", weekday),
                    ("timezone", zone),
                ];
                ("crontab_id", CRONTABS, fields.map(|(name, text)| (name, Value::text(text.as_str()))).to_vec())
            }
            TimesRow::Solar(event, latitude, longitude) => {
                let places = [("latitude", latitude), ("longitude", longitude)];
                let mut row = vec![("event", Value::text(event.as_str()))];
                row.extend(places.map(|(name, degrees)| (name, Value::Decimal(degrees.clone()))));
                ("solar_id", SOLAR, row)
            }
            TimesRow::Clocked(at) => ("clocked_id", CLOCKED, vec![("clocked_time", Value::Instant(Some(*at)))]),
        };
        let dialect = self.session.dialect();
        let find = Statement::new(dialect, &format!("SELECT {} FROM {table} WHERE ", dialect.column("id")));
        let mut found = self.rows(find.all_of(&row).sql(" ORDER BY id LIMIT 1")).await?.into_iter();
        let id = match found.next().and_then(|mut row| row.number()) {
            Some(id) => id,
            None => self.insert(table, &row).await?,
        };
        Ok(["interval_id", "crontab_id", "solar_id", "clocked_id"]
            .map(|name| (name, Value::Integer(Some(id).filter(|_| name == column)))))
    }

    async fn set(&mut self, id: i64, columns: &[(&'static str, Value)]) -> Result<(), DatabaseError> {
        let key = ("id", Value::Integer(Some(id)));
        self.rows(Statement::update(self.session.dialect(), TASKS, columns, key)).await.map(drop)
    }

    async fn insert(&mut self, table: &str, columns: &[(&'static str, Value)]) -> Result<i64, DatabaseError> {
        let dialect = self.session.dialect();
        let mut insert = Statement::insert(dialect, table, columns);
        let is_mysql = dialect == Dialect::Mysql;
        if !is_mysql {
            insert = insert.sql(&format!(" RETURNING {}", dialect.column("id")));
        }
        let mut rows = self.rows(insert).await?;
        if is_mysql {
            rows = self.rows(Statement::new(dialect, "SELECT LAST_INSERT_ID()")).await?;
        }
        let id = rows.into_iter().next().and_then(|mut row| row.number());
        id.ok_or_else(|| {
            application::DatabaseError::Other(format!("the database does not tell the id of a new row of {table}"))
                .into()
        })
    }

    async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        Ok(self.session.rows(statement).await?)
    }
}

/// The columns that a schedule has whether it is new or changed.
fn columns(wanted: &Wanted) -> Vec<(&'static str, Value)> {
    let number = |number: Option<u64>| Value::Integer(number.and_then(|number| i64::try_from(number).ok()));
    vec![
        ("name", Value::text(wanted.name.as_str())),
        ("task", Value::text(wanted.task.as_str())),
        ("queue", Value::Text(wanted.queue.clone())),
        ("priority", number(wanted.priority.map(u64::from))),
        ("expires", Value::Instant(wanted.expires_at)),
        ("expire_seconds", number(wanted.expire_seconds)),
        ("one_off", Value::Flag(wanted.one_off)),
        ("start_time", Value::Instant(wanted.starts_at)),
        ("enabled", Value::Flag(wanted.enabled)),
        ("description", Value::text(wanted.description.as_str())),
    ]
}

fn json(value: Json) -> Value {
    Value::text(value.to_string())
}
