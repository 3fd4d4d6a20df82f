//! Taking a census, one step after the other.

use taskplane_model::{TaskState, Timestamp};
use taskplane_store::Result;
use taskplane_store::backend::census::Taker;
use taskplane_store::backend::census::steps::{MOST_CHANGES, Publication, Situation, State, Step, next};

use super::{announce, censuses, publish, state};
use crate::SqliteStore;
use crate::errors::Done;
use crate::readers::View;
use crate::retention::tasks_below;
use crate::search::segments;
use crate::tasks::row::{brief_columns, read_brief};

/// Takes one step; false when there was nothing to do.
pub(crate) async fn step(store: &SqliteStore, now: Timestamp) -> Result<bool> {
    let Some((before, step)) = store.read(move |view| look(view, now)).await? else { return Ok(false) };
    let until = step.high;
    let Some(before) = store.write(move |tx| announce(tx, before, until)).await? else { return Ok(true) };
    // The snapshot is of after the announcement: what it does not show is noted.
    let publication = store.read(move |view| take(view, &step)).await?;
    store.write(move |tx| publish(tx, before, &publication)).await?;
    Ok(true)
}

/// What is to be done.
fn look(view: &View<'_>, now: Timestamp) -> Done<Option<(State, Step)>> {
    let mut select = view.db.prepare_cached("SELECT key FROM census_changes ORDER BY id LIMIT ?1")?;
    let changed = select.query_map([MOST_CHANGES as i64], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let state = state(view.db)?;
    let situation = Situation {
        state,
        segments: segments(view.db, state.taken_until, i64::MAX)?,
        censuses: censuses(view.db, i64::MIN, i64::MAX)?,
        changed,
        dropped_below: tasks_below(view.db)?,
    };
    let Some(step) = next(&situation, now) else { return Ok(None) };
    let is_open = step.most_open.map(|most| has_more_open(view, &step, most)).transpose()?.unwrap_or(false);
    Ok((!is_open).then_some((state, step)))
}

/// True when more than `most` tasks have not ended yet.
fn has_more_open(view: &View<'_>, step: &Step, most: u32) -> Done<bool> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM projects CROSS JOIN tasks INDEXED BY tasks_by_state
        WHERE project = projects.id AND state = ?1 AND state <> 4 AND key >= ?2 AND key < ?3 LIMIT ?4)";
    let mut select = view.db.prepare_cached(sql)?;
    let mut open = 0;
    for state in TaskState::ALL.into_iter().filter(|state| !state.is_final()) {
        let values = [i64::from(state as u8), step.low, step.high, i64::from(most) + 1];
        open += select.query_row(values, |row| row.get::<_, u32>(0))?;
        if open > most {
            return Ok(true);
        }
    }
    Ok(false)
}

fn take(view: &View<'_>, step: &Step) -> Done<Publication> {
    let Step { low, mut high, replaces, .. } = *step;
    let low = low.max(tasks_below(view.db)?);
    let mut taker = Taker::default();
    let sql = concat!("SELECT ", brief_columns!(), " FROM tasks NOT INDEXED WHERE key >= ?1 AND key < ?2 ORDER BY key");
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query([low, high])?;
    while let Some(row) = rows.next()? {
        let task = read_brief(row)?;
        if !taker.add(&task) {
            high = task.key;
            break;
        }
    }
    let mut select = view.db.prepare_cached("SELECT id FROM census_changes WHERE key >= ?1 AND key < ?2")?;
    let known = select.query_map([low, high], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Publication { remove: replaces, add: taker.finish(low, high), taken_until: high, known })
}
