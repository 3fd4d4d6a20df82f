//! The search index: which blocks of tasks may hold what is looked for. The writer only notes what changes in tasks that are in
//! it; the rest is read from snapshots and stored in short transactions.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use taskplane_model::Timestamp;
use taskplane_store::backend::search::steps::{Publication, State};
use taskplane_store::backend::search::{Segment, place, places_of};
use taskplane_store::{Result, SearchStore};

use crate::SqliteStore;
use crate::census;
use crate::errors::Done;
use crate::writer::Tx;

mod collect;
mod index;
mod ranges;

pub(crate) use ranges::Ranges;

#[async_trait]
impl SearchStore for SqliteStore {
    async fn index_tasks(&self, now: Timestamp) -> Result<bool> {
        let has_indexed = index::step(self, now).await?;
        Ok(census::step(self, now).await? || has_indexed)
    }
}

/// Notes that a task is new or may be found by what it was not found by, if that is not for the indexer to see anyway.
pub(crate) fn note(tx: &mut Tx<'_>, key: i64) -> Done<()> {
    if is_indexed(tx, key)? {
        tx.db.prepare_cached("INSERT INTO search_changes (key) VALUES (?1)")?.execute([key])?;
    }
    Ok(())
}

/// True when changes of the task at `key` have to be noted.
pub(crate) fn is_indexed(tx: &mut Tx<'_>, key: i64) -> Done<bool> {
    let until = match tx.caches.search_until {
        Some(until) => until,
        None => state(tx.db)?.indexing_until,
    };
    tx.caches.search_until = Some(until);
    Ok(key < until)
}

/// Forgets what lies wholly below `key`, where there are no tasks any more.
pub(crate) fn forget_below(tx: &Tx<'_>, key: i64) -> Done<()> {
    let mut select = tx.db.prepare_cached("SELECT id FROM search_segments WHERE high <= ?1")?;
    let gone = select.query_map([key], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let changes = tx.db.prepare_cached("DELETE FROM search_changes WHERE key < ?1")?.execute([key])?;
    if gone.is_empty() && changes == 0 {
        return Ok(());
    }
    remove(tx.db, &gone)?;
    // A step that is being taken may be about to replace what is gone, and numbers of changes may be given again.
    tx.db.prepare_cached("UPDATE search_state SET version = version + 1")?.execute([])?;
    Ok(())
}

/// Where the indexer stands.
fn state(db: &Connection) -> Done<State> {
    let sql = "SELECT indexed_until, indexing_until, version, folded_at FROM search_state";
    let state = |row: &Row<'_>| {
        Ok(State {
            indexed_until: row.get(0)?,
            indexing_until: row.get(1)?,
            version: row.get(2)?,
            folded_at: Timestamp(row.get(3)?),
        })
    };
    Ok(db.prepare_cached(sql)?.query_row([], state)?)
}

/// Segments with keys from `from` on and below `below`.
pub(crate) fn segments(db: &Connection, from: i64, below: i64) -> Done<Vec<Segment>> {
    let sql = "SELECT id, is_patch, low, high, tasks, postings, bucket_bits, opaque FROM search_segments
        WHERE high > ?1 AND low < ?2";
    let segment = |row: &Row<'_>| {
        Ok(Segment {
            id: row.get(0)?,
            is_patch: row.get(1)?,
            low: row.get(2)?,
            high: row.get(3)?,
            tasks: row.get(4)?,
            postings: row.get(5)?,
            bucket_bits: row.get(6)?,
            opaque: row.get(7)?,
        })
    };
    Ok(db.prepare_cached(sql)?.query_map([from, below], segment)?.collect::<rusqlite::Result<_>>()?)
}

/// From now on notes changes of tasks below `until`. Says where the indexer now stands; `None` when another one has gone on.
fn announce(tx: &mut Tx<'_>, before: State, until: i64) -> Done<Option<State>> {
    let sql =
        "UPDATE search_state SET indexing_until = max(indexing_until, ?2), version = version + 1 WHERE version = ?1";
    let is_next = tx.db.prepare_cached(sql)?.execute([before.version, until])? == 1;
    tx.caches.search_until = None;
    if is_next { state(tx.db).map(Some) } else { Ok(None) }
}

/// Stores what a step has come to, unless another indexer has gone on since `before`.
fn publish(tx: &mut Tx<'_>, before: State, publication: &Publication, folded_at: Timestamp) -> Done<()> {
    let Publication { remove: replaced, add, indexed_until, folded } = publication;
    let sql =
        "UPDATE search_state SET version = version + 1, indexed_until = coalesce(?2, indexed_until), folded_at = ?3
        WHERE version = ?1";
    if tx.db.prepare_cached(sql)?.execute(params![before.version, indexed_until, folded_at.0])? == 0 {
        return Ok(());
    }
    let last: i64 = tx.db.query_row("SELECT coalesce(max(id), 0) FROM search_segments", [], |row| row.get(0))?;
    remove(tx.db, replaced)?;
    if let Some(built) = add {
        let (id, segment) = (last + 1, &built.segment);
        let Segment { is_patch, low, high, tasks, postings, bucket_bits, ref opaque, .. } = *segment;
        let sql = "INSERT INTO search_segments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        tx.db.prepare_cached(sql)?.execute(params![id, is_patch, low, high, tasks, postings, bucket_bits, opaque])?;
        let mut insert = tx.db.prepare_cached("INSERT INTO search_buckets VALUES (?1, ?2)")?;
        for (bucket, body) in &built.buckets {
            insert.execute(params![place(id, *bucket), body])?;
        }
    }
    let mut delete = tx.db.prepare_cached("DELETE FROM search_changes WHERE id = ?1")?;
    for id in folded {
        delete.execute([id])?;
    }
    Ok(())
}

fn remove(db: &Connection, segments: &[i64]) -> Done<()> {
    for id in segments {
        let (from, until) = places_of(*id);
        db.prepare_cached("DELETE FROM search_buckets WHERE place >= ?1 AND place < ?2")?.execute([from, until])?;
        db.prepare_cached("DELETE FROM search_segments WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}
