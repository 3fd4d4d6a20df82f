//! A copy: a database in one file that nobody writes.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use taskplane_store::StoreError;

use crate::errors::{Done, Fault, not_a_database};
use crate::open::{APPLICATION_ID, INCREMENTAL, SCHEMA};

/// What is in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Size of the file.
    pub bytes: u64,
    /// How many tasks it has.
    pub tasks: u64,
}

/// Makes sure that `file` is a database of ours, not newer than we are, and that its pages make sense.
pub(super) fn verify(file: &Path) -> Result<Copied, StoreError> {
    let check = || -> Done<Copied> {
        let db = open_unchanging(file)?;
        schema(&db, file)?;
        let said: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said != "ok" {
            return Err(damaged(file, &said).into());
        }
        let tasks: i64 = db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?;
        let bytes = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?.len();
        Ok(Copied { bytes, tasks: tasks.cast_unsigned() })
    };
    check().map_err(|fault| fault.into_error(file))
}

/// Makes sure that `file` is a database of ours, not newer than we are, without reading all of it.
pub(super) fn recognise(file: &Path) -> Result<(), StoreError> {
    let check = || -> Done<()> {
        // SQLite takes an empty file for an empty database, and a folder for a fault of the disk.
        File::open(file).map_err(|error| unreadable(file, &error))?;
        schema(&open_unchanging(file)?, file).map(|_| ())
    };
    check().map_err(|fault| fault.into_error(file))
}

/// True when the file can give free space back. Files of earlier versions cannot.
pub(super) fn can_shrink(file: &Path) -> Result<bool, StoreError> {
    let ask = || -> Done<i64> { Ok(open_unchanging(file)?.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?) };
    ask().map(|mode| mode == INCREMENTAL).map_err(|fault| fault.into_error(file))
}

/// Version of the tables in a database of ours; refuses any other, and newer ones.
pub(crate) fn schema(db: &Connection, file: &Path) -> Done<i64> {
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION_ID || version == 0 {
        return Err(StoreError::CannotOpen(not_a_database(&file.display())).into());
    }
    if version > SCHEMA {
        return Err(StoreError::NewerSchema(format!(
            "{} was written by a newer Taskplane (schema {version}, this program knows {SCHEMA}); use that version",
            file.display()
        ))
        .into());
    }
    Ok(version)
}

/// Opens a file that nobody writes, and leaves nothing beside it.
pub(super) fn open_unchanging(file: &Path) -> Result<Connection, Fault> {
    let absolute = std::path::absolute(file).map_err(|error| unreadable(file, &error))?;
    let mut uri = String::from("file:");
    for byte in absolute.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(uri, flags)?)
}

fn damaged(file: &Path, said: &str) -> StoreError {
    StoreError::Corrupt(format!("{} is damaged ({said}); use another backup", file.display()))
}

fn unreadable(file: &Path, error: &std::io::Error) -> StoreError {
    StoreError::CannotOpen(format!("{} cannot be read ({error})", file.display()))
}
