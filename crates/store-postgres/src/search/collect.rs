//! From tasks to segments.

use taskplane_store::Result;
use taskplane_store::backend::search::build::read_keys;
use taskplane_store::backend::search::steps::{Publication, is_indexed_since};
use taskplane_store::backend::search::{Builder, Built, Document, SEGMENT_TASKS, Segment, keys_place};

use super::segments;
use crate::names::Names;
use crate::session::{Session, column};
use crate::tasks::TaskRow;
use crate::tasks::row::id_text;

/// Tasks that are read at once.
const PIECE: i64 = 4_096;

/// All tasks from `low` on and below `high`, and the noted changes of them. With `may_end`, the segment ends where it is full.
pub(super) async fn range(names: &Names, tx: &Session, low: i64, high: i64, may_end: bool) -> Result<Publication> {
    let sql =
        "SELECT t.* FROM (SELECT id AS project FROM projects UNION SELECT project FROM agents) AS p CROSS JOIN LATERAL
        (SELECT key, project, engine, state, name, queue, worker, task_id, record FROM tasks
         WHERE project = p.project AND key >= $1 AND key < $2 ORDER BY key LIMIT $3) AS t
        ORDER BY t.key LIMIT $3";
    let mut builder = Builder::new(false);
    let (mut from, mut until) = (low, high);
    while from < until {
        let rows = tx.query(sql, &[&from, &until, &PIECE]).await?;
        let mut rows = rows.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
        from = match rows.last() {
            Some(last) if rows.len() as i64 == PIECE => last.brief.key,
            _ => until,
        };
        // Other projects may have tasks with the last key: they all come with the next piece.
        rows.retain(|row| row.brief.key < from);
        if let Some(end) = add(names, tx, &mut builder, &rows, may_end).await? {
            (from, until) = (end, end);
        }
    }
    let found = tx.query("SELECT id FROM search_changes WHERE key >= $1 AND key < $2", &[&low, &until]).await?;
    let folded = found.iter().map(|row| column(row, 0)).collect::<Result<_>>()?;
    Ok(Publication { add: builder.finish(low, until), folded, ..Publication::default() })
}

/// Tasks whose changes are noted.
pub(super) async fn patch(names: &Names, tx: &Session) -> Result<Publication> {
    let rows = tx.query("SELECT id, key FROM search_changes ORDER BY id LIMIT $1", &[&(SEGMENT_TASKS as i64)]).await?;
    let numbers =
        rows.iter().map(|row| Ok((column::<i64>(row, 0)?, column::<i64>(row, 1)?))).collect::<Result<Vec<_>>>()?;
    let (folded, keys) = numbers.into_iter().unzip();
    Ok(Publication { add: of_keys(names, tx, keys).await?, folded, ..Publication::default() })
}

/// The tasks of these patches that have not been indexed anew since.
pub(super) async fn patch_of(names: &Names, tx: &Session, patches: &[Segment]) -> Result<Option<Built>> {
    let segments = segments(tx).await?;
    let mut keys = Vec::new();
    for patch in patches {
        let row = tx.query_first("SELECT body FROM search_buckets WHERE place = $1", &[&keys_place(patch.id)]).await?;
        let body: Vec<u8> = row.map(|row| column(&row, 0)).transpose()?.unwrap_or_default();
        keys.extend(read_keys(&body)?.into_iter().filter(|key| !is_indexed_since(*key, patch, &segments)));
    }
    of_keys(names, tx, keys).await
}

async fn of_keys(names: &Names, tx: &Session, mut keys: Vec<i64>) -> Result<Option<Built>> {
    keys.sort_unstable();
    keys.dedup();
    let sql = "SELECT t.* FROM (SELECT id AS project FROM projects UNION SELECT project FROM agents) AS p
        CROSS JOIN unnest($1::int8[]) AS n(key) CROSS JOIN LATERAL
        (SELECT key, project, engine, state, name, queue, worker, task_id, record FROM tasks
         WHERE project = p.project AND key = n.key) AS t ORDER BY t.key";
    let mut builder = Builder::new(true);
    for keys in keys.chunks(PIECE as usize) {
        let rows = tx.query(sql, &[&keys]).await?;
        let rows = rows.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
        add(names, tx, &mut builder, &rows, false).await?;
    }
    let (Some(low), Some(high)) = (keys.first(), builder.last_key()) else { return Ok(None) };
    Ok(builder.finish(*low, high + 1))
}

/// Adds tasks. With `may_end`, returns the key of the first one that there is no room for, if there is one.
async fn add(
    names: &Names,
    tx: &Session,
    builder: &mut Builder,
    rows: &[TaskRow],
    may_end: bool,
) -> Result<Option<i64>> {
    let texts = names.terms(tx, rows.iter().flat_map(TaskRow::terms)).await?;
    for row in rows {
        if may_end && builder.is_full() && builder.last_key() != Some(row.brief.key) {
            return Ok(Some(row.brief.key));
        }
        let (task_id, record) = (id_text(&row.task_id)?, row.record(&texts)?);
        let [engine, name, queue, worker] = row.terms();
        builder.add(row.brief.key, &Document { engine, name, queue, worker, task_id: &task_id, record: &record });
    }
    Ok(None)
}
