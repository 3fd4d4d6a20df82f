//! Agents, and the workers, queues and schedules that they tell of.

pub(super) mod agents;
pub(super) mod quarantine;
pub(super) mod queues;
pub(super) mod schedules;
pub(super) mod workers;
