//! Prepares workers: enables their events and learns what they are, at the start, for each new one, and from time to
//! time.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use taskplane_agent::engine::{KnownBy, Observation, Observer, TaskObservation};
use taskplane_model::{TaskEventKind, Timestamp};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::BrokerError,
    clock,
    control::{Call, Replies, read_active_queues, read_stats},
    events::host_of,
    intake,
    shared::{Shared, lock},
    workers::Learned,
};

/// A worker says that it is up before it listens to remote control: it is asked again after this long, and so on.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How long a round may go on when the agent stops.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Enables events on every worker and learns what it is: at the start, for each new worker, and from time to time.
pub(crate) async fn prepare_workers(shared: Arc<Shared>, observer: Observer, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    let mut all = true;
    let mut last_all = Instant::now();
    loop {
        let unprepared = lock(&shared.workers).unprepared();
        all |= last_all.elapsed() >= shared.timings.control_every;
        if all || !unprepared.is_empty() {
            let to = if all { None } else { Some(unprepared) };
            if all {
                last_all = Instant::now();
            }
            let prepared = tokio::select! {
                prepared = prepare(&shared, to) => prepared,
                () = overdue(&stop) => return,
            };
            match prepared {
                Ok(told) => {
                    for observation in told {
                        if stop.run_until_cancelled(observer.record(observation)).await.is_none() {
                            return;
                        }
                    }
                    all = false;
                }
                Err(error) => tracing::debug!(%error, "workers could not be asked"),
            }
        }
        let settled = !all && lock(&shared.workers).unprepared().is_empty();
        let until_next = shared.timings.control_every.saturating_sub(last_all.elapsed());
        pause = if settled { until_next } else { (pause * 2).clamp(ASK_AGAIN, until_next.max(ASK_AGAIN)) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.fresh_worker.notified() => pause = Duration::ZERO,
            () = sleep(pause) => {}
        }
    }
}

/// Over when the agent stops and a round had its chance to end, and to clean up behind itself. A dead connection is not
/// waited for.
async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(LEAVE_WITHIN).await;
}

/// One round of remote control.
async fn prepare(shared: &Shared, to: Option<Vec<String>>) -> Result<Vec<Observation>, BrokerError> {
    let ask = |method: &'static str, to: Option<Vec<String>>| Call {
        method,
        arguments: json!({}),
        to,
        wait: shared.timings.control_wait,
    };
    let enabled = shared.call(&ask("enable_events", to)).await?;
    let names: Vec<String> = enabled.by_worker.into_keys().collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let new = lock(&shared.workers).unprepared_of(&names);
    let stats = shared.call(&ask("stats", Some(names.clone()))).await?;
    let queues = shared.call(&ask("active_queues", Some(names.clone()))).await?;
    let active = shared.call(&ask("active", Some(names.clone()))).await?;
    // What a worker took before its events were enabled was told by none.
    let (reserved, scheduled) = if new.is_empty() {
        (Replies::default(), Replies::default())
    } else {
        (shared.call(&ask("reserved", Some(new.clone()))).await?, shared.call(&ask("scheduled", Some(new))).await?)
    };
    let (now, at) = (clock::now(), std::time::Instant::now());
    let mut told = Vec::new();
    let mut workers = lock(&shared.workers);
    for name in &names {
        let stats = stats.by_worker.get(name).map(read_stats).unwrap_or_default();
        let queues = queues.by_worker.get(name).map(read_active_queues).unwrap_or_default();
        let learned = Learned { queues: queues.queues, ..stats };
        told.extend(workers.learn(name, learned, now, at).map(intake::worker));
    }
    drop(workers);
    for (name, requests) in &active.by_worker {
        told.extend(requests.as_array().into_iter().flatten().filter_map(|r| running(shared, name, r, now)));
    }
    for (name, requests) in reserved.by_worker.iter().chain(&scheduled.by_worker) {
        told.extend(requests.as_array().into_iter().flatten().filter_map(|r| received(shared, name, r, now)));
    }
    Ok(told)
}

/// A task that a worker says it holds and has not begun, unless that task is known. One with an ETA is wrapped:
/// `{eta, priority, request}`.
fn received(shared: &Shared, worker: &str, held: &Value, now: Timestamp) -> Option<Observation> {
    let request = held.get("request").unwrap_or(held);
    let mut seen = TaskObservation {
        eta: held.get("eta").and_then(Value::as_str).and_then(Timestamp::parse_rfc3339),
        ..seen(TaskEventKind::Received, worker, request)?
    };
    let mut tracker = lock(&shared.tracker);
    if tracker.contains(&seen.task_id) {
        return None;
    }
    tracker.observe(&mut seen, (None, None), now).then(|| intake::task(now, seen))
}

/// A task that a worker says it runs, unless that was told: it may have started before anybody observed.
pub(crate) fn running(shared: &Shared, worker: &str, request: &Value, now: Timestamp) -> Option<Observation> {
    let started = request.get("time_start").and_then(Value::as_f64).and_then(Timestamp::from_unix_seconds);
    let mut seen = seen(TaskEventKind::Started, worker, request)?;
    // Some versions tell a monotonic time, which is no date.
    let ts = started.filter(|ts| !ts.is_absurd(now)).unwrap_or(now);
    lock(&shared.tracker).observe(&mut seen, (None, None), ts).then(|| intake::task(ts, seen))
}

fn seen(kind: TaskEventKind, worker: &str, request: &Value) -> Option<TaskObservation> {
    let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some(TaskObservation {
        kind,
        task_id: text("/id")?,
        name: text("/name"),
        args: request.get("args").filter(|args| args.is_array()).cloned(),
        kwargs: request.get("kwargs").filter(|kwargs| kwargs.is_object()).cloned(),
        queue: text("/delivery_info/routing_key"),
        worker: Some(worker.to_owned()),
        hostname: host_of(worker),
        pid: request.get("worker_pid").and_then(Value::as_u64),
        known_by: Some(KnownBy::Inspection),
        ..TaskObservation::default()
    })
}
