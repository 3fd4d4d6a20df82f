//! Events of a task, as they came.

use serde::Serialize;
use serde_json::{Map, Value};
use taskplane_model::Timestamp;
use utoipa::ToSchema;

use super::page;

/// An event of a task, as it came.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TaskEvent {
    /// What happened, such as `task_sent`.
    pub event_type: String,
    /// When, by the observer's clock (or when it was received, where that was absurd).
    #[schema(value_type = String, format = DateTime)]
    pub ts: Timestamp,
    /// True when the event's own time was missing or absurd, and `ts` is when it was received.
    pub ts_replaced: bool,
    /// Agent that told.
    pub agent: String,
    /// When the brain received it.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    /// Number of the batch that it came in; 0 when it was put together from what is still known.
    pub seq: u64,
    /// The event as the agent sent it, redacted.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub event: Map<String, Value>,
}

page!(TaskEventPage, TaskEvent, "A page of a task's events, oldest first.");
