//! The steps of the indexer.

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::backend::search::steps::{Publication, State, Step, Waiting, next, young};
use taskplane_store::backend::search::{SEGMENT_TASKS, Segment};

use super::collect::{patch, patch_of, range};
use super::{announce, publish, segments, state};
use crate::SqliteStore;
use crate::errors::Done;
use crate::readers::View;

/// Takes one step; false when there was nothing to do.
pub(super) async fn step(store: &SqliteStore, now: Timestamp) -> Result<bool> {
    let (before, step) = store.read(move |view| look(view, now)).await?;
    let before = match &step {
        Step::Rest => return Ok(false),
        Step::Advance(until) => {
            let until = *until;
            let Some(announced) = store.write(move |tx| announce(tx, before, until)).await? else { return Ok(true) };
            announced
        }
        _ => before,
    };
    let folded_at = if step == Step::Fold { now } else { before.folded_at };
    // The snapshot is of after the announcement: what it does not show is noted.
    let publication = store.read(move |view| take(view, &before, step)).await?;
    store.write(move |tx| publish(tx, before, &publication, folded_at)).await?;
    Ok(true)
}

/// What is to be done.
fn look(view: &View<'_>, now: Timestamp) -> Done<(State, Step)> {
    let state = state(view.db)?;
    let sql = "SELECT count(*), coalesce(min(key), 0), coalesce(max(key), 0) FROM
        (SELECT key FROM tasks NOT INDEXED WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3)";
    let values = [state.indexed_until, young(now), SEGMENT_TASKS as i64];
    let waiting = view.db.prepare_cached(sql)?.query_row(values, |row| {
        Ok(Waiting { tasks: row.get::<_, u32>(0)? as usize, first: row.get(1)?, last: row.get(2)? })
    })?;
    let changes: u32 =
        view.db.prepare_cached("SELECT count(*) FROM search_changes")?.query_row([], |row| row.get(0))?;
    let segments = segments(view.db, i64::MIN, i64::MAX)?;
    Ok((state, next(&state, &segments, waiting, changes as usize, now)))
}

fn take(view: &View<'_>, state: &State, step: Step) -> Done<Publication> {
    match step {
        Step::Rest => Ok(Publication::default()),
        Step::Advance(until) => {
            let mut publication = range(view, state.indexed_until, until, true)?;
            let high = publication.add.as_ref().map_or(until, |built| built.segment.high);
            publication.indexed_until = Some(high);
            Ok(publication)
        }
        Step::Fold => patch(view),
        Step::Join(old) => {
            let (low, high) = (old.iter().map(|s| s.low).min(), old.iter().map(|s| s.high).max());
            let publication = range(view, low.unwrap_or(0), high.unwrap_or(0), false)?;
            Ok(Publication { remove: numbers(&old), ..publication })
        }
        Step::JoinPatches(old) => {
            Ok(Publication { remove: numbers(&old), add: patch_of(view, &old)?, ..Publication::default() })
        }
    }
}

fn numbers(segments: &[Segment]) -> Vec<i64> {
    segments.iter().map(|segment| segment.id).collect()
}
