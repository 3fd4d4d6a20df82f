//! What goes wrong with a database, whichever it is.

use thiserror::Error;
use tokio_postgres::error::SqlState;

/// What went wrong. The text is for people and holds no secrets; what only the asker can word has just the database.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DatabaseError {
    /// It cannot be reached, or went away.
    #[error("{0}")]
    Away(String),
    /// It does not let us in.
    #[error("{0}")]
    Refused(String),
    /// A table that was asked for is not there. Which database that is.
    #[error("{0} does not have a table that it is asked for")]
    NoTable(String),
    /// A column that was asked for is not there. Which database that is.
    #[error("{0} does not have a column that it is asked for")]
    NoColumn(String),
    /// The agent's user lacks the right, or nobody may write. Which database that is.
    #[error("{0} does not allow that to the agent's user")]
    Denied(String),
    /// Something with these values is there already. Which database that is.
    #[error("{0} has something with these values already")]
    Taken(String),
    /// Others hold what is needed, or it took too long.
    #[error("{0}")]
    Locked(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl DatabaseError {
    /// True when the connection is of no more use.
    pub fn ends_session(&self) -> bool {
        !matches!(self, Self::Taken(_) | Self::Denied(_) | Self::Locked(_))
    }

    fn refused_user(shown: &str, message: &str) -> Self {
        Self::Refused(format!("{shown} refuses the user ({message}): correct user and password in the URL"))
    }

    fn no_database(shown: &str) -> Self {
        Self::Refused(format!("{shown} does not exist: correct the database's name in the URL"))
    }

    fn locked(shown: &str) -> Self {
        Self::Locked(format!("{shown} is locked by others, or busy, for too long: try again"))
    }

    pub(crate) fn of_postgres(error: &tokio_postgres::Error, shown: &str) -> Self {
        let Some(said) = error.as_db_error() else {
            let mut why = error.to_string();
            if let Some(cause) = std::error::Error::source(error) {
                why = format!("{why}: {cause}");
            }
            return Self::Away(format!("{shown} cannot be reached ({why})"));
        };
        let message = said.message();
        let is = |state: SqlState| *said.code() == state;
        match said.code() {
            _ if is(SqlState::UNDEFINED_TABLE) || is(SqlState::INVALID_SCHEMA_NAME) => Self::NoTable(shown.to_owned()),
            _ if is(SqlState::UNDEFINED_COLUMN) => Self::NoColumn(shown.to_owned()),
            _ if is(SqlState::UNIQUE_VIOLATION) => Self::Taken(shown.to_owned()),
            _ if is(SqlState::INSUFFICIENT_PRIVILEGE) || is(SqlState::READ_ONLY_SQL_TRANSACTION) => {
                Self::Denied(shown.to_owned())
            }
            _ if is(SqlState::LOCK_NOT_AVAILABLE)
                || is(SqlState::QUERY_CANCELED)
                || is(SqlState::T_R_DEADLOCK_DETECTED) =>
            {
                Self::locked(shown)
            }
            _ if is(SqlState::INVALID_PASSWORD) || is(SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                Self::refused_user(shown, message)
            }
            _ if is(SqlState::UNDEFINED_DATABASE) => Self::no_database(shown),
            code if code.code().starts_with("57P") || code.code().starts_with("08") => {
                Self::Away(format!("{shown} went away ({message})"))
            }
            _ => Self::Other(format!("{shown} says: {message}")),
        }
    }

    pub(crate) fn of_mysql(error: &mysql_async::Error, shown: &str) -> Self {
        let mysql_async::Error::Server(said) = error else {
            return Self::Away(format!("{shown} cannot be reached ({error})"));
        };
        let message = &said.message;
        match said.code {
            1146 => Self::NoTable(shown.to_owned()),
            1054 => Self::NoColumn(shown.to_owned()),
            1062 => Self::Taken(shown.to_owned()),
            // No such privilege on a table or a column; the server is read-only.
            1142 | 1143 | 1290 | 1792 | 1836 => Self::Denied(shown.to_owned()),
            // Waited too long, in a circle, or ran too long.
            1205 | 1213 | 1969 | 3024 => Self::locked(shown),
            // Wrong password, not this database.
            1044 | 1045 | 1698 => Self::refused_user(shown, message),
            1049 => Self::no_database(shown),
            1053 | 1927 => Self::Away(format!("{shown} went away ({message})")),
            _ => Self::Other(format!("{shown} says: {message}")),
        }
    }

    pub(crate) fn of_sqlite(error: &rusqlite::Error, shown: &str) -> Self {
        use rusqlite::ErrorCode;
        let said = error.to_string();
        match error.sqlite_error_code() {
            _ if said.contains("no such table") => Self::NoTable(shown.to_owned()),
            _ if said.contains("no such column") => Self::NoColumn(shown.to_owned()),
            Some(ErrorCode::ConstraintViolation) if said.contains("UNIQUE") => Self::Taken(shown.to_owned()),
            Some(ErrorCode::ReadOnly) => Self::Denied(shown.to_owned()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::locked(shown),
            Some(ErrorCode::NotADatabase) => {
                Self::Refused(format!("{shown} is not a SQLite database: correct the path"))
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::Refused(format!("{shown} cannot be opened ({said}): let the agent's user open it"))
            }
            _ => Self::Other(format!("{shown} says: {said}")),
        }
    }
}
