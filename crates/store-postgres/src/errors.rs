//! From what PostgreSQL says to what an operator can use.

use taskplane_store::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Puts a fault of a running store into words.
pub(crate) fn from_postgres(error: &Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        let text = with_cause(error);
        // Values that do not fit their columns are our fault; all else is the way to the server.
        return if error.is_closed() || is_io(error) {
            StoreError::Unavailable(format!("the connection to PostgreSQL was lost ({text}); work goes on by itself"))
        } else {
            StoreError::Internal(text)
        };
    };
    let said = db.message();
    match db.code() {
        code if *code == SqlState::DISK_FULL => StoreError::Unavailable(format!(
            "PostgreSQL has no space left ({said}); free some on its disk, work goes on by itself"
        )),
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::Unavailable(format!(
            "PostgreSQL is read-only ({said}); name the primary server, not a standby, in --database-url"
        )),
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Unavailable(format!(
            "PostgreSQL does not allow it ({said}); grant this user what docs/postgresql.md lists"
        )),
        code if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => {
            StoreError::Corrupt(format!("PostgreSQL says its data is damaged ({said}); restore a backup"))
        }
        code if is_passing(code) => {
            StoreError::Unavailable(format!("PostgreSQL cannot do it now ({said}); work goes on by itself"))
        }
        code => StoreError::Internal(format!("{said} ({})", code.code())),
    }
}

/// True when nothing but the state of the server or of other transactions stood in the way.
fn is_passing(code: &SqlState) -> bool {
    // Connections, transactions rolled back, resources, state of objects, operator's intervention, system.
    ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.code().starts_with(class))
}

/// True when the server could not be reached, or went away.
fn is_io(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        if one.is::<std::io::Error>() {
            return true;
        }
        cause = one.source();
    }
    false
}

/// An error with what caused it. Neither has the password in it.
pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}
