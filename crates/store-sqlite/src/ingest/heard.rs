//! Signs of life, and what is wrong with agents.

use std::collections::BTreeMap;

use rusqlite::params;
use taskplane_model::Timestamp;
use taskplane_store::fleet::Heard;
use taskplane_store::ingest::{BatchToStore, Verdict};

use crate::errors::Done;
use crate::writer::Tx;

/// Shown on an agent that has sent another batch under a used number.
const RESTARTED: &str = "This agent restarted its sequence without a new stream, so its new batches were not stored. Give it an \
     instance_id that is new with every buffer, or start it with a fresh buffer.";

/// What a group of batches tells of agents.
#[derive(Debug, Default)]
pub(super) struct AgentNotes(BTreeMap<u64, AgentNote>);

#[derive(Debug, Default)]
struct AgentNote {
    last_seen: Timestamp,
    lost: u64,
    quarantined: u64,
    restarted: bool,
}

impl AgentNotes {
    /// Takes note of what became of a batch.
    pub(super) fn note(&mut self, batch: &BatchToStore, verdict: Verdict) {
        let note = self.0.entry(batch.agent).or_default();
        note.last_seen = note.last_seen.max(batch.received_at);
        match verdict {
            Verdict::Stored { lost } => {
                note.lost = note.lost.saturating_add(lost);
                note.quarantined += batch.quarantined.len() as u64;
            }
            Verdict::Replay => {}
            Verdict::Conflict => {
                note.lost = note.lost.saturating_add(1);
                note.restarted = true;
            }
        }
    }

    /// Writes it down.
    pub(super) fn store(self, tx: &mut Tx<'_>) -> Done<()> {
        let sql = "UPDATE agents SET last_seen_at = max(last_seen_at, ?2), lost_batches = lost_batches + ?3,
            quarantined_events = quarantined_events + ?4, problem = coalesce(?5, problem) WHERE id = ?1";
        let mut update = tx.db.prepare_cached(sql)?;
        for (agent, note) in self.0 {
            let problem = note.restarted.then_some(RESTARTED);
            // A sequence that jumps by more than this is nonsense; the sum must stay a number.
            let lost = note.lost.min(1 << 40).cast_signed();
            update.execute(params![
                agent.cast_signed(),
                note.last_seen.0,
                lost,
                note.quarantined.cast_signed(),
                problem
            ])?;
        }
        Ok(())
    }
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
