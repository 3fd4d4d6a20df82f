//! Reading all ids that are stored, beside the writer: five million a second take too long for the first ack after a start.
//!
//! Generations come newest first. Until one has come, ids are looked for in its rows.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::filter::Filter;
use super::{HASH_MASK, generations, slot};
use crate::errors::Done;
use crate::readers::open_reader;

/// Generations that may wait for the writer.
const WAITING: usize = 64;

/// A generation, and the hashes in it.
type Generation = (i64, Vec<i64>);

/// What is still to be read.
#[derive(Debug)]
pub(super) struct Loading {
    read: Option<Receiver<Generation>>,
    reader: Option<JoinHandle<()>>,
    /// The newest generation that has not come; all newer ones have.
    missing: i64,
}

impl Loading {
    /// Begins to read the ids of the database of `db` in which `newest` is the newest generation. Whatever is entered from now
    /// on need not come.
    pub(super) fn begin(db: &Connection, newest: i64) -> Self {
        let (send, read) = sync_channel(WAITING);
        let file = db.path().filter(|path| !path.is_empty() && newest >= 0).map(PathBuf::from);
        let reader = file.and_then(|file| {
            let run = move || {
                if let Err(fault) = read_all(&file, &send) {
                    let error = fault.into_error(&file);
                    tracing::debug!(%error, "ids could not be read beside the writer; it reads them itself");
                }
            };
            // Without a thread nothing comes, and the writer reads.
            thread::Builder::new().name("store-task-ids".into()).spawn(run).ok()
        });
        Self { read: Some(read), reader, missing: newest }
    }

    /// One to which some generations have come, and where more may come from.
    #[cfg(test)]
    pub(super) fn with(newest: i64, come: Vec<Generation>) -> (Self, SyncSender<Generation>) {
        let (send, read) = sync_channel(WAITING);
        come.into_iter().for_each(|generation| send.send(generation).expect("has room"));
        (Self { read: Some(read), reader: None, missing: newest }, send)
    }

    /// The newest generation that is not in the filter.
    pub(super) fn missing(&self) -> i64 {
        self.missing
    }

    /// Takes over what has been read. True when nothing is missing any more.
    pub(super) fn take(&mut self, db: &Connection, oldest: i64, filter: &mut Filter) -> Done<bool> {
        while self.missing >= oldest {
            match self.read.as_ref().map_or(Err(TryRecvError::Disconnected), Receiver::try_recv) {
                Ok((generation, hashes)) => {
                    hashes.iter().for_each(|hash| filter.add(*hash));
                    self.missing = self.missing.min(generation - 1);
                }
                Err(TryRecvError::Empty) => return Ok(false),
                // The reader has ended, and not because it was through.
                Err(TryRecvError::Disconnected) => {
                    for hash in hashes_between(db, oldest, self.missing)? {
                        filter.add(hash);
                    }
                    self.missing = oldest - 1;
                }
            }
        }
        Ok(true)
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

fn read_all(file: &std::path::Path, send: &SyncSender<Generation>) -> Done<()> {
    let mut db = open_reader(file)?;
    let snapshot = db.transaction()?;
    let (oldest, newest) = generations(&snapshot)?;
    for generation in (oldest..=newest).rev() {
        let hashes = hashes_between(&snapshot, generation, generation)?;
        if send.send((generation, hashes)).is_err() {
            // The writer has ended, or begins anew.
            break;
        }
    }
    Ok(())
}

/// The hashes in some generations.
fn hashes_between(db: &Connection, from: i64, to: i64) -> Done<Vec<i64>> {
    let mut select = db.prepare_cached("SELECT slot FROM task_ids WHERE slot BETWEEN ?1 AND ?2")?;
    let bounds = [slot(from, 0, 0), slot(to + 1, 0, 0) - 1];
    let hashes = select.query_map(bounds, |row| Ok(row.get::<_, i64>(0)? & HASH_MASK))?;
    Ok(hashes.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task_ids::{ENTER, HASH_BITS};

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

    fn has_all(filter: &Filter) -> bool {
        (3..8).all(|generation| filter.may_have(generation * 10) && filter.may_have(generation * 10 + 1))
    }

    #[test]
    fn everything_comes_newest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = database(&folder);
        let mut filter = Filter::default();
        let mut loading = Loading::begin(&db, 7);
        while !loading.take(&db, 3, &mut filter).expect("can be read") {
            for generation in loading.missing() + 1..8 {
                assert!(filter.may_have(generation * 10), "{generation} has come");
            }
            thread::yield_now();
        }
        assert!(has_all(&filter) && loading.missing() == 2);
        assert_eq!(slot(1, 0, 0), 1 << HASH_BITS);
    }

    #[test]
    fn what_a_reader_that_ended_has_not_brought_is_read_by_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = database(&folder);
        let (mut loading, _) = Loading::with(7, vec![(7, vec![70, 71])]);
        let mut filter = Filter::default();
        assert!(loading.take(&db, 3, &mut filter).expect("can be read"));
        assert!(has_all(&filter));
    }
}
