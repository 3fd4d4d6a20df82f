//! Workers.

use serde::Serialize;
use taskplane_model::fleet::{self, WorkerSign};
use taskplane_model::time::SECOND;
use taskplane_model::{self as model, Timestamp};
use utoipa::ToSchema;

use super::page;

/// Silence after which nobody can say whether a worker lives. Celery's beat every 2 s, others' every 30 s.
const SILENCE: i64 = 60 * SECOND;

/// Whether a worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It was heard lately.
    Online,
    /// It said that it goes.
    Offline,
    /// It did not say so, but was not heard lately.
    Unknown,
}

impl WorkerState {
    /// Whether a worker with this last sign lives at `now`.
    pub(crate) fn of(sign: WorkerSign, last_seen_at: Timestamp, now: Timestamp) -> Self {
        match sign {
            WorkerSign::Offline => Self::Offline,
            _ if now.0.saturating_sub(last_seen_at.0) > SILENCE => Self::Unknown,
            _ => Self::Online,
        }
    }
}

/// A worker, by its last word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Worker {
    /// Name, such as `celery@host`.
    pub name: String,
    /// Engine.
    pub engine: String,
    /// Whether it lives.
    pub state: WorkerState,
    /// Pool implementation, such as `prefork`.
    pub pool: Option<String>,
    /// Tasks it can run at once.
    pub concurrency: Option<u64>,
    /// Tasks it runs.
    pub active: Option<u64>,
    /// Tasks it has run since it came up.
    pub processed: Option<u64>,
    /// Load of its host: 1, 5 and 15 minutes.
    pub loadavg: Option<Vec<f64>>,
    /// Queues it consumes.
    pub queues: Vec<String>,
    /// Name and version of its software.
    pub software: Option<String>,
    /// Host it runs on.
    pub hostname: Option<String>,
    /// Process id.
    pub pid: Option<u64>,
    /// Whether it sends task events; null while that is not known.
    pub task_events: Option<bool>,
    /// Its broker delivers messages again that stay unacknowledged for so long, in seconds; null where the broker does not,
    /// or that is not known.
    pub visibility_timeout_s: Option<f64>,
    /// Agent that told.
    pub agent: Option<String>,
    /// When it was last heard.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
}

impl Worker {
    /// The worker, told of by the agent called `agent`, as it looks at `now`.
    pub fn new(worker: fleet::Worker, agent: Option<String>, now: Timestamp) -> Self {
        let model::fleet::Worker { name, engine, sign, last_seen_at, facts, agent: _ } = worker;
        Self {
            name,
            engine,
            state: WorkerState::of(sign, last_seen_at, now),
            pool: facts.pool,
            concurrency: facts.concurrency,
            active: facts.active,
            processed: facts.processed,
            loadavg: Some(facts.loadavg).filter(|load| !load.is_empty()),
            queues: facts.queues.unwrap_or_default(),
            software: facts.software,
            hostname: facts.hostname,
            pid: facts.pid,
            task_events: facts.task_events,
            visibility_timeout_s: facts.visibility_timeout_s,
            agent,
            last_seen_at,
        }
    }
}

page!(WorkerPage, Worker, "All workers, by name.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_not_the_same_as_a_goodbye() {
        let now = Timestamp(1_000 * SECOND);
        let state = |sign, ago: i64| WorkerState::of(sign, now.plus(-ago * SECOND), now);
        assert_eq!(state(WorkerSign::Heartbeat, 60), WorkerState::Online);
        assert_eq!(state(WorkerSign::Online, 61), WorkerState::Unknown);
        assert_eq!(state(WorkerSign::Offline, 0), WorkerState::Offline);
    }
}
