//! Opening the file: folder, permissions, settings, schema.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use taskplane_store::StoreError;

use crate::errors::{Fault, not_a_database};

/// Name of the database in its folder.
const FILE_NAME: &str = "taskplane.db";
/// Marks the file as ours (`TPLK`).
pub(crate) const APPLICATION_ID: i64 = 0x5450_4c4b;
/// The schema that this program writes; equals the number of the last migration.
pub(crate) const SCHEMA: i64 = 7;
/// Before 3.51.3 a checkpoint that raced with a writer could lose a transaction.
const MIN_SQLITE: i32 = 3_051_003;
/// Page size in bytes. Measured: 8 KiB takes a sixth less CPU than 4 KiB, and 16 KiB no less than 8.
pub(crate) const PAGE_SIZE: u64 = 8192;
/// What SQLite calls a file that can shrink in pieces.
pub(crate) const INCREMENTAL: i64 = 2;
/// How long to wait for another process to finish its transaction.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the schema is tried while another process makes it: for ten seconds in all.
const SCHEMA_ATTEMPTS: u32 = 200;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The database of a folder.
pub(crate) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

/// Makes the folder, the file and the schema where they are not there, and opens the file for writing.
pub(crate) fn open_for_writing(folder: &Path) -> Result<(Connection, PathBuf), StoreError> {
    if rusqlite::version_number() < MIN_SQLITE {
        let found = rusqlite::version();
        return Err(StoreError::CannotOpen(format!("SQLite {found} can lose data; build with 3.51.3 or newer")));
    }
    make_folder(folder)?;
    let file = file_in(folder);
    make_file(&file)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match prepare(&file) {
            Ok(connection) => return Ok((connection, file)),
            // Two processes that open a new folder at once get in each other's way; one of them succeeds.
            Err(error) if error.is_retryable() && attempt < SCHEMA_ATTEMPTS => sleep(Duration::from_millis(50)),
            Err(StoreError::Unavailable(text) | StoreError::Corrupt(text)) => return Err(StoreError::CannotOpen(text)),
            Err(error) => return Err(error),
        }
    }
}

/// Opens one more connection to a file that [`open_for_writing`] has prepared.
pub(crate) fn open_another(file: &Path, flags: OpenFlags) -> Result<Connection, Fault> {
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn prepare(file: &Path) -> Result<Connection, StoreError> {
    let connection = (|| -> Result<Connection, Fault> {
        let mut connection = open_another(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if connection.is_readonly(rusqlite::MAIN_DB)? {
            let text = format!("{} is read-only; give this user write permission", file.display());
            return Err(StoreError::CannotOpen(text).into());
        }
        check_identity(&connection, file)?;
        configure(&connection, file)?;
        migrate(&mut connection, file)?;
        // Not before: an index of all tasks is sorted in files.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    })();
    connection.map_err(|fault| fault.into_error(file))
}

fn check_identity(connection: &Connection, file: &Path) -> Result<(), Fault> {
    // All of one instant: another process may be making the tables.
    let connection = connection.unchecked_transaction()?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let unfinished = application == 0 && version == 0;
    if tables > 0 && application != APPLICATION_ID && !(unfinished && has_only_history(&connection)?) {
        return Err(StoreError::CannotOpen(not_a_database(&file.display())).into());
    }
    if version > SCHEMA {
        let text = format!(
            "{} was written by a newer Taskplane (schema {version}, this program knows {SCHEMA}); start that version, or \
             restore a backup from before the upgrade",
            file.display()
        );
        return Err(StoreError::NewerSchema(text).into());
    }
    Ok(())
}

/// True for a file that was left, or is being made, between the migrations' own table and the first migration.
fn has_only_history(connection: &Connection) -> Result<bool, Fault> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE tbl_name <> 'refinery_schema_history'";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0)
}

fn configure(connection: &Connection, file: &Path) -> Result<(), Fault> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages == 0 {
        // Later they have no effect, but the second would write, which a full disk refuses. It lets the file shrink in
        // small pieces.
        connection.pragma_update(None, "page_size", PAGE_SIZE.cast_signed())?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let text =
            format!("{} cannot use a write-ahead log here; use a local disk, not a network share", file.display());
        return Err(StoreError::CannotOpen(text).into());
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

fn migrate(connection: &mut Connection, file: &Path) -> Result<(), Fault> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == SCHEMA {
        return Ok(());
    }
    if version > 0 {
        tracing::info!(
            from = version,
            to = SCHEMA,
            "changing the database's tables; with millions of tasks this takes a minute"
        );
    }
    let runner = embedded::migrations::runner().set_grouped(true);
    runner.run(connection).map(|_| ()).map_err(|error| {
        StoreError::Unavailable(format!("the tables of {} could not be made or changed ({error})", file.display()))
            .into()
    })
}

/// Makes a folder that only its owner can look into, where there is none.
pub(crate) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| {
        let folder = folder.display();
        StoreError::CannotOpen(format!("the data folder {folder} cannot be made ({error}); choose another, or make it"))
    })
}

fn make_file(file: &Path) -> Result<(), StoreError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let file = file.display();
            let text = format!(
                "{file} cannot be made ({error}); give this user write permission on its folder, or choose another"
            );
            Err(StoreError::CannotOpen(text))
        }
    }
}
