//! Statistics: what a group of batches changes is added up in memory, and written once per group.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};
use taskplane_model::TaskRecord;
use taskplane_model::rollup::{Rollup, contribute};
use taskplane_store::backend::stats::{decode, encode};

use crate::errors::Done;
use crate::hashing::FastHash;
use crate::rollups::mark_minute;
use crate::writer::Tx;

/// Rows, and minutes known to be marked, that are kept in memory between groups; beyond it all are forgotten and read again.
const KEPT: usize = 2_048;

/// Whose statistics: project, task type and queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    pub(crate) project: u64,
    pub(crate) name: i64,
    pub(crate) queue: i64,
}

/// A row's series and minute.
type Key = (Series, i64);

/// Rows that were read or changed of late, and what is to be added to them.
#[derive(Debug, Default)]
pub(crate) struct RollupCache {
    held: HashMap<Key, Held, FastHash>,
    changes: HashMap<Key, Rollup, FastHash>,
    /// Projects and minutes that are marked as not folded.
    marked: HashSet<(i64, i64), FastHash>,
}

#[derive(Debug, Default)]
struct Held {
    /// The row, if there is one.
    id: Option<i64>,
    rollup: Rollup,
}

/// Adds (`sign` 1) or takes back (`sign` −1) what `record` contributes.
pub(crate) fn count(tx: &mut Tx<'_>, series: Series, record: &TaskRecord, sign: i64) {
    let changes = &mut tx.caches.rollups.changes;
    contribute(record, sign, |minute, change| change(changes.entry((series, minute)).or_default()));
}

/// Writes down what has changed.
pub(crate) fn flush(tx: &mut Tx<'_>) -> Done<()> {
    let (db, cache) = (tx.db, &mut tx.caches.rollups);
    let mut bytes = Vec::new();
    for (key, change) in cache.changes.drain() {
        // Most tasks that change leave what they did before as it was.
        if change.is_empty() {
            continue;
        }
        let (series, minute) = key;
        let project = series.project.cast_signed();
        if cache.marked.insert((project, minute)) {
            mark_minute(db, project, minute)?;
        }
        let held = match cache.held.entry(key) {
            std::collections::hash_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(load(db, series, minute)?),
        };
        held.rollup.merge(&change);
        write(db, key, held, &mut bytes)?;
    }
    if cache.held.len() > KEPT {
        cache.held.clear();
    }
    if cache.marked.len() > KEPT {
        cache.marked.clear();
    }
    Ok(())
}

impl RollupCache {
    /// Forgets rows: some were deleted.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// Forgets that a minute is marked: it was folded.
    pub(crate) fn unmark(&mut self, project: i64, minute: i64) {
        self.marked.remove(&(project, minute));
    }
}

fn write(db: &Connection, (series, minute): Key, held: &mut Held, bytes: &mut Vec<u8>) -> Done<()> {
    match held.id {
        Some(id) if held.rollup.is_empty() => {
            db.prepare_cached("DELETE FROM rollups WHERE id = ?1")?.execute([id])?;
            held.id = None;
        }
        Some(id) => {
            encode(&held.rollup, bytes)?;
            db.prepare_cached("UPDATE rollups SET data = ?2 WHERE id = ?1")?.execute(params![id, *bytes])?;
        }
        None if held.rollup.is_empty() => {}
        None => {
            encode(&held.rollup, bytes)?;
            let sql = "INSERT INTO rollups (project, minute, name, queue, data) VALUES (?1, ?2, ?3, ?4, ?5)";
            let values = params![series.project.cast_signed(), minute, series.name, series.queue, *bytes];
            held.id = Some(db.prepare_cached(sql)?.insert(values)?);
        }
    }
    Ok(())
}

fn load(db: &Connection, series: Series, minute: i64) -> Done<Held> {
    let sql = "SELECT id, data FROM rollups WHERE project = ?1 AND minute = ?2 AND name = ?3 AND queue = ?4";
    let values = [series.project.cast_signed(), minute, series.name, series.queue];
    let row = db.prepare_cached(sql)?.query_row(values, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    match row.optional()? {
        None => Ok(Held::default()),
        Some((id, data)) => Ok(Held { id: Some(id), rollup: decode(&data)? }),
    }
}
