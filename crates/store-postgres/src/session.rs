//! A connection at work, and a transaction on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use taskplane_store::{Result, StoreError};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Row, Statement};

use crate::errors::from_postgres;

/// The server ends a statement after so long …
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// … and a connection on which nothing is heard for so long after asking is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// Values of a statement.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection of a pool. After any error it is closed instead of going back: that is never wrong.
pub(crate) struct Session {
    client: Option<Object>,
    is_doubtful: AtomicBool,
}

/// A transaction at work. Unless it is committed, its connection is closed, and nothing of it remains.
pub(crate) struct Tx {
    session: Session,
    is_done: bool,
}

impl Session {
    pub(crate) fn new(client: Object) -> Self {
        Self { client: Some(client), is_doubtful: AtomicBool::new(false) }
    }

    fn client(&self) -> Result<&Object> {
        self.client.as_ref().ok_or_else(|| StoreError::Internal("a session without its connection".into()))
    }

    /// A prepared statement. Asks the server only the first time on a connection; statements that are to be sent one behind
    /// the other without waiting have to be prepared before.
    pub(crate) async fn statement(&self, sql: &'static str) -> Result<Statement> {
        let client = self.client()?;
        self.bounded(client.prepare_cached(sql)).await
    }

    /// Rows of a prepared statement. It is on its way to the server when this is first polled.
    pub(crate) async fn rows(&self, statement: &Statement, values: Values<'_>) -> Result<Vec<Row>> {
        let client = self.client()?;
        self.bounded(client.query(statement, values)).await
    }

    /// Runs a prepared statement; returns how many rows it touched. On its way when first polled.
    pub(crate) async fn run(&self, statement: &Statement, values: Values<'_>) -> Result<u64> {
        let client = self.client()?;
        self.bounded(client.execute(statement, values)).await
    }

    /// Runs plain text. On its way when first polled.
    pub(crate) async fn simple(&self, sql: &str) -> Result<()> {
        let client = self.client()?;
        self.bounded(client.batch_execute(sql)).await
    }

    /// Prepares and asks for rows.
    pub(crate) async fn query(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>> {
        let statement = self.statement(sql).await?;
        self.rows(&statement, values).await
    }

    /// Prepares and asks for the first row.
    pub(crate) async fn query_first(&self, sql: &'static str, values: Values<'_>) -> Result<Option<Row>> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Prepares and runs.
    pub(crate) async fn execute(&self, sql: &'static str, values: Values<'_>) -> Result<u64> {
        let statement = self.statement(sql).await?;
        self.run(&statement, values).await
    }

    async fn bounded<T>(
        &self,
        asked: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let error = match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => from_postgres(&error),
            Err(_) => {
                let seconds = ANSWER_TIMEOUT.as_secs();
                StoreError::Unavailable(format!(
                    "PostgreSQL has not answered for {seconds} s; check server and network"
                ))
            }
        };
        self.is_doubtful.store(true, Ordering::Relaxed);
        Err(error)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_doubtful.load(Ordering::Relaxed)
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}

impl Tx {
    /// Says that a transaction is under way on `session`.
    pub(crate) fn of(session: Session) -> Self {
        Self { session, is_done: false }
    }

    /// Begins a transaction. Each statement sees what was committed before it began: whoever has waited for a lock sees what
    /// its last holder did.
    pub(crate) async fn begin(session: Session) -> Result<Self> {
        let tx = Self::of(session);
        tx.simple(BEGIN).await?;
        Ok(tx)
    }

    /// Begins a transaction that sees one snapshot and writes nothing.
    pub(crate) async fn begin_reading(session: Session) -> Result<Self> {
        let tx = Self::of(session);
        tx.simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        Ok(tx)
    }

    /// Commits; on disk when this returns. After an error, nobody knows whether it was: what was sent may have been done.
    pub(crate) async fn commit(mut self) -> Result<()> {
        self.session.simple("COMMIT").await?;
        self.is_done = true;
        Ok(())
    }

    /// Says that the transaction was committed, by a `COMMIT` that was sent with other statements.
    pub(crate) fn committed(mut self) {
        self.is_done = true;
    }
}

/// How a transaction begins.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

impl std::ops::Deref for Tx {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.is_done {
            self.session.is_doubtful.store(true, Ordering::Relaxed);
        }
    }
}

/// A column of a row.
pub(crate) fn column<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A column that holds JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &Row, at: usize) -> Result<T> {
    from_json(column(row, at)?)
}

/// JSON as a value.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("a JSON column does not parse ({error})")))
}

/// A value as JSON.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(format!("a value cannot be written ({error})")))
}
