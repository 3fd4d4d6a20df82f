//! Agents, and the workers and queues that they tell of.

pub(super) mod agents;
pub(super) mod quarantine;
pub(super) mod queues;
pub(super) mod workers;
