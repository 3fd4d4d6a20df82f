//! Links between tasks: from the ids that a task names to that task.

use taskplane_model::TaskRecord;

use crate::errors::Done;
use crate::ids;
use crate::writer::Tx;

/// Every id that a record names: root, parent, group, chord, and retries both ways.
pub(crate) fn named(record: &TaskRecord) -> impl Iterator<Item = &str> {
    // An empty root means the task itself: a workflow of one needs no entry.
    [
        record.root_id.as_deref().filter(|root| !root.is_empty()),
        record.parent_id.as_deref(),
        record.group_id.as_deref(),
        record.chord_id.as_deref(),
        record.retry_of.as_deref(),
        record.retried_as.as_ref().map(|new| new.value.as_str()),
    ]
    .into_iter()
    .flatten()
}

/// Enters the ids that `record` names and `old` did not. What is superseded stays: readers look at the record again.
pub(crate) fn add(tx: &mut Tx<'_>, project: u64, key: i64, record: &TaskRecord, old: Option<&TaskRecord>) -> Done<()> {
    for id in named(record) {
        if old.is_some_and(|old| named(old).any(|known| known == id)) {
            continue;
        }
        let link = ids::hash(tx.seed()?, project, id);
        tx.db.prepare_cached("INSERT OR IGNORE INTO task_links (link, key) VALUES (?1, ?2)")?.execute([link, key])?;
    }
    Ok(())
}
