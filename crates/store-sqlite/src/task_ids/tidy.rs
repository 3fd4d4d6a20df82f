//! Forgetting ids of tasks that are gone.
//!
//! An entry cannot be removed alone: behind it may lie one with the same hash, which would not be found any more. So whole
//! generations are emptied once half of their tasks are gone, in pieces that end at a free slot, and the entries of tasks that
//! are still there are entered again, into the newest one.

use rusqlite::{Connection, OptionalExtension};

use super::{ENTER, GENERATION, HASH_BITS, MAX_PROBES, TaskIds, slot};
use crate::errors::Done;
use crate::ids;

/// Entries by which a generation is judged. They lie in the order of hashes, so the first ones are any ones.
const SAMPLE: usize = 64;

/// An entry.
type Entry = (i64, i64);

/// Looks at one generation, or empties a piece of it. `below` is the key below which tasks have been dropped. False when all
/// generations have been looked at that may have ids of dropped tasks.
pub(crate) fn forget(db: &Connection, known: &mut TaskIds, seed: u64, below: i64, limit: i64) -> Done<bool> {
    known.check(db)?;
    if known.is_renewing() {
        return known.renew(db, limit);
    }
    let limit = limit.clamp(SAMPLE as i64, GENERATION);
    let entries = entries(db, known.tidied, limit + 1)?;
    let generation = entries.first().map_or(i64::MAX, |(slot, _)| slot >> HASH_BITS);
    if generation >= known.newest {
        return finish(db, known, limit);
    }
    let whole = entries.len() as i64 <= limit || entries.iter().any(|(slot, _)| slot >> HASH_BITS != generation);
    let mut entries: Vec<Entry> = entries.into_iter().filter(|(slot, _)| slot >> HASH_BITS == generation).collect();
    let begun = known.emptying == Some(generation);
    if !begun {
        match judge(db, &entries[..entries.len().min(SAMPLE)], below)? {
            Judgement::Young => return finish(db, known, limit),
            Judgement::Full => {
                known.tidied = slot(generation + 1, 0, 0);
                return Ok(true);
            }
            Judgement::Stale => known.emptying = Some(generation),
        }
    }
    if !whole {
        end_at_a_gap(&mut entries);
    }
    known.tidied = entries.last().map_or(i64::MAX, |(slot, _)| slot + 1);
    empty(db, known, seed, &entries)?;
    Ok(true)
}

enum Judgement {
    /// Its tasks are too young to have been dropped, as are those of the generations behind it.
    Young,
    /// Most of its tasks are still there.
    Full,
    /// Half of its tasks are gone, or more.
    Stale,
}

fn judge(db: &Connection, sample: &[Entry], below: i64) -> Done<Judgement> {
    let young = sample.iter().filter(|(_, key)| *key >= below).count();
    if young * 2 > sample.len() {
        return Ok(Judgement::Young);
    }
    let mut exists = db.prepare_cached("SELECT 1 FROM tasks WHERE key = ?1")?;
    let mut gone = 0;
    for (_, key) in sample {
        gone += usize::from(!exists.exists([key])?);
    }
    Ok(if gone * 2 >= sample.len() { Judgement::Stale } else { Judgement::Full })
}

fn entries(db: &Connection, from: i64, limit: i64) -> Done<Vec<Entry>> {
    let sql = "SELECT slot, key FROM task_ids WHERE slot >= ?1 ORDER BY slot LIMIT ?2";
    let mut select = db.prepare_cached(sql)?;
    let rows = select.query_map([from, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Leaves away the last entries, up to the last free slot between them.
fn end_at_a_gap(entries: &mut Vec<Entry>) {
    let gap = entries.windows(2).rposition(|two| two[0].0 + 1 < two[1].0);
    if let Some(gap) = gap {
        entries.truncate(gap + 1);
    }
}

/// Removes entries, and enters those again whose task is still there.
fn empty(db: &Connection, known: &mut TaskIds, seed: u64, entries: &[Entry]) -> Done<()> {
    let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { return Ok(()) };
    db.prepare_cached("DELETE FROM task_ids WHERE slot BETWEEN ?1 AND ?2")?.execute([first, last])?;
    let mut enter = db.prepare_cached(ENTER)?;
    let mut find = db.prepare_cached("SELECT project, task_id FROM tasks WHERE key = ?1")?;
    for (at, key) in entries {
        let hash = find.query_row([key], |row| {
            let project = row.get::<_, i64>(0)?.cast_unsigned();
            Ok(ids::id_text(row.get_ref(1)?).map(|id| ids::hash(seed, project, &id)))
        });
        let Some(hash) = hash.optional()? else { continue };
        let hash = hash?;
        // The key may have been given to another task since.
        let is_its_own = (0..MAX_PROBES).any(|step| slot(at >> HASH_BITS, hash, step) == *at);
        if is_its_own {
            known.enter(&mut enter, hash, *key)?;
        }
    }
    Ok(())
}

fn finish(db: &Connection, known: &mut TaskIds, limit: i64) -> Done<bool> {
    known.tidied = 0;
    known.emptying = None;
    known.find_oldest(db)?;
    known.renew(db, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 7;

    /// A generation of a hundred tasks, before each of which an id with the same hash has been entered whose task is gone; and
    /// the beginning of another generation.
    fn crowded() -> (Connection, TaskIds) {
        let db = Connection::open_in_memory().expect("opens");
        db.execute_batch(
            "CREATE TABLE settings (name TEXT PRIMARY KEY, value);
             CREATE TABLE task_ids (slot INTEGER PRIMARY KEY, key INTEGER NOT NULL);
             CREATE TABLE tasks (key INTEGER PRIMARY KEY, project INTEGER NOT NULL, task_id NOT NULL);",
        )
        .expect("are made");
        let mut known = TaskIds::new(1);
        known.check(&db).expect("is checked");
        let mut enter = db.prepare(ENTER).expect("prepares");
        for number in 0..100 {
            let id = format!("t{number}");
            let hash = ids::hash(SEED, 1, &id);
            db.execute("INSERT INTO tasks VALUES (?1, 1, ?2)", rusqlite::params![number, id]).expect("is stored");
            for key in [1_000 + number, 2_000 + number, number] {
                known.enter(&mut enter, hash, key).expect("is entered");
            }
        }
        db.execute("INSERT INTO task_ids VALUES (?1, 3000)", [slot(1, 5, 0)]).expect("is stored");
        drop(enter);
        known.doubt();
        (db, known)
    }

    #[test]
    fn ids_behind_others_of_their_hash_are_found_when_those_are_gone() {
        let (db, mut known) = crowded();
        while forget(&db, &mut known, SEED, 1_000_000, 70).expect("forgets") {}
        let left: i64 = db.query_row("SELECT count(*) FROM task_ids", [], |row| row.get(0)).expect("is counted");
        assert_eq!(left, 101);
        for number in 0..100 {
            let hash = ids::hash(SEED, 1, &format!("t{number}"));
            let found = known.search(&db, hash, |key| Ok((key == number).then_some(()))).expect("is searched");
            assert!(found.is_some(), "t{number}");
        }
    }

    #[test]
    fn generations_of_young_tasks_stay_as_they_are() {
        let (db, mut known) = crowded();
        while forget(&db, &mut known, SEED, 50, 70).expect("forgets") {}
        let left: i64 = db.query_row("SELECT count(*) FROM task_ids", [], |row| row.get(0)).expect("is counted");
        assert_eq!(left, 301);
    }
}
