//! Links between tasks: from the ids that a task names to that task.

use taskplane_model::TaskRecord;
use taskplane_store::backend::named;

use crate::errors::Done;
use crate::ids;
use crate::writer::Tx;

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
