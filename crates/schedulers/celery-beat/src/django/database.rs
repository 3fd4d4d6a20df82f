//! The application's own database: a connection to it, and what can go wrong.

use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rusqlite::OpenFlags;
use taskplane_agent::engine::CommandError;
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::address::Address;
use super::statement::{Dialect, Row, Statement};
use super::tls;

/// How long a connection may take to come up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement may take, and wait for the application's locks.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// What went wrong; the text is for people, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum DatabaseError {
    /// It cannot be reached, or went away.
    #[error("{0}")]
    Away(String),
    /// It does not let us in, or not do that.
    #[error("{0}")]
    Refused(String),
    /// It was not written, since it may not be.
    #[error("{0}")]
    ReadOnly(String),
    /// Something with these values is there already.
    #[error("{0}")]
    Taken(String),
    /// Others hold what is needed.
    #[error("{0}")]
    Locked(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<DatabaseError> for CommandError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Away(text) | DatabaseError::Refused(text) | DatabaseError::Other(text) => Self::Engine(text),
            DatabaseError::ReadOnly(text) => Self::ReadOnly(text),
            DatabaseError::Taken(text) => Self::InvalidArgs(text),
            DatabaseError::Locked(text) => Self::Busy(text),
        }
    }
}

impl DatabaseError {
    /// True when the connection is of no more use.
    pub(super) fn ends_session(&self) -> bool {
        !matches!(self, Self::Taken(_) | Self::ReadOnly(_) | Self::Locked(_))
    }
}

/// A connection.
pub(super) enum Session {
    Postgres(tokio_postgres::Client),
    Mysql(mysql_async::Conn),
    /// Away while a thread works with it.
    Sqlite(Option<rusqlite::Connection>),
}

impl Session {
    pub(super) async fn open(address: &Address) -> Result<Self, DatabaseError> {
        let late = |_| {
            let text = format!("{} did not answer within {} s", address.shown(), OPEN_TIMEOUT.as_secs());
            DatabaseError::Away(text)
        };
        timeout(OPEN_TIMEOUT, Self::open_any(address)).await.map_err(late)?
    }

    async fn open_any(address: &Address) -> Result<Self, DatabaseError> {
        match address {
            Address::Postgres(config, trust) => {
                let opened = config.connect(tls::connector(trust)?).await;
                let (client, connection) = opened.map_err(|error| of_postgres(&error, &address.shown()))?;
                // Ends when the client is dropped.
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "the connection to the application's database ended");
                    }
                });
                let wait = STATEMENT_TIMEOUT.as_millis();
                let settings = format!("SET statement_timeout = {wait}; SET lock_timeout = {wait}");
                client.batch_execute(&settings).await.map_err(|error| of_postgres(&error, &address.shown()))?;
                Ok(Self::Postgres(client))
            }
            Address::Mysql(opts) => {
                let opened = mysql_async::Conn::new(opts.clone()).await;
                let mut connection = opened.map_err(|error| of_mysql(&error, &address.shown()))?;
                let wait = STATEMENT_TIMEOUT.as_secs();
                let settings = format!("SET SESSION innodb_lock_wait_timeout = {wait}, time_zone = '+00:00'");
                connection.query_drop(settings).await.map_err(|error| of_mysql(&error, &address.shown()))?;
                Ok(Self::Mysql(connection))
            }
            Address::Sqlite(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || open_sqlite(&path)).await;
                opened
                    .map_err(|_| DatabaseError::Other("opening the database failed".into()))?
                    .map(Some)
                    .map(Self::Sqlite)
            }
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Mysql(_) => Dialect::Mysql,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// False when the connection is known to be gone.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Postgres(client) => !client.is_closed(),
            Self::Mysql(_) => true,
            Self::Sqlite(connection) => connection.is_some(),
        }
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&mut self, address: &Address) -> Result<(), DatabaseError> {
        let begin = if let Self::Sqlite(_) = self { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.run(begin, address).await
    }

    /// One statement without values and rows.
    pub(super) async fn run(&mut self, sql: &'static str, address: &Address) -> Result<(), DatabaseError> {
        let work = async {
            match self {
                Self::Postgres(client) => {
                    client.batch_execute(sql).await.map_err(|error| of_postgres(&error, &address.shown()))
                }
                Self::Mysql(connection) => {
                    connection.query_drop(sql).await.map_err(|error| of_mysql(&error, &address.shown()))
                }
                Self::Sqlite(_) => self.on_sqlite(address, move |sqlite| sqlite.execute_batch(sql)).await,
            }
        };
        in_time(work, address).await
    }

    /// The rows of one statement.
    pub(super) async fn rows(&mut self, statement: Statement, address: &Address) -> Result<Vec<Row>, DatabaseError> {
        let Statement { sql, values, .. } = statement;
        let work = async {
            match self {
                Self::Postgres(client) => {
                    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
                    let rows = client.query(&sql, &values).await;
                    let rows = rows.map_err(|error| of_postgres(&error, &address.shown()))?;
                    let texts = |row: &tokio_postgres::Row| {
                        let text = |at| row.try_get::<_, Option<String>>(at);
                        (0..row.len()).map(text).collect::<Result<Vec<_>, _>>()
                    };
                    let texts: Result<Vec<_>, _> = rows.iter().map(texts).collect();
                    texts.map_err(|error| of_postgres(&error, &address.shown()))
                }
                Self::Mysql(connection) => {
                    let values = mysql_async::Params::Positional(values.into_iter().map(Into::into).collect());
                    let rows: Result<Vec<mysql_async::Row>, _> = connection.exec(sql, values).await;
                    let rows = rows.map_err(|error| of_mysql(&error, &address.shown()))?;
                    let texts = |row: mysql_async::Row| row.unwrap().into_iter().map(text_of_mysql).collect();
                    Ok(rows.into_iter().map(texts).collect())
                }
                Self::Sqlite(_) => {
                    let query = move |sqlite: &rusqlite::Connection| {
                        let mut prepared = sqlite.prepare(&sql)?;
                        let columns = prepared.column_count();
                        let read = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect();
                        prepared.query_map(rusqlite::params_from_iter(values), read)?.collect::<Result<Vec<_>, _>>()
                    };
                    self.on_sqlite(address, query).await
                }
            }
        };
        let rows: Vec<Vec<Option<String>>> = in_time(work, address).await?;
        Ok(rows.into_iter().map(|row| Row(row.into_iter())).collect())
    }

    /// Works on the SQLite file, on a thread that may wait for the disk.
    async fn on_sqlite<T: Send + 'static>(
        &mut self,
        address: &Address,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let gone = || DatabaseError::Away("the connection to the SQLite file is gone".into());
        let Self::Sqlite(connection) = self else { return Err(gone()) };
        let taken = connection.take().ok_or_else(gone)?;
        let worked = tokio::task::spawn_blocking(move || (work(&taken), taken)).await;
        let (outcome, taken) = worked.map_err(|_| gone())?;
        *connection = Some(taken);
        outcome.map_err(|error| of_sqlite(&error, &address.shown()))
    }
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, DatabaseError>>,
    address: &Address,
) -> Result<T, DatabaseError> {
    // The database's own limits come first; this is for one that does not answer at all.
    match timeout(STATEMENT_TIMEOUT * 2, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DatabaseError::Away(format!("{} does not answer", address.shown()))),
    }
}

/// Opens the application's file, which is never created: a wrong path must not become an empty database.
fn open_sqlite(path: &Path) -> Result<rusqlite::Connection, DatabaseError> {
    let shown = format!("SQLite at {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(|error| match path.exists() {
        true => of_sqlite(&error, &shown),
        false => {
            DatabaseError::Refused(format!("there is no file {}: correct the path of the database", path.display()))
        }
    })?;
    connection.busy_timeout(STATEMENT_TIMEOUT).map_err(|error| of_sqlite(&error, &shown))?;
    // As the application's own connections do.
    connection.pragma_update(None, "foreign_keys", true).map_err(|error| of_sqlite(&error, &shown))?;
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

fn missing_tables(shown: &str) -> DatabaseError {
    DatabaseError::Refused(format!(
        "{shown} does not have django-celery-beat's tables (version 2.1 or newer): run the application's migrations, or name the \
         database that it uses"
    ))
}

fn taken() -> DatabaseError {
    DatabaseError::Taken("there is a schedule of that name already: choose another name".into())
}

fn read_only(shown: &str) -> DatabaseError {
    DatabaseError::ReadOnly(format!("the agent may only read {shown}: allow its user to write, to change schedules"))
}

fn locked(shown: &str) -> DatabaseError {
    DatabaseError::Locked(format!(
        "{shown} is locked by others for longer than {} s: try again",
        STATEMENT_TIMEOUT.as_secs()
    ))
}

fn of_postgres(error: &tokio_postgres::Error, shown: &str) -> DatabaseError {
    let Some(said) = error.as_db_error() else {
        let mut why = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            why = format!("{why}: {cause}");
        }
        return DatabaseError::Away(format!("{shown} cannot be reached ({why})"));
    };
    let message = said.message();
    match said.code() {
        code if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_COLUMN => missing_tables(shown),
        code if *code == SqlState::UNIQUE_VIOLATION => taken(),
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            read_only(shown)
        }
        code if *code == SqlState::LOCK_NOT_AVAILABLE
            || *code == SqlState::QUERY_CANCELED
            || *code == SqlState::T_R_DEADLOCK_DETECTED =>
        {
            locked(shown)
        }
        code if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            DatabaseError::Refused(format!(
                "{shown} refuses the user ({message}): correct user and password in the URL"
            ))
        }
        code if *code == SqlState::UNDEFINED_DATABASE => {
            DatabaseError::Refused(format!("{shown} does not exist: correct the database's name in the URL"))
        }
        code if code.code().starts_with("57P") || code.code().starts_with("08") => {
            DatabaseError::Away(format!("{shown} went away ({message})"))
        }
        _ => DatabaseError::Other(format!("{shown} says: {message}")),
    }
}

fn of_mysql(error: &mysql_async::Error, shown: &str) -> DatabaseError {
    let mysql_async::Error::Server(said) = error else {
        return DatabaseError::Away(format!("{shown} cannot be reached ({error})"));
    };
    let message = &said.message;
    match said.code {
        // No such table, no such column.
        1146 | 1054 => missing_tables(shown),
        1062 => taken(),
        // No such privilege on a table or a column; the server is read-only.
        1142 | 1143 | 1290 | 1792 | 1836 => read_only(shown),
        // Waited too long, or in a circle.
        1205 | 1213 => locked(shown),
        // Wrong password, not this database.
        1044 | 1045 | 1698 => DatabaseError::Refused(format!(
            "{shown} refuses the user ({message}): correct user and password in the URL"
        )),
        1049 => DatabaseError::Refused(format!("{shown} does not exist: correct the database's name in the URL")),
        1053 | 1927 => DatabaseError::Away(format!("{shown} went away ({message})")),
        _ => DatabaseError::Other(format!("{shown} says: {message}")),
    }
}

fn of_sqlite(error: &rusqlite::Error, shown: &str) -> DatabaseError {
    use rusqlite::ErrorCode;
    let said = error.to_string();
    match error.sqlite_error_code() {
        _ if said.contains("no such table") || said.contains("no such column") => missing_tables(shown),
        Some(ErrorCode::ConstraintViolation) if said.contains("UNIQUE") => taken(),
        Some(ErrorCode::ReadOnly) => read_only(shown),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => locked(shown),
        Some(ErrorCode::NotADatabase) => {
            DatabaseError::Refused(format!("{shown} is not a SQLite database: correct the path"))
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            DatabaseError::Refused(format!("{shown} cannot be opened ({said}): let the agent read and write it"))
        }
        _ => DatabaseError::Other(format!("{shown} says: {said}")),
    }
}
