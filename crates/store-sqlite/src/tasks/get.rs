//! One task, and the batches that told of it.

use rusqlite::OptionalExtension;
use taskplane_model::Timestamp;
use taskplane_store::tasks::{RawBatch, StoredTask};

use super::row::task_row;
use crate::errors::Done;
use crate::ids;
use crate::readers::View;
use crate::task_ids;

/// One task.
pub(crate) fn task(view: &View<'_>, project: u64, engine: &str, task_id: &str) -> Done<Option<StoredTask>> {
    let hash = ids::hash(view.names.seed(view.db)?, project, task_id);
    task_ids::search(view.db, hash, |key| Ok(at(view, project, task_id, key)?.filter(|task| task.engine == engine)))
}

/// The raw batches that told of a task, oldest first.
pub(super) fn batches(view: &View<'_>, project: u64, engine: &str, task_id: &str) -> Done<Vec<RawBatch>> {
    let Some(task) = task(view, project, engine, task_id)? else { return Ok(Vec::new()) };
    let sql = "SELECT agents.name, batches.seq, batches.received_at, batches.body FROM batches
        LEFT JOIN streams ON streams.id = batches.stream LEFT JOIN agents ON agents.id = streams.agent
        WHERE batches.id = ?1";
    let mut select = view.db.prepare_cached(sql)?;
    let mut found = Vec::with_capacity(task.record.batches.len());
    for number in task.record.batches.iter().rev() {
        let batch = select.query_row([number.cast_signed()], |row| {
            Ok(RawBatch {
                agent: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
                seq: row.get::<_, i64>(1)?.cast_unsigned(),
                received_at: Timestamp(row.get(2)?),
                compressed: row.get(3)?,
            })
        });
        found.extend(batch.optional()?);
    }
    Ok(found)
}

/// The tasks with an id, of whatever engine.
pub(super) fn with_id(view: &View<'_>, project: u64, task_id: &str) -> Done<Vec<StoredTask>> {
    let mut found = Vec::new();
    for key in keys_near(view, project, task_id)? {
        found.extend(at(view, project, task_id, key)?);
    }
    Ok(found)
}

/// Keys of the tasks with this id's hash; nearly always one or none.
pub(super) fn keys_near(view: &View<'_>, project: u64, task_id: &str) -> Done<Vec<i64>> {
    let mut keys = Vec::new();
    let hash = ids::hash(view.names.seed(view.db)?, project, task_id);
    task_ids::search(view.db, hash, |key| {
        keys.push(key);
        Ok(None::<()>)
    })?;
    Ok(keys)
}

/// The task at `key`, if it has this id.
fn at(view: &View<'_>, project: u64, task_id: &str, key: i64) -> Done<Option<StoredTask>> {
    let row = task_row(view, key)?.filter(|row| row.brief.project == project.cast_signed());
    Ok(row.map(|row| row.task(view)).transpose()?.filter(|task| task.task_id == task_id))
}
