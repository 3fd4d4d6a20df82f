//! Taking a census, one step after the other.

use taskplane_model::{TaskState, Timestamp};
use taskplane_store::Result;
use taskplane_store::backend::census::Taker;
use taskplane_store::backend::census::steps::{MOST_CHANGES, Publication, Situation, State, Step, next};

use super::{announce, censuses, publish, state};
use crate::PostgresStore;
use crate::retention::dropped_below_in_any;
use crate::search::segments;
use crate::session::{Session, Tx, column};
use crate::tasks::row::{brief, brief_columns};

/// Tasks that are read at once.
const PIECE: i64 = 8_192;

/// Takes one step; false when there was nothing to do.
pub(crate) async fn step(store: &PostgresStore, now: Timestamp) -> Result<bool> {
    let session = store.reading().await?;
    let Some((before, step)) = look(&session, now).await? else { return Ok(false) };
    let Some(before) = announce(store, before, step.high).await? else { return Ok(true) };
    // The snapshot is of after the announcement: what it does not show is noted.
    let tx = Tx::begin_reading(session).await?;
    let publication = take(&tx, &step).await?;
    tx.commit().await?;
    publish(store, before, &publication).await?;
    Ok(true)
}

/// What is to be done. Not all of it is of one instant; whether another one has gone on meanwhile is seen later.
async fn look(session: &Session, now: Timestamp) -> Result<Option<(State, Step)>> {
    let state = state(session).await?;
    let sql = "SELECT key FROM census_changes ORDER BY id LIMIT $1";
    let changed = session.query(sql, &[&(MOST_CHANGES as i64)]).await?;
    let situation = Situation {
        state,
        segments: segments(session).await?,
        censuses: censuses(session, i64::MIN, i64::MAX).await?,
        changed: changed.iter().map(|row| column(row, 0)).collect::<Result<_>>()?,
        dropped_below: dropped_below_in_any(session).await?,
    };
    let Some(step) = next(&situation, now) else { return Ok(None) };
    let is_open = match step.most_open {
        Some(most) => has_more_open(session, &step, most).await?,
        None => false,
    };
    Ok((!is_open).then_some((state, step)))
}

/// True when more than `most` tasks have not ended yet.
async fn has_more_open(session: &Session, step: &Step, most: u32) -> Result<bool> {
    let open: Vec<i16> = TaskState::ALL.into_iter().filter(|state| !state.is_final()).map(|s| s as i16).collect();
    let sql =
        "SELECT count(*) FROM (SELECT FROM (SELECT id AS project FROM projects UNION SELECT project FROM agents) AS p
        CROSS JOIN unnest($1::int2[]) AS s(state) CROSS JOIN LATERAL
        (SELECT FROM tasks WHERE project = p.project AND state = s.state AND state <> 4 AND key >= $2 AND key < $3
         ORDER BY key LIMIT $4) AS t LIMIT $4) AS counted";
    let limit = i64::from(most) + 1;
    let row = session.query_first(sql, &[&open, &step.low, &step.high, &limit]).await?;
    Ok(row.map_or(Ok(0), |row| column::<i64>(&row, 0))? > i64::from(most))
}

async fn take(tx: &Session, step: &Step) -> Result<Publication> {
    let sql = concat!(
        "SELECT t.* FROM (SELECT id AS project FROM projects UNION SELECT project FROM agents) AS p CROSS JOIN LATERAL
        (SELECT ",
        brief_columns!(),
        " FROM tasks WHERE project = p.project AND key >= $1 AND key < $2 ORDER BY key LIMIT $3) AS t
        ORDER BY t.key LIMIT $3"
    );
    let Step { low, high, replaces, .. } = *step;
    let low = low.max(dropped_below_in_any(tx).await?);
    let mut taker = Taker::default();
    let (mut from, mut until) = (low, high);
    while from < until {
        let rows = tx.query(sql, &[&from, &until, &PIECE]).await?;
        let mut tasks = rows.iter().map(brief).collect::<Result<Vec<_>>>()?;
        from = match tasks.last() {
            Some(last) if tasks.len() as i64 == PIECE => last.key,
            _ => until,
        };
        // Other projects may have tasks with the last key: they all come with the next piece.
        tasks.retain(|task| task.key < from);
        if let Some(first_left) = tasks.iter().find(|task| !taker.add(task)) {
            (from, until) = (first_left.key, first_left.key);
        }
    }
    let found = tx.query("SELECT id FROM census_changes WHERE key >= $1 AND key < $2", &[&low, &until]).await?;
    let known = found.iter().map(|row| column(row, 0)).collect::<Result<_>>()?;
    Ok(Publication { remove: replaces, add: taker.finish(low, until), taken_until: until, known })
}
