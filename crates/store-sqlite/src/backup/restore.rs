//! Putting a copy in the place of the database.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use taskplane_store::StoreError;
use taskplane_store::backend::part_file::{PartFile, sync_folder_of, unwritable, with_suffix};

use super::copied::{Copied, can_shrink, open_unchanging, recognise, verify};
use super::make::is_same;
use crate::claim::Claim;
use crate::errors::Done;
use crate::open::{file_in, make_folder};

/// What came of restoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What is in the database now.
    pub copied: Copied,
    /// Where the database is that was there before, if there was one with anything in it.
    pub kept: Option<PathBuf>,
}

/// Puts the copy `from` in the place of the database of `folder`, which is made where there is none. A database with anything
/// in it is replaced only with `force`, and kept under its name and `.before-restore-` and `time`.
///
/// # Errors
/// When a brain runs on the folder, another program has its database open, there is one and no `force`, or `from` is no whole
/// copy of a database that this program can read. The database is as it was then.
pub fn restore(folder: &Path, from: &Path, force: bool, time: &str) -> Result<Restored, StoreError> {
    recognise(from)?;
    refuse_log_beside(from)?;
    make_folder(folder)?;
    let _claim = Claim::take(folder)?;
    let file = file_in(folder);
    if is_same(&file, from) {
        return Err(StoreError::CannotOpen(format!("{} is the database itself: name a backup of it", from.display())));
    }
    let has_something = !is_empty(&file);
    if has_something && !force {
        return Err(StoreError::CannotOpen(format!(
            "{} has data already: choose another folder, or add --force to put the backup in its place (it is kept beside it)",
            file.display()
        )));
    }
    let part = PartFile::create(&file)?;
    if can_shrink(from)? {
        copy(from, part.path()).map_err(|error| {
            let file = file.display();
            StoreError::CannotOpen(format!("{} cannot be copied to {file} ({error})", from.display()))
        })?;
    } else {
        write_anew(from, part.path()).map_err(|fault| fault.into_error(part.path()))?;
        part.sync()?;
    }
    let copied = verify(part.path())?;
    let aside = has_something.then(|| with_suffix(&file, &format!(".before-restore-{time}")));
    settle(&file)?;
    put_aside(&file, aside.as_deref()).map_err(|error| unwritable(&file, &error))?;
    part.put_at(&file)?;
    Ok(Restored { copied, kept: aside })
}

/// A log beside a file has a part of what is in it: it is a running or crashed brain's own file, not a copy.
fn refuse_log_beside(from: &Path) -> Result<(), StoreError> {
    match fs::metadata(with_suffix(from, "-wal")) {
        Ok(log) if log.len() > 0 => Err(StoreError::CannotOpen(format!(
            "{0} has a write-ahead log beside it, {0}-wal, and is not whole without it: make a backup of it with `taskplane \
             backup`",
            from.display()
        ))),
        _ => Ok(()),
    }
}

/// True when nothing would be missed. What cannot be read might be.
fn is_empty(file: &Path) -> bool {
    let ask = || -> Done<bool> {
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let sql = "SELECT EXISTS(SELECT 1 FROM agents) OR EXISTS(SELECT 1 FROM agent_tokens) OR EXISTS(SELECT 1 FROM api_keys)";
        Ok(tables == 0 || !db.query_row(sql, [], |row| row.get::<_, bool>(0))?)
    };
    let is_new = fs::metadata(file).map_or(true, |metadata| metadata.len() == 0);
    is_new || (has_log_format(file) && ask().unwrap_or(false))
}

/// True when the file begins as a database with a write-ahead log does. SQLite deletes the log beside any other.
fn has_log_format(file: &Path) -> bool {
    let mut begin = [0; 20];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin.starts_with(b"SQLite format 3\0") && begin[18..] == [2, 2]
}

/// Copies the rows of a database that an earlier version has made into a file that can shrink, which theirs cannot.
fn write_anew(from: &Path, to: &Path) -> Done<()> {
    let source = open_unchanging(from)?;
    source.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let to = to.to_str().ok_or_else(|| StoreError::CannotOpen(format!("{} is no text", to.display())))?;
    source.execute("VACUUM INTO ?1", [to])?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::options().write(true).open(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Brings what the write-ahead log of the old database has into it, as far as it can be read, and makes sure that nobody else
/// has it open.
fn settle(file: &Path) -> Result<(), StoreError> {
    if !has_log_format(file) {
        return Ok(());
    }
    let empty_log = || -> Done<()> {
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        Ok(db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    };
    // The last one who closes a database removes its log. A damaged one keeps it.
    if empty_log().is_ok() && with_suffix(file, "-shm").exists() {
        return Err(StoreError::Unavailable(format!(
            "another program has {} open: end it, and try again",
            file.display()
        )));
    }
    Ok(())
}

/// Gives the old database another name, its log first: the new one must never find it beside it.
fn put_aside(file: &Path, aside: Option<&Path>) -> io::Result<()> {
    let log = with_suffix(file, "-wal");
    match aside {
        Some(aside) if log.exists() => fs::rename(&log, with_suffix(aside, "-wal"))?,
        _ => remove(&log)?,
    }
    remove(&with_suffix(file, "-shm"))?;
    // A second name for it: the first one leads to a whole database all the time.
    if let Some(aside) = aside {
        fs::hard_link(file, aside).or_else(|_| fs::rename(file, aside))?;
    }
    sync_folder_of(file)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
