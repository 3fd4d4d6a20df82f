//! What is noted of agents between batches.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_model::agent::BufferReport;

/// An agent was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Number of the agent.
    pub agent: u64,
    /// When.
    pub at: Timestamp,
    /// Its buffer, if it told.
    pub buffer: Option<BufferReport>,
    /// What its adapters say, if it told.
    pub adapters: Option<BTreeMap<String, String>>,
}
