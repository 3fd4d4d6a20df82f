//! Events that were not understood.

use serde::Serialize;
use taskplane_model::Timestamp;
use taskplane_store::fleet;
use utoipa::ToSchema;

use super::page;

/// An event that was not understood, and kept aside.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct QuarantinedEvent {
    /// Number, ascending.
    pub id: String,
    /// Agent that sent it.
    pub agent: String,
    /// When it was received.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    /// What is wrong with it.
    pub reason: String,
    /// Its text as it came, cut where it is very long.
    pub raw: String,
}

impl From<fleet::QuarantinedEvent> for QuarantinedEvent {
    fn from(event: fleet::QuarantinedEvent) -> Self {
        let fleet::QuarantinedEvent { id, agent, received_at, reason, raw } = event;
        Self { id: id.to_string(), agent, received_at, reason, raw }
    }
}

page!(QuarantinedEventPage, QuarantinedEvent, "A page of events that were not understood, newest first.");
