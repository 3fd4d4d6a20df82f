//! Calls tasks lost.

use std::sync::Arc;

use taskplane_model::{TaskRecord, Timestamp};
use taskplane_store::Result;
use taskplane_store::backend::changes::{Change, Changes};
use taskplane_store::backend::ids;
use taskplane_store::tasks::{LostTask, StoredTask};

use super::{TaskRow, stored_tasks};
use crate::PostgresStore;
use crate::ingest::{record, upsert};
use crate::locks::project_number;
use crate::search;

/// Each only if it is as it was judged. Returns those that were changed.
pub(super) async fn mark(
    store: &PostgresStore,
    project: u64,
    lost: Vec<LostTask>,
    now: Timestamp,
) -> Result<Vec<StoredTask>> {
    let names = store.names();
    let hash = |lost: &LostTask| ids::hash(names.seed, project, &lost.judged.task_id);
    // Under the lock of the project what is read stays as it is.
    let tx = store.begin_in(project).await?;
    let search_until = search::until(&tx).await?;
    let hashes: Vec<i64> = lost.iter().map(hash).collect();
    let found = tx.query(upsert::FIND, &[&hashes]).await?;
    let mut rows = found.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
    rows.retain(|row| row.brief.project == i64::from(project_number(project)));
    let stored = stored_tasks(names, &tx, &rows).await?;
    let mut changes = Changes::new(names.seed);
    for lost in lost {
        let (engine, task_id) = (&lost.judged.engine, &lost.judged.task_id);
        let is_it = |task: &&StoredTask| task.engine == *engine && task.task_id == *task_id;
        if stored.iter().find(is_it).is_some_and(|task| lost.is_still(&task.record)) {
            changes.add(Change {
                project,
                engine: Arc::from(engine.as_str()),
                task_id: task_id.clone(),
                hash: hash(&lost),
                record: TaskRecord { marks: vec![lost.mark(now)], ..TaskRecord::default() },
                received_at: now,
                only_known: true,
            });
        }
    }
    let mut merged = upsert::merge(names, &tx, changes.into_vec(), &found).await?;
    let statistics = std::mem::take(&mut merged.rollups).add_to_stored(&tx).await?;
    merged.store(&tx).await?;
    let notes = merged.notes(search_until);
    let changed = record::finish(names, tx, statistics, merged, notes, true).await?;
    Ok(changed.into_iter().map(|(_, task)| task).collect())
}
