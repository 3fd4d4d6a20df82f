//! Every task is found by its id, and every id leads to its task.

use std::hash::BuildHasher;

use rusqlite::OptionalExtension;
use taskplane_store::checkup::{Check, Checkup, SAMPLE};

use super::pages::RESTORE;
use super::rows::spread;
use crate::errors::Done;
use crate::hashing::FastHash;
use crate::ids;
use crate::readers::View;
use crate::task_ids::{self, is_slot_of};

pub(super) fn look(checkup: &mut Checkup, view: &View<'_>, deep: bool) -> Done<()> {
    let wrong = if deep { all(view)? } else { sampled(view)? };
    match wrong {
        Ok(looked) => checkup.ok(Check::TaskIds, format!("{looked} tasks and their ids lead to each other")),
        Err(found) => checkup.problem(Check::TaskIds, found, RESTORE),
    }
    Ok(())
}

/// How many were looked at, or what is wrong.
type Looked = Result<usize, String>;

/// Looks some tasks up by their ids, and some ids' tasks.
fn sampled(view: &View<'_>) -> Done<Looked> {
    let (mut looked, mut lost, mut ids, mut stray) = (0, 0, 0, 0);
    let below = dropped_below(view)?;
    let seed = view.names.seed(view.db)?;
    for key in spread(view.db, "tasks", "key", SAMPLE)? {
        let Some(hash) = hash_at(view, seed, key)? else { continue };
        looked += 1;
        lost += usize::from(task_ids::search(view.db, hash, |found| Ok((found == key).then_some(())))?.is_none());
    }
    let mut select = view.db.prepare("SELECT key FROM task_ids WHERE slot = ?1")?;
    for slot in spread(view.db, "task_ids", "slot", SAMPLE)? {
        let key: i64 = select.query_row([slot], |row| row.get(0))?;
        let is_its = hash_at(view, seed, key)?.is_some_and(|hash| is_slot_of(slot, hash));
        ids += 1;
        stray += usize::from(!is_its && key >= below);
    }
    Ok(match (lost, stray) {
        (0, 0) => Ok(looked),
        (0, stray) => Err(format!("{stray} of {ids} ids lead to no task of theirs")),
        (lost, _) => Err(format!("{lost} of {looked} tasks are not found by their ids")),
    })
}

/// Walks through all ids: if each leads to a task with this id, and they lead to as many tasks as there are, and to the same
/// ones, then every task is found.
fn all(view: &View<'_>) -> Done<Looked> {
    let seed = view.names.seed(view.db)?;
    let below = dropped_below(view)?;
    let (mut ids, mut stray, mut led_to) = (0_usize, 0_usize, 0_u64);
    let mut select = view.db.prepare("SELECT slot, key FROM task_ids")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (slot, key): (i64, i64) = (row.get(0)?, row.get(1)?);
        if hash_at(view, seed, key)?.is_some_and(|hash| is_slot_of(slot, hash)) {
            ids += 1;
            led_to = led_to.wrapping_add(FastHash.hash_one(key));
        } else if key >= below {
            stray += 1;
        }
    }
    let (mut tasks, mut there) = (0_usize, 0_u64);
    let mut select = view.db.prepare("SELECT key FROM tasks")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        tasks += 1;
        there = there.wrapping_add(FastHash.hash_one(row.get::<_, i64>(0)?));
    }
    Ok(if ids < tasks || led_to != there {
        Err(format!("{} of {tasks} tasks or more are not found by their ids", tasks.saturating_sub(ids).max(1)))
    } else if stray > 0 {
        Err(format!("{stray} of {} ids lead to no task of theirs", ids + stray))
    } else {
        Ok(tasks)
    })
}

/// Below this key tasks may have been dropped, and their ids are forgotten only later.
fn dropped_below(view: &View<'_>) -> Done<i64> {
    let sql = "SELECT value FROM settings WHERE name = 'tasks_dropped_below'";
    Ok(view.db.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// The hash of the id of the task at `key`.
fn hash_at(view: &View<'_>, seed: u64, key: i64) -> Done<Option<i64>> {
    let mut select = view.db.prepare_cached("SELECT project, task_id FROM tasks WHERE key = ?1")?;
    let row = select.query_row([key], |row| Ok((row.get::<_, i64>(0)?, ids::id_text(row.get_ref(1)?))));
    let Some((project, id)) = row.optional()? else { return Ok(None) };
    Ok(Some(ids::hash(seed, project.cast_unsigned(), &id?)))
}
