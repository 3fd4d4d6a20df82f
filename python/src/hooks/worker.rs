//! The worker itself.

use std::time::Duration;

use pyo3::prelude::*;
use taskplane_agent::engine::{Observation, Subject, WorkerObservation};
use taskplane_model::fleet::{WorkerFacts, WorkerSign};

use super::{ENGINE, guarded};
use crate::clock::now;
use crate::state;

/// A heartbeat is passed on this often when nothing changed.
const EVERY: Duration = Duration::from_secs(10);
/// The same when a number changed. Celery's own come every two seconds: not one of them is late.
const WHEN_CHANGED: Duration = Duration::from_millis(1500);

/// `worker_ready`.
#[pyfunction]
pub(crate) fn worker_online(
    name: String,
    pool: Option<String>,
    concurrency: Option<u64>,
    queues: Vec<String>,
    visibility_timeout: Option<f64>,
    software: Option<String>,
) {
    state::remember_worker(&name);
    let facts = WorkerFacts {
        pool,
        concurrency,
        active: Some(0),
        queues: Some(queues),
        software,
        visibility_timeout_s: visibility_timeout,
        ..WorkerFacts::default()
    };
    tell(WorkerSign::Online, name, facts);
}

/// `heartbeat_sent`.
#[pyfunction]
pub(crate) fn worker_heartbeat(name: String, active: u64, processed: u64) {
    guarded(|| {
        if !state::may_tell_heartbeat(active, processed, EVERY, WHEN_CHANGED) {
            return None;
        }
        let facts = WorkerFacts { active: Some(active), processed: Some(processed), ..WorkerFacts::default() };
        tell(WorkerSign::Heartbeat, name, facts);
        Some(())
    });
}

/// `worker_shutdown`.
#[pyfunction]
pub(crate) fn worker_offline(name: String) {
    tell(WorkerSign::Offline, name, WorkerFacts { active: Some(0), ..WorkerFacts::default() });
}

fn tell(sign: WorkerSign, worker: String, facts: WorkerFacts) {
    guarded(|| {
        let rules = state::rules(None)?;
        // What it sends of Celery's own task events does not matter here: its tasks are told by its hooks.
        let facts = WorkerFacts {
            hostname: state::hostname(),
            pid: Some(u64::from(rules.process())),
            task_events: Some(true),
            loadavg: load(),
            ..facts
        };
        let subject = Subject::Worker(Box::new(WorkerObservation { sign, worker, facts }));
        state::tell(&rules, None, &Observation { engine: ENGINE, ts: now(), subject });
        Some(())
    });
}

/// The host's load, where the system tells it.
fn load() -> Vec<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).filter_map(|number| number.parse().ok()).collect()
}
