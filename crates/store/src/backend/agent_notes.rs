//! What a group of batches tells of the agents that sent it.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;

use crate::ingest::{BatchToStore, Verdict};

/// Shown on an agent that has sent another batch under a used number.
const RESTARTED: &str = "This agent restarted its sequence without a new stream, so its new batches were not stored. Give it an \
     instance_id that is new with every buffer, or start it with a fresh buffer.";
/// A sequence that jumps by more than this is nonsense; the sum must stay a number.
const MAX_LOST: u64 = 1 << 40;

/// What a group of batches tells, by the agents' numbers.
#[derive(Debug, Default)]
pub struct AgentNotes(BTreeMap<u64, AgentNote>);

/// What a group of batches tells of one agent.
#[derive(Debug, Default)]
pub struct AgentNote {
    /// When its last batch came.
    pub last_seen: Timestamp,
    /// Batches that were lost, to be added.
    pub lost: u64,
    /// Events that were not understood, to be added.
    pub quarantined: u64,
    /// What is wrong with it; `None` changes nothing.
    pub problem: Option<&'static str>,
}

impl AgentNotes {
    /// Takes note of what became of a batch.
    pub fn note(&mut self, batch: &BatchToStore, verdict: Verdict) {
        let note = self.0.entry(batch.agent).or_default();
        note.last_seen = note.last_seen.max(batch.received_at);
        match verdict {
            Verdict::Stored { lost } => {
                note.lost = note.lost.saturating_add(lost).min(MAX_LOST);
                note.quarantined += batch.quarantined.len() as u64;
            }
            Verdict::Replay => {}
            Verdict::Conflict => {
                note.lost = note.lost.saturating_add(1).min(MAX_LOST);
                note.problem = Some(RESTARTED);
            }
        }
    }

    /// The notes, by agent.
    pub fn into_map(self) -> BTreeMap<u64, AgentNote> {
        self.0
    }
}
