//! Reading all ids that are stored, beside the writer: five million a second take too long for the first ack after a start.
//!
//! Generations come newest first, as filters that are ready. Until one has come, ids are looked for in its rows.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::filter::{Filter, Part};
use super::generations::{self, Generations};
use super::{GENERATION, HASH_MASK, slot};
use crate::errors::Done;
use crate::readers::open_reader;

/// What has been read.
pub(super) enum Read {
    /// All ids of a generation.
    Generation(i64, Part),
    /// All ids of all generations; nothing follows.
    All(Part),
}

/// What is still to be read.
#[derive(Debug)]
pub(super) struct Loading {
    read: Option<Receiver<Read>>,
    reader: Option<JoinHandle<()>>,
    /// The generations to be read: from the first on, and below the second.
    range: (i64, i64),
}

impl Loading {
    /// Begins to read the ids of the generations from `oldest` on and below `newest` in the database of `db`. Nothing is entered
    /// there any more.
    pub(super) fn begin(db: &Connection, oldest: i64, newest: i64) -> Self {
        // Room for all: a reader that waited would keep the log from beginning anew.
        let (send, read) = sync_channel(usize::try_from(newest - oldest).unwrap_or(0) + 1);
        let file = db.path().filter(|path| !path.is_empty()).map(PathBuf::from);
        let reader = file.and_then(|file| {
            let run = move || {
                if let Err(fault) = read_beside(&file, (oldest, newest), &send) {
                    let error = fault.into_error(&file);
                    tracing::debug!(%error, "ids could not be read beside the writer; it reads them itself");
                }
            };
            // Without a thread nothing comes, and the writer reads.
            thread::Builder::new().name("store-task-ids".into()).spawn(run).ok()
        });
        Self { read: Some(read), reader, range: (oldest, newest) }
    }

    /// One of the generations from `oldest` on and below `newest`, to which `come` have come, and where more may come from.
    #[cfg(test)]
    pub(super) fn with((oldest, newest): (i64, i64), come: Vec<Read>) -> (Self, SyncSender<Read>) {
        let (send, read) = sync_channel(8);
        come.into_iter().for_each(|read| assert!(send.send(read).is_ok(), "has room"));
        (Self { read: Some(read), reader: None, range: (oldest, newest) }, send)
    }

    /// Takes over what has been read. True when nothing is missing any more.
    pub(super) fn take(&mut self, db: &Connection, known: &mut Generations, all: &mut Filter) -> Done<bool> {
        loop {
            match self.read.as_ref().map_or(Err(TryRecvError::Disconnected), Receiver::try_recv) {
                Ok(Read::Generation(generation, hashes)) => known.put(generation, hashes),
                Ok(Read::All(hashes)) => {
                    all.absorb(hashes);
                    return Ok(true);
                }
                Err(TryRecvError::Empty) => return Ok(false),
                // The reader has ended, and not because it was through.
                Err(TryRecvError::Disconnected) => {
                    read_each(db, self.range, |generation, hashes| {
                        known.put(generation, hashes);
                        true
                    })?;
                    all.absorb(read_all(db, self.range)?);
                    return Ok(true);
                }
            }
        }
    }
}

impl Drop for Loading {
    /// Waits for the reader, which would keep the database open.
    fn drop(&mut self) {
        self.read = None;
        if let Some(reader) = self.reader.take() {
            // It has nothing to say; what it had not read is missing.
            let _ = reader.join();
        }
    }
}

fn read_beside(file: &Path, range: (i64, i64), send: &SyncSender<Read>) -> Done<()> {
    let mut db = open_reader(file)?;
    let snapshot = db.transaction()?;
    let send_each = |generation, hashes| send.send(Read::Generation(generation, hashes)).is_ok();
    let is_whole = read_each(&snapshot, range, send_each)?;
    if is_whole {
        // When nobody takes it, the writer has ended, or begins anew.
        let _ = send.send(Read::All(read_all(&snapshot, range)?));
    }
    Ok(())
}

/// Reads generations, newest first, for as long as `take` says yes. Says whether it did to the end.
fn read_each(db: &Connection, (oldest, newest): (i64, i64), mut take: impl FnMut(i64, Part) -> bool) -> Done<bool> {
    for generation in (oldest..newest).rev() {
        if !take(generation, read_generation(db, generation, |_| {})?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads all ids in some generations. Not while each is read: there is no hurry then, and a large filter takes longer to fill than
/// many small ones.
fn read_all(db: &Connection, (oldest, newest): (i64, i64)) -> Done<Part> {
    let generations = usize::try_from(newest - oldest).unwrap_or(0);
    let mut all = Part::with_room(generations.saturating_mul(GENERATION as usize));
    each_hash(db, oldest, newest, |hash| all.add(hash))?;
    Ok(all)
}

/// The hashes in a generation, each of which `note` is told.
pub(super) fn read_generation(db: &Connection, generation: i64, mut note: impl FnMut(i64)) -> Done<Part> {
    let mut hashes = generations::empty();
    each_hash(db, generation, generation + 1, |hash| {
        hashes.add(hash);
        note(hash);
    })?;
    Ok(hashes)
}

/// Calls `take` with every hash in the generations from `oldest` on and below `newest`.
fn each_hash(db: &Connection, oldest: i64, newest: i64, mut take: impl FnMut(i64)) -> Done<()> {
    let mut select = db.prepare_cached("SELECT slot FROM task_ids WHERE slot >= ?1 AND slot < ?2")?;
    let mut rows = select.query([slot(oldest, 0, 0), slot(newest, 0, 0)])?;
    while let Some(row) = rows.next()? {
        take(row.get::<_, i64>(0)? & HASH_MASK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task_ids::ENTER;

    /// A database with two ids in each of five generations, the oldest being 3.
    fn database(folder: &tempfile::TempDir) -> Connection {
        let db = Connection::open(folder.path().join("ids.db")).expect("opens");
        db.pragma_update(None, "journal_mode", "WAL").expect("is set");
        db.execute_batch("CREATE TABLE task_ids (slot INTEGER PRIMARY KEY, key INTEGER NOT NULL)").expect("is made");
        for generation in 3..8 {
            for hash in [generation * 10, generation * 10 + 1] {
                db.execute(ENTER, [slot(generation, hash, 0), hash]).expect("is entered");
            }
        }
        db
    }

    fn assert_has_all(known: &Generations, all: &Filter) {
        for generation in 3..8 {
            assert!(all.may_have(generation * 10) && all.may_have(generation * 10 + 1));
            assert!(known.may_have(generation, generation * 10 + 1) && !known.may_have(generation, 77));
        }
    }

    #[test]
    fn everything_comes() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = database(&folder);
        let (mut known, mut all) = (Generations::unknown(3), Filter::default());
        let mut loading = Loading::begin(&db, 3, 8);
        while !loading.take(&db, &mut known, &mut all).expect("can be read") {
            assert!((3..8).all(|generation| known.may_have(generation, generation * 10)));
            thread::yield_now();
        }
        assert_has_all(&known, &all);
    }

    #[test]
    fn what_a_reader_that_ended_has_not_brought_is_read_by_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = database(&folder);
        let (mut loading, _) = Loading::with((3, 8), vec![Read::Generation(7, generations::empty())]);
        let (mut known, mut all) = (Generations::unknown(3), Filter::default());
        assert!(loading.take(&db, &mut known, &mut all).expect("can be read"));
        assert_has_all(&known, &all);
    }
}
