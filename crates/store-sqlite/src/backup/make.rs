//! Making a copy.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use taskplane_store::StoreError;
use taskplane_store::backend::part_file::{PartFile, refuse_existing, with_suffix};
use taskplane_store::checkup::bytes_text;

use super::copied::{Copied, schema, verify};
use crate::disk;
use crate::errors::{Done, Fault};
use crate::open::{PAGE_SIZE, file_in, open_another};

/// Pages of one step: 4 MiB, a few milliseconds.
const STEP_PAGES: i32 = 1 << 9;
/// A slow disk makes the copy slow, but not without end.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// What must stay free on the disk of the data folder, or a twentieth of the disk if that is less: the log grows there while
/// the copy is made, and a full disk would stop the brain.
const KEEP_FREE: u64 = 1 << 30;
/// A log that has grown by less is not why a disk is full.
const GROWN: u64 = 64 << 20;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes copied.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Copies the database of `folder` to the file `to`, as it is at one instant, whoever writes to it. The copy is on disk and
/// verified when this returns; only its owner can read it. `watch` is told now and then how far it is, and may end it.
///
/// Nothing is changed in `folder`, and tables of an older version are copied as they are.
///
/// # Errors
/// When there is no database, `to` exists (unless `overwrite`), or the copy cannot be made; nothing is left at `to` then that
/// was not there before.
pub fn back_up(
    folder: &Path,
    to: &Path,
    overwrite: bool,
    watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Copied, StoreError> {
    let file = file_in(folder);
    if !file.exists() {
        return Err(StoreError::CannotOpen(format!(
            "there is no database in {}: name the folder that the brain was started with, by --data-dir",
            folder.display()
        )));
    }
    refuse_existing(to, overwrite)?;
    if is_same(&file, to) {
        return Err(StoreError::CannotOpen(format!("{} is the database itself: name another file", to.display())));
    }
    let part = PartFile::create(to)?;
    copy(&file, &part, watch).map_err(|fault| match fault {
        // It says only that a disk is full; we write only to one.
        Fault::Sql(rusqlite::Error::SqliteFailure(code, _)) if code.code == rusqlite::ErrorCode::DiskFull => {
            let to = to.display();
            StoreError::Unavailable(format!("no space is left for {to}: free some on its disk, or name another file"))
        }
        fault => fault.into_error(&file),
    })?;
    part.sync()?;
    let copied = verify(part.path())?;
    refuse_existing(to, overwrite)?;
    part.put_at(to)?;
    Ok(copied)
}

fn copy(file: &Path, part: &PartFile, mut watch: impl FnMut(Progress) -> ControlFlow<()>) -> Done<()> {
    let source = open_another(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema(&source, file)?;
    let mut copy = Connection::open_with_flags(part.path(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Whatever becomes of a half copy: it is made again from the beginning.
    copy.pragma_update(None, "journal_mode", "OFF")?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    // Held to the end, so that the copy need not begin anew when somebody writes.
    let snapshot = source.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let log = Log::beside(file);
    let backup = Backup::new(&snapshot, &mut copy)?;
    loop {
        let step = backup.step(STEP_PAGES)?;
        let at = backup.progress();
        let bytes = |pages: i32| u64::try_from(pages).unwrap_or(0) * PAGE_SIZE;
        let progress = Progress { done: bytes(at.pagecount - at.remaining), total: bytes(at.pagecount) };
        if watch(progress).is_break() {
            return Err(StoreError::Unavailable("the backup was given up".to_owned()).into());
        }
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {
                log.refuse_to_fill_the_disk()?;
                leave_the_disk_to_others(part)?;
            }
            _ => return Err(StoreError::Unavailable(format!("{} is locked; try again", file.display())).into()),
        }
    }
}

/// Waits until what was copied is on disk, and then for as long. Else the disk would have gigabytes to write, and the brain, whose
/// agents wait for their acks, would sync behind them.
fn leave_the_disk_to_others(part: &PartFile) -> Done<()> {
    let began = Instant::now();
    part.sync()?;
    thread::sleep(began.elapsed().min(LONGEST_PAUSE));
    Ok(())
}

/// The write-ahead log, and how long it was at first.
struct Log {
    path: PathBuf,
    bytes: u64,
}

impl Log {
    fn beside(file: &Path) -> Self {
        let path = with_suffix(file, "-wal");
        let bytes = length(&path);
        Self { path, bytes }
    }

    fn refuse_to_fill_the_disk(&self) -> Done<()> {
        let grown = length(&self.path).saturating_sub(self.bytes);
        if grown < GROWN {
            return Ok(());
        }
        let Ok(space) = disk::space(&self.path) else { return Ok(()) };
        if space.free >= KEEP_FREE.min(space.total / 20) {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "the backup was given up: only {} are free on the disk of {}, and the write-ahead log there, which grows while the \
             copy is made, has grown by {}; free some space, or try again when less is written",
            bytes_text(space.free),
            self.path.display(),
            bytes_text(grown)
        ))
        .into())
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// True when both paths lead to one file.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
