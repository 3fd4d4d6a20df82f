//! Agents: who observes, and how well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What an agent said of itself in `hello`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentProfile {
    /// Framework of the host process, such as `django`; `sidecar` for our own.
    pub framework: Option<String>,
    /// Its version.
    pub framework_version: Option<String>,
    /// Version of the agent.
    pub agent_version: Option<String>,
    /// What the host process does, such as `worker` or `web`.
    pub worker_role: Option<String>,
    /// Engines it observes.
    pub engines: Vec<String>,
    /// Schedulers it observes.
    pub schedulers: Vec<String>,
    /// What it can do, per engine and scheduler; opaque.
    pub capabilities: serde_json::Value,
    /// Optional frames it understands.
    pub extensions: Vec<String>,
    /// Host name, process id and the like; opaque.
    pub metadata: serde_json::Value,
}

/// How full the agent's buffer is, as it said in its last heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BufferReport {
    /// Events waiting.
    pub events: u64,
    /// Bytes waiting.
    pub bytes: u64,
    /// Time of the oldest event waiting.
    pub oldest_ts: Option<Timestamp>,
    /// Events dropped because the buffer was full, ever.
    pub dropped: u64,
}

/// An agent as the store knows it; whether it is connected is the gateway's knowledge.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The brain's number of it.
    pub id: u64,
    /// Name, unique in the project.
    pub name: String,
    /// What it said of itself.
    pub profile: AgentProfile,
    /// Its buffer at the last heartbeat that told.
    pub buffer: Option<BufferReport>,
    /// What its adapters said at the last heartbeat that told: `ok`, or why not.
    pub adapters: BTreeMap<String, String>,
    /// Batches that never arrived.
    pub lost_batches: u64,
    /// Events that were not understood.
    pub quarantined_events: u64,
    /// What is wrong with it and what to do, in a sentence.
    pub problem: Option<String>,
    /// First `hello`.
    pub first_seen_at: Timestamp,
    /// Latest sign of life that was stored.
    pub last_seen_at: Timestamp,
}
