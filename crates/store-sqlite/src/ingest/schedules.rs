//! What agents tell of schedulers.

use rusqlite::params;
use taskplane_model::Timestamp;
use taskplane_store::fleet::SchedulesTold;

use crate::errors::Done;
use crate::writer::Tx;

/// Keeps what was told.
pub(super) fn keep(tx: &mut Tx<'_>, told: &SchedulesTold, now: Timestamp) -> Done<()> {
    let (project, agent, scheduler) = (told.project.cast_signed(), told.agent.cast_signed(), told.scheduler.as_str());
    if told.full {
        let sql = "DELETE FROM schedules WHERE project = ?1 AND agent = ?2 AND scheduler = ?3";
        tx.db.prepare_cached(sql)?.execute(params![project, agent, scheduler])?;
    }
    let sql = "DELETE FROM schedules WHERE project = ?1 AND agent = ?2 AND scheduler = ?3 AND id = ?4";
    let mut delete = tx.db.prepare_cached(sql)?;
    for id in &told.removed {
        delete.execute(params![project, agent, scheduler, id])?;
    }
    let sql = "INSERT OR REPLACE INTO schedules (project, agent, scheduler, id, data, synced_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = tx.db.prepare_cached(sql)?;
    for schedule in &told.schedules {
        let data = serde_json::to_string(schedule)?;
        insert.execute(params![project, agent, scheduler, schedule.id, data, now.0])?;
    }
    Ok(())
}
