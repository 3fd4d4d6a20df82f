//! Queues.

use serde::Serialize;
use taskplane_model::{Timestamp, fleet};
use utoipa::ToSchema;

use super::page;

/// A queue, by its last sample.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Queue {
    /// Name.
    pub name: String,
    /// Engine.
    pub engine: String,
    /// Messages ready.
    pub depth: Option<u64>,
    /// Messages delivered and not acknowledged.
    pub unacked: Option<u64>,
    /// Workers that consume it.
    pub consumers: Option<u64>,
    /// Age of the oldest message, in milliseconds.
    pub oldest_age_ms: Option<f64>,
    /// When the sample was taken.
    #[schema(value_type = String, format = DateTime)]
    pub sampled_at: Timestamp,
    /// Agent that told.
    pub agent: Option<String>,
}

impl Queue {
    /// The queue, told of by the agent called `agent`.
    pub fn new(queue: fleet::Queue, agent: Option<String>) -> Self {
        let fleet::Queue {
            name,
            engine,
            depth,
            unacked,
            consumers,
            oldest_age_ms,
            sampled_at,
            agent: _,
            counted_at: _,
        } = queue;
        Self { name, engine, depth, unacked, consumers, oldest_age_ms, sampled_at, agent }
    }
}

page!(QueuePage, Queue, "All queues, by name.");
