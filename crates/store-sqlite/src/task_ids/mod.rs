//! From a task's id to its key.
//!
//! Ids are random, and one large tree of them would make every new task touch a page of its own: measured, four fifths of
//! what a transaction wrote. So ids are kept in generations of [`GENERATION`] ids, one after the other in one table: new
//! ids all go to the newest, whose few pages each take many ids per transaction. The price is that an id may be in any
//! generation. The writer knows from a filter in memory that most ids it sees are new, and from one for each generation where
//! another may be; readers look through the generations, newest first.

use rusqlite::{CachedStatement, Connection, OptionalExtension};
use taskplane_store::StoreError;

use crate::errors::Done;

mod filter;
mod generations;
mod index;
mod loader;
pub(crate) mod tidy;

pub(crate) use index::TaskIds;

/// Ids of one generation.
const GENERATION: i64 = 1 << 15;
/// A slot is the number of a generation and this many bits of the id's hash.
const HASH_BITS: u32 = 44;
const HASH_MASK: i64 = (1 << HASH_BITS) - 1;
/// Most neighbours with one hash that are looked at. Hashes are keyed, so two are rare already.
const MAX_PROBES: i64 = 64;

/// Enters an id; see [`TaskIds::enter`].
pub(crate) const ENTER: &str = "INSERT INTO task_ids (slot, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const FIND: &str = "SELECT key FROM task_ids WHERE slot = ?1";

/// The slot of a hash in a generation, or the one `step` behind it.
fn slot(generation: i64, hash: i64, step: i64) -> i64 {
    generation << HASH_BITS | (hash.wrapping_add(step) & HASH_MASK)
}

/// Where in the order of slots a hash lies.
pub(crate) fn place(hash: i64) -> i64 {
    hash & HASH_MASK
}

/// True when an id with this hash may be in `slot`, of whatever generation.
pub(crate) fn is_slot_of(slot: i64, hash: i64) -> bool {
    place(slot.wrapping_sub(hash)) < MAX_PROBES
}

/// Calls `found` with the key of every task that may have the id with this hash, until it returns a value.
pub(crate) fn search<T>(db: &Connection, hash: i64, mut found: impl FnMut(i64) -> Done<Option<T>>) -> Done<Option<T>> {
    let mut find = db.prepare_cached(FIND)?;
    let (oldest, newest) = generations(db)?;
    for generation in (oldest..=newest).rev() {
        if let Some(value) = search_generation(&mut find, generation, hash, &mut found)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn search_generation<T>(
    find: &mut CachedStatement<'_>,
    generation: i64,
    hash: i64,
    found: &mut impl FnMut(i64) -> Done<Option<T>>,
) -> Done<Option<T>> {
    for step in 0..MAX_PROBES {
        let key: Option<i64> = find.query_row([slot(generation, hash, step)], |row| row.get(0)).optional()?;
        let Some(key) = key else { return Ok(None) };
        if let Some(value) = found(key)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The oldest generation that has an id, and the newest; 0 and −1 when there is none.
fn generations(db: &Connection) -> Done<(i64, i64)> {
    let end = |sql: &str| -> Done<Option<i64>> { Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    let oldest = end("SELECT min(slot) FROM task_ids")?;
    let newest = end("SELECT max(slot) FROM task_ids")?;
    Ok((oldest.map_or(0, |slot| slot >> HASH_BITS), newest.map_or(-1, |slot| slot >> HASH_BITS)))
}

fn no_place(hash: i64) -> StoreError {
    StoreError::Internal(format!("no place for a task: too many ids with the hash {hash:x}"))
}
