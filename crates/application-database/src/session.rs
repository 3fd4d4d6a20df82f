//! A connection, and what is done over it.

use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rusqlite::OpenFlags;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};

use crate::address::{Address, Place};
use crate::statement::{Dialect, Row, Statement};
use crate::{DatabaseError, tls};

/// How long a connection may take to come up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What is to be done with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing but reading: the database itself refuses the rest, and statements must be quick.
    Read,
    /// Reading and writing.
    Write,
}

impl Access {
    /// How long a statement may take, and wait for the application's locks.
    fn patience(self) -> Duration {
        match self {
            Self::Read => Duration::from_secs(5),
            Self::Write => Duration::from_secs(10),
        }
    }
}

/// A connection.
pub struct Session {
    shown: String,
    access: Access,
    connection: Connection,
}

enum Connection {
    Postgres(tokio_postgres::Client),
    Mysql(mysql_async::Conn),
    /// Away while a thread works with it.
    Sqlite(Option<rusqlite::Connection>),
}

impl Session {
    pub(crate) async fn open(address: &Address, access: Access) -> Result<Self, DatabaseError> {
        let shown = address.shown();
        let late = |_| DatabaseError::Away(format!("{shown} did not answer within {} s", OPEN_TIMEOUT.as_secs()));
        let connection = timeout(OPEN_TIMEOUT, connect(address, access)).await.map_err(late)??;
        Ok(Self { shown, access, connection })
    }

    /// What it understands.
    pub fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::Postgres(_) => Dialect::Postgres,
            Connection::Mysql(_) => Dialect::Mysql,
            Connection::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// False when the connection is known to be gone.
    pub(crate) fn is_usable(&self) -> bool {
        match &self.connection {
            Connection::Postgres(client) => !client.is_closed(),
            Connection::Mysql(_) => true,
            Connection::Sqlite(connection) => connection.is_some(),
        }
    }

    /// Begins a transaction that will write.
    ///
    /// # Errors
    /// When the database does not do it.
    pub async fn begin(&mut self) -> Result<(), DatabaseError> {
        self.run(if self.dialect() == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }).await
    }

    /// One statement without values and rows.
    ///
    /// # Errors
    /// When the database does not do it.
    pub async fn run(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
        let (shown, limit) = (self.shown.clone(), self.limit());
        in_time(self.run_any(sql), limit, &shown).await
    }

    /// The rows of one statement. Where nothing but reading is allowed, it is a transaction of its own, after which the
    /// connection is as it was: what stands between may hand it to others.
    ///
    /// # Errors
    /// When the database does not do it.
    pub async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        let (shown, limit) = (self.shown.clone(), self.limit());
        let work = async {
            let (begin, end) = match (&self.connection, self.access) {
                (_, Access::Write) | (Connection::Sqlite(_), _) => return self.fetch(statement).await,
                (Connection::Postgres(_), Access::Read) => (READ_POSTGRES, "COMMIT"),
                (Connection::Mysql(_), Access::Read) => ("START TRANSACTION READ ONLY", "COMMIT"),
            };
            self.run_any(begin).await?;
            match self.fetch(statement).await {
                Ok(rows) => self.run_any(end).await.map(|()| rows),
                Err(error) => {
                    // What it said counts, whatever becomes of the connection.
                    let _ = self.run_any("ROLLBACK").await;
                    Err(error)
                }
            }
        };
        in_time(work, limit, &shown).await
    }

    /// The database's own limits come first; this is for one that does not answer at all.
    fn limit(&self) -> Duration {
        self.access.patience() * 2
    }

    async fn run_any(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
        let shown = &self.shown;
        match &mut self.connection {
            Connection::Postgres(client) => {
                client.batch_execute(sql).await.map_err(|error| DatabaseError::of_postgres(&error, shown))
            }
            Connection::Mysql(connection) => {
                connection.query_drop(sql).await.map_err(|error| DatabaseError::of_mysql(&error, shown))
            }
            Connection::Sqlite(connection) => {
                on_sqlite(connection, shown, move |sqlite| sqlite.execute_batch(sql)).await
            }
        }
    }

    async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        let Statement { sql, values, .. } = statement;
        let shown = &self.shown;
        let rows = match &mut self.connection {
            Connection::Postgres(client) => rows_of_postgres(client, &sql, &values)
                .await
                .map_err(|error| DatabaseError::of_postgres(&error, shown))?,
            Connection::Mysql(connection) => {
                let values = mysql_async::Params::Positional(values.into_iter().map(Into::into).collect());
                let rows: Result<Vec<mysql_async::Row>, _> = connection.exec(sql, values).await;
                let rows = rows.map_err(|error| DatabaseError::of_mysql(&error, shown))?;
                let texts = |row: mysql_async::Row| row.unwrap().into_iter().map(text_of_mysql).collect();
                rows.into_iter().map(texts).collect()
            }
            Connection::Sqlite(connection) => {
                let query = move |sqlite: &rusqlite::Connection| {
                    let mut prepared = sqlite.prepare(&sql)?;
                    let columns = prepared.column_count();
                    let read = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect();
                    prepared.query_map(rusqlite::params_from_iter(values), read)?.collect::<Result<Vec<_>, _>>()
                };
                on_sqlite(connection, shown, query).await?
            }
        };
        Ok(rows.into_iter().map(|row: Vec<Option<String>>| Row(row.into_iter())).collect())
    }
}

/// Nothing of it outlives the transaction.
const READ_POSTGRES: &str =
    "BEGIN READ ONLY; SET LOCAL statement_timeout = 5000; SET LOCAL lock_timeout = 5000; SET LOCAL TIME ZONE 'UTC'";

async fn connect(address: &Address, access: Access) -> Result<Connection, DatabaseError> {
    let shown = address.shown();
    match &address.0 {
        Place::Postgres(config, trust) => {
            let opened = config.connect(tls::connector(trust)?).await;
            let (client, connection) = opened.map_err(|error| DatabaseError::of_postgres(&error, &shown))?;
            // Ends when the client is dropped.
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "the connection to the application's database ended");
                }
            });
            if access == Access::Write {
                let wait = access.patience().as_millis();
                let settings = format!("SET statement_timeout = {wait}; SET lock_timeout = {wait}");
                client.batch_execute(&settings).await.map_err(|error| DatabaseError::of_postgres(&error, &shown))?;
            }
            Ok(Connection::Postgres(client))
        }
        Place::Mysql(opts) => {
            let opened = mysql_async::Conn::new(opts.clone()).await;
            let mut connection = opened.map_err(|error| DatabaseError::of_mysql(&error, &shown))?;
            let wait = access.patience().as_secs();
            let settings = format!("SET SESSION innodb_lock_wait_timeout = {wait}, time_zone = '+00:00'");
            connection.query_drop(settings).await.map_err(|error| DatabaseError::of_mysql(&error, &shown))?;
            if access == Access::Read {
                limit_mysql(&mut connection, wait).await;
            }
            Ok(Connection::Mysql(connection))
        }
        Place::Sqlite(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || open_sqlite(&path, access)).await;
            let opened = opened.map_err(|_| DatabaseError::Other("opening the database failed".into()))?;
            opened.map(Some).map(Connection::Sqlite)
        }
    }
}

/// MariaDB and MySQL have different names for it. One that knows neither is waited for no longer than any that is silent.
async fn limit_mysql(connection: &mut mysql_async::Conn, seconds: u64) {
    if connection.query_drop(format!("SET SESSION max_statement_time = {seconds}")).await.is_err() {
        let _ = connection.query_drop(format!("SET SESSION max_execution_time = {}", seconds * 1_000)).await;
    }
}

async fn rows_of_postgres(
    client: &tokio_postgres::Client,
    sql: &str,
    values: &[Option<String>],
) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let values: Vec<(&(dyn ToSql + Sync), Type)> = values.iter().map(|value| (value as _, Type::TEXT)).collect();
    let rows = client.query_typed(sql, &values).await?;
    let texts = |row: &tokio_postgres::Row| (0..row.len()).map(|at| row.try_get::<_, Option<String>>(at)).collect();
    rows.iter().map(texts).collect()
}

/// Works on the SQLite file, on a thread that may wait for the disk.
async fn on_sqlite<T: Send + 'static>(
    connection: &mut Option<rusqlite::Connection>,
    shown: &str,
    work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, DatabaseError> {
    let gone = || DatabaseError::Away("the connection to the SQLite file is gone".into());
    let taken = connection.take().ok_or_else(gone)?;
    let worked = tokio::task::spawn_blocking(move || (work(&taken), taken)).await;
    let (outcome, taken) = worked.map_err(|_| gone())?;
    *connection = Some(taken);
    outcome.map_err(|error| DatabaseError::of_sqlite(&error, shown))
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, DatabaseError>>,
    limit: Duration,
    shown: &str,
) -> Result<T, DatabaseError> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DatabaseError::Away(format!("{shown} does not answer"))),
    }
}

/// Opens the application's file, which is never created: a wrong path must not become an empty database.
fn open_sqlite(path: &Path, access: Access) -> Result<rusqlite::Connection, DatabaseError> {
    let shown = format!("SQLite at {}", path.display());
    let wrong = |error: rusqlite::Error| DatabaseError::of_sqlite(&error, &shown);
    let way = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let opened = rusqlite::Connection::open_with_flags(path, way | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = opened.map_err(|error| match path.exists() {
        true => wrong(error),
        false => {
            DatabaseError::Refused(format!("there is no file {}: correct the path of the database", path.display()))
        }
    })?;
    connection.busy_timeout(access.patience()).map_err(wrong)?;
    if access == Access::Write {
        // As the application's own connections do.
        connection.pragma_update(None, "foreign_keys", true).map_err(wrong)?;
    }
    Ok(connection)
}

fn text_of_mysql(value: mysql_async::Value) -> Option<String> {
    match value {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        mysql_async::Value::Int(number) => Some(number.to_string()),
        mysql_async::Value::UInt(number) => Some(number.to_string()),
        other => Some(other.as_sql(true)),
    }
}
