//! The steps of the indexer.

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::backend::search::steps::{Publication, State, Step, Waiting, next, young};
use taskplane_store::backend::search::{SEGMENT_TASKS, Segment};

use super::collect::{patch, patch_of, range};
use super::{announce, publish, segments, state};
use crate::PostgresStore;
use crate::names::Names;
use crate::session::{Session, Tx, column};

/// One snapshot for all that is read.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Takes one step; false when there was nothing to do.
pub(super) async fn step(store: &PostgresStore, now: Timestamp) -> Result<bool> {
    let session = store.reading().await?;
    let (before, step) = look(&session, now).await?;
    let before = match &step {
        Step::Rest => return Ok(false),
        Step::Advance(until) => {
            let Some(announced) = announce(store, before, *until).await? else { return Ok(true) };
            announced
        }
        _ => before,
    };
    let folded_at = if step == Step::Fold { now } else { before.folded_at };
    // The snapshot is of after the announcement: what it does not show is noted.
    let tx = Tx::of(session);
    tx.simple(SNAPSHOT).await?;
    let publication = take(store.names(), &tx, &before, step).await?;
    tx.commit().await?;
    publish(store, before, &publication, folded_at).await?;
    Ok(true)
}

/// What is to be done. Not all of it is of one instant; whether another indexer has gone on meanwhile is seen later.
async fn look(session: &Session, now: Timestamp) -> Result<(State, Step)> {
    let state = state(session).await?;
    let sql = "SELECT count(*), coalesce(min(key), 0), coalesce(max(key), 0) FROM
        (SELECT t.key FROM (SELECT id AS project FROM projects UNION SELECT project FROM agents) AS p CROSS JOIN LATERAL
            (SELECT key FROM tasks WHERE project = p.project AND key >= $1 AND key < $2 ORDER BY key LIMIT $3) AS t
         ORDER BY t.key LIMIT $3) AS waiting";
    let row = session.query_first(sql, &[&state.indexed_until, &young(now), &(SEGMENT_TASKS as i64)]).await?;
    let waiting = match row {
        Some(row) => {
            Waiting { tasks: column::<i64>(&row, 0)? as usize, first: column(&row, 1)?, last: column(&row, 2)? }
        }
        None => Waiting::default(),
    };
    let changes = session.query_first("SELECT count(*) FROM search_changes", &[]).await?;
    let changes = changes.map(|row| column::<i64>(&row, 0)).transpose()?.unwrap_or(0) as usize;
    let segments = segments(session).await?;
    Ok((state, next(&state, &segments, waiting, changes, now)))
}

async fn take(names: &Names, tx: &Session, state: &State, step: Step) -> Result<Publication> {
    match step {
        Step::Rest => Ok(Publication::default()),
        Step::Advance(until) => {
            let mut publication = range(names, tx, state.indexed_until, until, true).await?;
            let high = publication.add.as_ref().map_or(until, |built| built.segment.high);
            publication.indexed_until = Some(high);
            Ok(publication)
        }
        Step::Fold => patch(names, tx).await,
        Step::Join(old) => {
            let (low, high) = (old.iter().map(|s| s.low).min(), old.iter().map(|s| s.high).max());
            let publication = range(names, tx, low.unwrap_or(0), high.unwrap_or(0), false).await?;
            Ok(Publication { remove: numbers(&old), ..publication })
        }
        Step::JoinPatches(old) => {
            Ok(Publication { remove: numbers(&old), add: patch_of(names, tx, &old).await?, ..Publication::default() })
        }
    }
}

fn numbers(segments: &[Segment]) -> Vec<i64> {
    segments.iter().map(|segment| segment.id).collect()
}
