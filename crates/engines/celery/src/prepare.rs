//! Prepares workers: enables their events where they are wanted, and learns what they are, at the start, for each new one, and
//! from time to time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use taskplane_agent::engine::{KnownBy, Observation, Observer, TaskObservation};
use taskplane_model::{TaskEventKind, Timestamp};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::BrokerError,
    clock,
    config::Watch,
    control::{Call, Replies, read_active_queues, read_declared_queues, read_registered, read_stats},
    event_switch::Answer,
    events::host_of,
    health::BrokerHealth,
    intake,
    shared::{Shared, lock},
    workers::Learned,
};

/// A worker says that it is up before it listens to remote control: it is asked again after this long, and so on.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How long a round may go on when the agent stops.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Enables events on every worker, where they are wanted, and learns what it is: at the start, for each new worker, and from time to time.
/// Workers that tell of themselves are asked only what has become of them after an order.
pub(crate) async fn prepare_workers(
    shared: Arc<Shared>,
    observer: Observer,
    health: BrokerHealth,
    stop: CancellationToken,
) {
    let mut pause = Duration::ZERO;
    let asks_all = shared.watch == Watch::Everything;
    if !asks_all {
        lock(&shared.workers).met();
    }
    let mut all = asks_all;
    let mut last_all = Instant::now();
    let timings = &shared.timings;
    let every = if shared.task_events { timings.control_every } else { timings.inspect_every };
    loop {
        let unprepared = lock(&shared.workers).unprepared();
        all |= asks_all && last_all.elapsed() >= every;
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
                    health.ok("workers").await;
                    lock(&shared.workers).met();
                    for observation in told {
                        if stop.run_until_cancelled(observer.record(observation)).await.is_none() {
                            return;
                        }
                    }
                    all = false;
                }
                // What lets events and queues be read may still not let workers be asked.
                Err(error) if error.is_denied() => health.down("workers", error.to_string()).await,
                Err(error) => tracing::debug!(%error, "workers could not be asked"),
            }
        }
        let settled = !all && lock(&shared.workers).unprepared().is_empty();
        let until_next = if asks_all { every.saturating_sub(last_all.elapsed()) } else { every };
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
    let ask = async |method: &'static str, to: Vec<String>| {
        if to.is_empty() { Ok(Replies::default()) } else { shared.call(&call(shared, method, Some(to))).await }
    };
    let asked_at = Some(std::time::Instant::now());
    let Met { names, stats, answers } = meet(shared, to).await?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let new = lock(&shared.workers).unprepared_of(&names);
    let queues = ask("active_queues", names.clone()).await?;
    let tells_itself = shared.watch == Watch::Queues;
    let active = ask("active", if tells_itself { Vec::new() } else { names.clone() }).await?;
    let registered = ask("registered", new.clone()).await?;
    let settings = settings(shared, if tells_itself { &[] } else { &new }).await?;
    // What a worker took before its events were enabled was told by none; with events off, that is everything.
    let untold = match shared.task_events {
        _ if tells_itself => Vec::new(),
        true => new,
        false => names.clone(),
    };
    let (reserved, scheduled) = (ask("reserved", untold.clone()).await?, ask("scheduled", untold).await?);
    let (now, at) = (clock::now(), std::time::Instant::now());
    let mut told = Vec::new();
    let mut workers = lock(&shared.workers);
    workers.declare(settings.by_worker.values().flat_map(read_declared_queues));
    for name in &names {
        let stats = stats.by_worker.get(name).map(read_stats).unwrap_or_default();
        let queues = queues.by_worker.get(name).map(read_active_queues).unwrap_or_default();
        let task_events = answers.get(name).copied().and_then(Answer::sends);
        let learned = Learned { queues: queues.queues, task_events, asked_at, ..stats };
        told.extend(workers.learn(name, learned, now, at).map(intake::worker));
        if let Some(tasks) = registered.by_worker.get(name).and_then(read_registered) {
            workers.can_run(name, tasks);
        }
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

/// The settings of workers, where the broker has no list of its queues: one that nobody consumes is known by those alone.
async fn settings(shared: &Shared, to: &[String]) -> Result<Replies, BrokerError> {
    if to.is_empty() || shared.broker.can_peek() {
        return Ok(Replies::default());
    }
    let call = call(shared, "conf", Some(to.to_vec()));
    shared.call(&Call { arguments: json!({"with_defaults": false}), ..call }).await
}

/// Who answered.
#[derive(Default)]
struct Met {
    names: Vec<String>,
    stats: Replies,
    /// What they said of their events.
    answers: BTreeMap<String, Answer>,
}

fn call(shared: &Shared, method: &'static str, to: Option<Vec<String>>) -> Call {
    Call { method, arguments: json!({}), to, wait: shared.timings.control_wait }
}

/// Finds out who is there. Where events are wanted, all are told to send them; where not, those are told to stop whom this agent,
/// or one before it, had told to send them.
async fn meet(shared: &Shared, to: Option<Vec<String>>) -> Result<Met, BrokerError> {
    let answers = |replies: &Replies| -> BTreeMap<String, Answer> {
        replies.by_worker.iter().filter_map(|(name, reply)| Some((name.clone(), Answer::read(reply)?))).collect()
    };
    let met = if shared.watch == Watch::Queues {
        let stats = shared.call(&call(shared, "stats", to)).await?;
        return Ok(Met { names: stats.by_worker.keys().cloned().collect(), stats, ..Met::default() });
    } else if shared.task_events {
        let enabled = shared.call(&call(shared, "enable_events", to)).await?;
        if enabled.by_worker.is_empty() {
            return Ok(Met::default());
        }
        let answers = answers(&enabled);
        let names: Vec<String> = enabled.by_worker.into_keys().collect();
        let stats = shared.call(&call(shared, "stats", Some(names.clone()))).await?;
        Met { names, stats, answers }
    } else {
        let stats = shared.call(&call(shared, "stats", to)).await?;
        let ours = turned_on_by_us(shared, &stats);
        let disabled = match ours.is_empty() {
            true => Replies::default(),
            false => shared.call(&call(shared, "disable_events", Some(ours))).await?,
        };
        Met { names: stats.by_worker.keys().cloned().collect(), stats, answers: answers(&disabled) }
    };
    remember(shared, &met).await;
    Ok(met)
}

fn turned_on_by_us(shared: &Shared, stats: &Replies) -> Vec<String> {
    let turned_on = lock(&shared.turned_on);
    let pids = stats.by_worker.iter().filter_map(|(name, reply)| Some((name, read_stats(reply).pid?)));
    pids.filter(|(name, pid)| turned_on.contains(name, *pid)).map(|(name, _)| name.clone()).collect()
}

/// Keeps whose events were turned on, and forgets those whose were turned off, on the disk too.
async fn remember(shared: &Shared, met: &Met) {
    let pid = |name: &String| met.stats.by_worker.get(name).and_then(|reply| read_stats(reply).pid);
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for (name, answer) in &met.answers {
        match answer {
            Answer::TurnedOn => on.extend(pid(name).map(|pid| (name.clone(), pid))),
            Answer::WasOn => {}
            Answer::TurnedOff | Answer::WasNotTold | Answer::Cannot => off.push(name.clone()),
        }
    }
    if on.is_empty() && off.is_empty() {
        return;
    }
    let turned_on = Arc::clone(&shared.turned_on);
    // A panic in there was logged; what is not remembered stays on.
    let _ = tokio::task::spawn_blocking(move || lock(&turned_on).change(on, &off)).await;
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
    // It may be known by its message alone, which lies with the broker until it is acknowledged.
    if tracker.get(&seen.task_id).is_some_and(|known| known.was_taken()) {
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
