//! Agents.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use taskplane_model::{self as model, Timestamp};
use utoipa::ToSchema;

use super::{object, page};
use crate::gateway::AgentPresence;

/// Whether an agent is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It has a connection.
    Online,
    /// It has none.
    Offline,
}

/// What waits in an agent's buffer, by its last word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AgentBuffer {
    /// Events waiting.
    pub events: u64,
    /// Bytes waiting.
    pub bytes: u64,
    /// Time of the oldest event waiting.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_ts: Option<Timestamp>,
    /// Events dropped because the buffer was full, ever.
    pub dropped: u64,
}

impl From<model::agent::BufferReport> for AgentBuffer {
    fn from(report: model::agent::BufferReport) -> Self {
        let model::agent::BufferReport { events, bytes, oldest_ts, dropped } = report;
        Self { events, bytes, oldest_ts, dropped }
    }
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Agent {
    /// The brain's number of it.
    pub id: String,
    /// Name, unique in the project.
    pub name: String,
    /// Whether it is connected.
    pub state: AgentState,
    /// Framework of its host process; `sidecar` for our own.
    pub framework: Option<String>,
    /// Version of the framework.
    pub framework_version: Option<String>,
    /// Version of the agent.
    pub version: Option<String>,
    /// Engines it observes.
    pub engines: Vec<String>,
    /// Schedulers it observes.
    pub schedulers: Vec<String>,
    /// What it can do, per engine and scheduler.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub capabilities: Map<String, Value>,
    /// Live connections.
    pub connections: usize,
    /// Since when it is connected.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub connected_at: Option<Timestamp>,
    /// Latest sign of life.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Timestamp>,
    /// When it first connected.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen_at: Timestamp,
    /// What waits in its buffer.
    pub buffer: Option<AgentBuffer>,
    /// What its adapters say: `ok`, or why not.
    pub adapters: BTreeMap<String, String>,
    /// Batches that never arrived.
    pub lost_batches: u64,
    /// Events that were not understood.
    pub quarantined_events: u64,
    /// What is wrong with it and what to do, in a sentence.
    pub problem: Option<String>,
    /// Host name, process id and the like.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub metadata: Map<String, Value>,
}

impl Agent {
    /// What the store and the gateway know of it together.
    pub fn new(agent: model::agent::Agent, presence: Option<AgentPresence>) -> Self {
        let model::agent::Agent {
            id,
            name,
            profile,
            buffer,
            adapters,
            lost_batches,
            quarantined_events,
            problem,
            first_seen_at,
            last_seen_at,
        } = agent;
        Self {
            id: id.to_string(),
            name,
            state: if presence.is_some() { AgentState::Online } else { AgentState::Offline },
            framework: profile.framework,
            framework_version: profile.framework_version,
            version: profile.agent_version,
            engines: profile.engines,
            schedulers: profile.schedulers,
            capabilities: object(profile.capabilities),
            connections: presence.map_or(0, |presence| presence.connections),
            connected_at: presence.map(|presence| presence.connected_at),
            last_seen_at: Some(presence.map_or(last_seen_at, |presence| presence.last_heard.max(last_seen_at))),
            first_seen_at,
            buffer: buffer.map(AgentBuffer::from),
            adapters,
            lost_batches,
            quarantined_events,
            problem,
            metadata: object(profile.metadata),
        }
    }
}

page!(AgentPage, Agent, "All agents, by name.");
