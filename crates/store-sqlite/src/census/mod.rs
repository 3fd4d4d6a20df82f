//! Censuses of tasks, from which they are counted. The writer only notes which tasks change that are in one; the rest is read
//! from snapshots and stored in short transactions.

use rusqlite::{Connection, Row, params};
use taskplane_store::backend::census::steps::{Publication, State};
use taskplane_store::backend::census::{Census, place, places_of};

use crate::errors::Done;
use crate::writer::Tx;

mod read;
mod take;

pub(crate) use read::{outline, rows};
pub(crate) use take::step;

/// Notes that a task is new, or is not what it was, if it may be in a census.
pub(crate) fn note(tx: &mut Tx<'_>, key: i64) -> Done<()> {
    let until = match tx.caches.census_until {
        Some(until) => until,
        None => state(tx.db)?.taking_until,
    };
    tx.caches.census_until = Some(until);
    if key < until {
        tx.db.prepare_cached("INSERT INTO census_changes (key) VALUES (?1)")?.execute([key])?;
    }
    Ok(())
}

/// Forgets what lies wholly below `key`, where there are no tasks any more.
pub(crate) fn forget_below(tx: &Tx<'_>, key: i64) -> Done<()> {
    let mut select = tx.db.prepare_cached("SELECT id FROM censuses WHERE high <= ?1")?;
    let gone = select.query_map([key], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let changes = tx.db.prepare_cached("DELETE FROM census_changes WHERE key < ?1")?.execute([key])?;
    if gone.is_empty() && changes == 0 {
        return Ok(());
    }
    gone.into_iter().try_for_each(|id| remove(tx.db, id))?;
    // A step that is being taken may be about to replace what is gone, and numbers of changes may be given again.
    tx.db.prepare_cached("UPDATE census_state SET version = version + 1")?.execute([])?;
    Ok(())
}

/// Where the census stands.
fn state(db: &Connection) -> Done<State> {
    let sql = "SELECT taken_until, taking_until, version FROM census_state";
    let state = |row: &Row<'_>| Ok(State { taken_until: row.get(0)?, taking_until: row.get(1)?, version: row.get(2)? });
    Ok(db.prepare_cached(sql)?.query_row([], state)?)
}

/// Censuses with keys from `from` on and below `below`.
fn censuses(db: &Connection, from: i64, below: i64) -> Done<Vec<Census>> {
    let sql = "SELECT id, low, high, tasks FROM censuses WHERE high > ?1 AND low < ?2";
    let census =
        |row: &Row<'_>| Ok(Census { id: row.get(0)?, low: row.get(1)?, high: row.get(2)?, tasks: row.get(3)? });
    Ok(db.prepare_cached(sql)?.query_map([from, below], census)?.collect::<rusqlite::Result<_>>()?)
}

/// From now on notes changes of tasks below `until`. Says where the census now stands; `None` when another one has gone on.
fn announce(tx: &mut Tx<'_>, before: State, until: i64) -> Done<Option<State>> {
    let sql = "UPDATE census_state SET taking_until = max(taking_until, ?2), version = version + 1 WHERE version = ?1";
    let is_next = tx.db.prepare_cached(sql)?.execute([before.version, until])? == 1;
    tx.caches.census_until = None;
    if is_next { state(tx.db).map(Some) } else { Ok(None) }
}

/// Stores what a step has come to, unless another one has gone on since `before`.
fn publish(tx: &mut Tx<'_>, before: State, publication: &Publication) -> Done<()> {
    let Publication { remove: replaced, add, taken_until, known } = publication;
    let sql = "UPDATE census_state SET version = version + 1, taken_until = max(taken_until, ?2) WHERE version = ?1";
    if tx.db.prepare_cached(sql)?.execute([before.version, *taken_until])? == 0 {
        return Ok(());
    }
    let last: i64 = tx.db.query_row("SELECT coalesce(max(id), 0) FROM censuses", [], |row| row.get(0))?;
    replaced.iter().try_for_each(|id| remove(tx.db, *id))?;
    if let Some(taken) = add {
        let (id, Census { low, high, tasks, .. }) = (last + 1, taken.census);
        tx.db.prepare_cached("INSERT INTO censuses VALUES (?1, ?2, ?3, ?4)")?.execute(params![id, low, high, tasks])?;
        let mut insert = tx.db.prepare_cached("INSERT INTO census_rows VALUES (?1, ?2)")?;
        for (row, body) in &taken.rows {
            insert.execute(params![place(id, *row), body])?;
        }
    }
    let mut delete = tx.db.prepare_cached("DELETE FROM census_changes WHERE id = ?1")?;
    for id in known {
        delete.execute([id])?;
    }
    Ok(())
}

fn remove(db: &Connection, id: i64) -> Done<()> {
    let (from, until) = places_of(id);
    db.prepare_cached("DELETE FROM census_rows WHERE place >= ?1 AND place < ?2")?.execute([from, until])?;
    db.prepare_cached("DELETE FROM censuses WHERE id = ?1")?.execute([id])?;
    Ok(())
}
