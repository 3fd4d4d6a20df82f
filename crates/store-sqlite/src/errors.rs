//! From what SQLite says to what an operator can use.

use std::path::Path;

use rusqlite::ErrorCode;
use taskplane_store::StoreError;

/// What went wrong inside a piece of work, before it is put into words.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite said so.
    Sql(rusqlite::Error),
    /// We said so.
    Store(StoreError),
}

/// What a piece of work inside this crate returns.
pub(crate) type Done<T> = std::result::Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(StoreError::Corrupt(format!("a JSON column does not parse ({error})")))
    }
}

impl Fault {
    /// A stored value that makes no sense.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Corrupt(what.into()))
    }

    /// Puts it into words; `file` is the database.
    pub(crate) fn into_error(self, file: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => from_sqlite(&error, file),
        }
    }
}

fn from_sqlite(error: &rusqlite::Error, file: &Path) -> StoreError {
    let file = file.display();
    let unavailable = |text: String| StoreError::Unavailable(text);
    let no_space = || unavailable(format!("no space is left for {file}; free some on its disk"));
    match error {
        rusqlite::Error::SqliteFailure(code, _) => match code.code {
            ErrorCode::DiskFull => no_space(),
            // The index of the write-ahead log could not grow, which is said as an error of reading or writing.
            ErrorCode::SystemIoFailure if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => no_space(),
            ErrorCode::ReadOnly => {
                unavailable(format!("{file} is read-only; check the permissions and the mount of its folder"))
            }
            ErrorCode::SystemIoFailure => {
                unavailable(format!("reading or writing {file} failed ({error}); check the disk"))
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                unavailable(format!("another process keeps {file} locked; end it, or wait"))
            }
            ErrorCode::CannotOpen => {
                unavailable(format!("{file} or its write-ahead log cannot be opened; check its folder"))
            }
            ErrorCode::OutOfMemory => unavailable("memory is exhausted".to_owned()),
            ErrorCode::NotADatabase => StoreError::Corrupt(not_a_database(&file)),
            ErrorCode::DatabaseCorrupt => {
                StoreError::Corrupt(format!("{file} is damaged ({error}); restore it from a backup"))
            }
            _ => StoreError::Internal(error.to_string()),
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Internal(error.to_string()),
    }
}

/// Says that a file is something else.
pub(crate) fn not_a_database(file: &impl std::fmt::Display) -> String {
    format!("{file} is not a Taskplane database; move it away, or choose another data folder")
}
