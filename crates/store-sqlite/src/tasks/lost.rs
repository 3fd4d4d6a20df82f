//! Calls tasks lost.

use std::sync::Arc;

use taskplane_model::{TaskRecord, Timestamp};
use taskplane_store::backend::changes::Change;
use taskplane_store::tasks::{LostTask, StoredTask};

use crate::errors::Done;
use crate::ids;
use crate::ingest::{rollups, upsert};
use crate::writer::Tx;

/// Each only if it is as it was judged. Returns those that were changed.
pub(super) fn mark(tx: &mut Tx<'_>, project: u64, lost: Vec<LostTask>, now: Timestamp) -> Done<Vec<StoredTask>> {
    let seed = tx.seed()?;
    let mut changes = Vec::with_capacity(lost.len());
    for lost in lost {
        let record = TaskRecord { marks: vec![lost.mark(now)], ..TaskRecord::default() };
        let task_id = lost.judged.task_id.clone();
        let change = Change {
            project,
            engine: Arc::from(lost.judged.engine.as_str()),
            hash: ids::hash(seed, project, &task_id),
            task_id,
            record,
            received_at: now,
            only_known: true,
        };
        if upsert::known(tx, &change)?.is_some_and(|record| lost.is_still(&record)) {
            changes.push(change);
        }
    }
    let changed = upsert::apply(tx, changes, true)?;
    rollups::flush(tx)?;
    Ok(changed.into_iter().map(|(_, task)| task).collect())
}
