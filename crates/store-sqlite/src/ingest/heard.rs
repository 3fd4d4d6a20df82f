//! Signs of life, and what is wrong with agents.

use rusqlite::params;
use taskplane_store::backend::agent_notes::AgentNotes;
use taskplane_store::fleet::Heard;

use crate::errors::Done;
use crate::writer::Tx;

/// Writes down what a group of batches told.
pub(super) fn store(tx: &mut Tx<'_>, notes: AgentNotes) -> Done<()> {
    let sql = "UPDATE agents SET last_seen_at = max(last_seen_at, ?2), lost_batches = lost_batches + ?3,
        quarantined_events = quarantined_events + ?4, problem = coalesce(?5, problem) WHERE id = ?1";
    let mut update = tx.db.prepare_cached(sql)?;
    for (agent, note) in notes.into_map() {
        let (lost, quarantined) = (note.lost.cast_signed(), note.quarantined.cast_signed());
        update.execute(params![agent.cast_signed(), note.last_seen.0, lost, quarantined, note.problem])?;
    }
    Ok(())
}

/// Notes when agents were last heard, and what they said of themselves.
pub(super) fn note(tx: &mut Tx<'_>, heard: &[Heard]) -> Done<()> {
    let sql = "UPDATE agents SET last_seen_at = max(last_seen_at, ?2), buffer = coalesce(?3, buffer),
        adapters = coalesce(?4, adapters) WHERE id = ?1";
    let mut update = tx.db.prepare_cached(sql)?;
    for one in heard {
        let buffer = one.buffer.as_ref().map(serde_json::to_string).transpose()?;
        let adapters = one.adapters.as_ref().map(serde_json::to_string).transpose()?;
        update.execute(params![one.agent.cast_signed(), one.at.0, buffer, adapters])?;
    }
    Ok(())
}
