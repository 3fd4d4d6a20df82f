//! Events that were not understood: the newest of each project are kept.

use rusqlite::params;
use taskplane_store::ingest::BatchToStore;

use crate::errors::Done;
use crate::writer::Tx;

/// Rows kept per project.
const KEPT: i64 = 10_000;
/// Bytes kept of one event.
const MAX_RAW: usize = 16 * 1024;

/// Keeps what one batch had of them.
pub(super) fn keep(tx: &mut Tx<'_>, batch: &BatchToStore) -> Done<()> {
    if batch.quarantined.is_empty() {
        return Ok(());
    }
    let project = batch.project.cast_signed();
    let sql = "INSERT INTO quarantine (project, agent, received_at, reason, raw) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = tx.db.prepare_cached(sql)?;
    for event in &batch.quarantined {
        let raw = &event.raw[..event.raw.floor_char_boundary(MAX_RAW)];
        insert.execute(params![project, batch.agent.cast_signed(), batch.received_at.0, event.reason, raw])?;
    }
    let sql = "DELETE FROM quarantine WHERE project = ?1 AND id <=
        (SELECT id FROM quarantine WHERE project = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    tx.db.prepare_cached(sql)?.execute([project, KEPT])?;
    Ok(())
}
