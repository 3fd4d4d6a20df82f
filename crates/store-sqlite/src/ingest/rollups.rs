//! Statistics: changed in memory while a group is stored, written once per group.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use taskplane_model::TaskRecord;
use taskplane_model::rollup::{Rollup, contribute};
use taskplane_store::backend::stats::{decode, encode};

use crate::errors::Done;
use crate::hashing::FastHash;
use crate::writer::Tx;

/// Rows kept in memory between groups; beyond it all are forgotten and read again.
const KEPT: usize = 2_048;

/// Whose statistics: project, task type and queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    pub(crate) project: u64,
    pub(crate) name: i64,
    pub(crate) queue: i64,
}

/// Rows that were read or changed of late.
#[derive(Debug, Default)]
pub(crate) struct RollupCache {
    held: HashMap<(Series, i64), Held, FastHash>,
    changed: Vec<(Series, i64)>,
}

#[derive(Debug, Default)]
struct Held {
    /// The row, if there is one.
    id: Option<i64>,
    rollup: Rollup,
    changed: bool,
}

/// Adds (`sign` 1) or takes back (`sign` −1) what `record` contributes.
pub(crate) fn count(tx: &mut Tx<'_>, series: Series, record: &TaskRecord, sign: i64) -> Done<()> {
    let (db, cache) = (tx.db, &mut tx.caches.rollups);
    let mut outcome = Ok(());
    contribute(record, sign, |minute, change| {
        if outcome.is_ok() {
            outcome = cache.get(db, series, minute).map(change);
        }
    });
    outcome
}

/// Writes down what has changed.
pub(crate) fn flush(tx: &mut Tx<'_>) -> Done<()> {
    let (db, cache) = (tx.db, &mut tx.caches.rollups);
    let mut bytes = Vec::new();
    for key in cache.changed.drain(..) {
        let Some(held) = cache.held.get_mut(&key) else { continue };
        held.changed = false;
        let (series, minute) = key;
        match held.id {
            Some(id) if held.rollup.is_empty() => {
                db.prepare_cached("DELETE FROM rollups WHERE id = ?1")?.execute([id])?;
                held.id = None;
            }
            Some(id) => {
                encode(&held.rollup, &mut bytes)?;
                db.prepare_cached("UPDATE rollups SET data = ?2 WHERE id = ?1")?.execute(params![id, bytes])?;
            }
            None if held.rollup.is_empty() => {}
            None => {
                encode(&held.rollup, &mut bytes)?;
                let sql = "INSERT INTO rollups (project, minute, name, queue, data) VALUES (?1, ?2, ?3, ?4, ?5)";
                let values = params![series.project.cast_signed(), minute, series.name, series.queue, bytes];
                held.id = Some(db.prepare_cached(sql)?.insert(values)?);
            }
        }
    }
    if cache.held.len() > KEPT {
        cache.held.clear();
    }
    Ok(())
}

impl RollupCache {
    fn get(&mut self, db: &Connection, series: Series, minute: i64) -> Done<&mut Rollup> {
        use std::collections::hash_map::Entry;
        let key = (series, minute);
        let held = match self.held.entry(key) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => place.insert(load(db, series, minute)?),
        };
        if !held.changed {
            held.changed = true;
            self.changed.push(key);
        }
        Ok(&mut held.rollup)
    }
}

fn load(db: &Connection, series: Series, minute: i64) -> Done<Held> {
    let sql = "SELECT id, data FROM rollups WHERE project = ?1 AND minute = ?2 AND name = ?3 AND queue = ?4";
    let values = [series.project.cast_signed(), minute, series.name, series.queue];
    let row = db.prepare_cached(sql)?.query_row(values, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    match row.optional()? {
        None => Ok(Held::default()),
        Some((id, data)) => Ok(Held { id: Some(id), rollup: decode(&data)?, changed: false }),
    }
}
