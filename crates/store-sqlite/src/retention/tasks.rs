//! Dropping tasks, in the order of their keys.
//!
//! What points to a dropped task stays for now (`task_ids`, `task_links`): readers look whether the task is there. Statistics
//! are not touched.

use taskplane_model::{TaskState, Timestamp};
use taskplane_store::retention::{Dropped, Kept};

use super::{TASKS_BELOW, set, tasks_below};
use crate::errors::Done;
use crate::ids;
use crate::writer::Tx;

/// Drops tasks that are not kept longer than others. Goes on where it stood, so that it never looks at the same ones again: a
/// task that was kept for its state then is dropped with the failures.
pub(super) fn drop_tasks(tx: &mut Tx<'_>, horizon: Timestamp, limit: i64) -> Done<Dropped> {
    let from = tasks_below(tx.db)?;
    drop_from(tx, from, horizon, limit, |state| {
        TaskState::from_number(state).is_some_and(|state| Kept::of_state(state) == Kept::Tasks)
    })
}

/// Drops tasks of every state.
pub(super) fn drop_failures(tx: &mut Tx<'_>, horizon: Timestamp, limit: i64) -> Done<Dropped> {
    drop_from(tx, 0, horizon, limit, |_| true)
}

fn drop_from(tx: &mut Tx<'_>, from: i64, horizon: Timestamp, limit: i64, goes: impl Fn(u8) -> bool) -> Done<Dropped> {
    let until = ids::least_key(horizon);
    let sql = "SELECT key, state FROM tasks NOT INDEXED WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
    let mut select = tx.db.prepare_cached(sql)?;
    let rows = select.query_map([from, until, limit], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u8>(1)?)))?;
    let rows: Vec<(i64, u8)> = rows.collect::<rusqlite::Result<_>>()?;
    let Some((last, _)) = rows.last() else { return Ok(Dropped::default()) };
    let more = rows.len() as i64 == limit;
    let below = if more { last + 1 } else { until };
    let mut delete = tx.db.prepare_cached("DELETE FROM tasks WHERE key = ?1")?;
    let mut count = 0;
    for (key, _) in rows.iter().filter(|(_, state)| goes(*state)) {
        count += delete.execute([key])? as u64;
    }
    if below > tasks_below(tx.db)? {
        set(tx.db, TASKS_BELOW, below)?;
    }
    Ok(Dropped { count, more })
}
