//! Results in the application's database: the table of Celery's own backend (`db+…`), or that of django-celery-results. They
//! are read and never written, a bounded number at a time, by the keys that these tables have.
//!
//! [`address`] reads the URL, [`table`] knows the columns, [`row`] makes of a row what Celery publishes on Redis, so that all
//! that reads results reads these, and [`follow`] looks for new ones.

mod address;
mod follow;
mod pickle;
mod row;
mod table;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use taskplane_application_database::{Access, Database, DatabaseError, Row, Session, Statement, Value};

use crate::{broker::BrokerError, clock, config::ConfigError};

pub(crate) use follow::follow;
use row::Freshness;
use table::{Layout, State, Table};

/// What of the engine's health tells whether results are seen.
pub(crate) const PART: &str = "results";
/// Results read in one step: each may be large.
const RESULTS_AT_ONCE: usize = 20;
/// States read in one step.
const STATES_AT_ONCE: usize = 1_000;

/// Where results are kept.
pub(crate) struct Backend {
    database: Database,
    table: Table,
    /// False once it is known that Celery's table was made without `result_extended`.
    may_be_extended: AtomicBool,
}

impl Backend {
    /// The backend that a URL names, if it is one in a database. Nothing is contacted yet.
    pub(crate) fn named(url: &str) -> Result<Option<Self>, ConfigError> {
        let Some((address, table)) = address::read(url)? else { return Ok(None) };
        let database = Database::new(address, Access::Read);
        Ok(Some(Self { database, table, may_be_extended: AtomicBool::new(true) }))
    }

    /// The stored results of tasks, as JSON.
    pub(crate) async fn read(&self, ids: &[&str]) -> Result<HashMap<String, Vec<u8>>, BrokerError> {
        self.read_as(ids, Freshness::Any).await
    }

    async fn read_as(&self, ids: &[&str], freshness: Freshness) -> Result<HashMap<String, Vec<u8>>, BrokerError> {
        let mut found = HashMap::new();
        for ids in ids.chunks(RESULTS_AT_ONCE) {
            let is_extended = self.may_be_extended.load(Ordering::Relaxed);
            let rows = match self.rows(ids, is_extended).await {
                Err(DatabaseError::NoColumn(_)) if is_extended && self.table.layout == Layout::Celery => {
                    let rows = self.rows(ids, false).await;
                    self.may_be_extended.store(rows.is_err(), Ordering::Relaxed);
                    rows
                }
                rows => rows,
            };
            let now = clock::now();
            let rows = rows.map_err(|error| self.in_words(error))?.into_iter();
            found.extend(rows.filter_map(|row| row::meta(row, self.table.layout, freshness, now)));
        }
        Ok(found)
    }

    async fn rows(&self, ids: &[&str], is_extended: bool) -> Result<Vec<Row>, DatabaseError> {
        let select = self.table.results(self.database.dialect(), is_extended);
        let select = select.any_of("task_id", ids.iter().map(|id| Value::text(*id)));
        self.database.with(async |session: &mut Session| session.rows(select).await).await
    }

    /// The tasks of the newest results, newest first: those that came into the table last.
    pub(crate) async fn newest(&self, count: usize) -> Result<Vec<String>, BrokerError> {
        let mut newest: Vec<State> = Vec::new();
        while newest.len() < count {
            let before = newest.last().map_or(i64::MAX, |state| state.id);
            let page = self.states(self.table.before(self.database.dialect(), before, STATES_AT_ONCE)).await?;
            let is_last = page.len() < STATES_AT_ONCE;
            newest.extend(page);
            if is_last {
                break;
            }
        }
        newest.truncate(count);
        Ok(newest.into_iter().map(|state| state.task_id).collect())
    }

    async fn states(&self, select: Statement) -> Result<Vec<State>, BrokerError> {
        let read = self.database.with(async |session: &mut Session| session.rows(select).await);
        let rows = read.await.map_err(|error: DatabaseError| self.in_words(error))?;
        Ok(rows.into_iter().filter_map(State::of).collect())
    }

    /// What is wrong, and what to do about it.
    fn in_words(&self, error: DatabaseError) -> BrokerError {
        let table = &self.table.name;
        let instead = match self.table.layout {
            Layout::Celery => {
                "Celery's workers make it when they start. If they have, name the database of their result_backend, and with \
                 ?task_table=NAME behind it what they have in database_table_names"
            }
            Layout::Django => {
                "run the application's migrations (django-celery-results), or name the database that it uses"
            }
        };
        BrokerError::of_database(match error {
            DatabaseError::NoTable(shown) => format!("{shown} does not have the table {table}: {instead}"),
            DatabaseError::NoColumn(shown) => format!("{shown} has a table {table} that is none of results: {instead}"),
            DatabaseError::Denied(shown) => {
                format!("{shown} does not let the agent's user read {table}: grant it SELECT on that table")
            }
            other => other.to_string(),
        })
    }
}
