//! Reads what the reasons are made of.

use taskplane_model::agent::Agent;
use taskplane_model::filter::{Pattern, TaskFilter};
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::rollup::Rollup;
use taskplane_model::time::{DAY, MINUTE};
use taskplane_model::{Task, TaskState, Timestamp};
use taskplane_store::StoreError;
use taskplane_store::stats::StatsQuery;
use taskplane_store::tasks::{StoredTask, TaskQuery};

use super::facts::{Facts, FailedAttempt, NoTrace, Pace, Place, SeenWorker, TaskFacts, Usual, Watcher};
use super::inquiry::Asked;
use super::told;
use crate::api::types::{WhyKnownBy, WorkerState};
use crate::brain::Brain;
use crate::problems::consumption;

/// The pace of a queue is that of so many minutes.
const PACE_MINUTES: i64 = 5;
/// Tasks that a worker runs are named up to here.
const RUNS: usize = 3;

/// What is known of a task, and of what it waits for.
pub(super) async fn look(
    brain: &Brain,
    project: u64,
    stored: &StoredTask,
    asked: Option<&Asked>,
    now: Timestamp,
) -> Result<Facts, StoreError> {
    let view = stored.record.task();
    let mut task = task_facts(stored, &view);
    let (place, place_known) = place(&view, asked);
    let found_queue = asked.and_then(|asked| asked.queue.clone());
    task.queue = found_queue.or(task.queue);
    let workers: Vec<Worker> = brain.store.workers(project).await?.into_iter().map(|(worker, _)| worker).collect();
    let workers: Vec<Worker> = workers.into_iter().filter(|worker| worker.engine == stored.engine).collect();
    let queues = brain.store.queues(project).await?.into_iter().map(|(queue, _)| queue);
    let queue: Option<Queue> =
        queues.into_iter().find(|queue| queue.engine == stored.engine && task.queue.as_ref() == Some(&queue.name));
    let seen = |worker: &Worker| SeenWorker {
        state: WorkerState::of(worker.sign, worker.last_seen_at, now),
        idle: brain.watches.idle(project, worker, now),
        runs: Vec::new(),
        worker: worker.clone(),
    };
    let lists_queue =
        |worker: &&Worker| worker.facts.queues.iter().flatten().any(|name| Some(name) == task.queue.as_ref());
    let consumers: Vec<SeenWorker> = workers.iter().filter(lists_queue).map(seen).collect();
    let consumers = consumers.into_iter().filter(|seen| seen.state == WorkerState::Online).collect();
    let consumption = consumption(
        &stored.engine,
        task.queue.as_deref().unwrap_or_default(),
        queue.as_ref().and_then(|queue| queue.consumers),
        &workers,
        now,
    );
    let holder_name = match &place {
        Place::Held(worker) | Place::Running(worker) => worker.as_deref(),
        // Who was last heard to have it.
        Place::Delivered => view.current().worker,
        Place::Waiting | Place::Ended(_) => None,
    };
    let mut holder = workers.iter().find(|worker| Some(worker.name.as_str()) == holder_name).map(seen);
    if let Some(holder) = holder.as_mut().filter(|_| matches!(place, Place::Held(_))) {
        holder.runs = runs_of(brain, project, &holder.worker).await?;
    }
    let agents = brain.store.agents(project).await?;
    let queue_agent = queue.as_ref().map(|queue| queue.agent);
    let watcher = watcher(brain, agents, stored, queue_agent);
    let pace = match task.queue.as_ref().filter(|_| place == Place::Waiting) {
        Some(queue) => Some(pace(brain, project, queue.clone(), now).await?),
        None => None,
    };
    let usual = match task.name.as_ref().filter(|_| matches!(place, Place::Running(_))) {
        Some(name) => usual(brain, project, name.clone(), now).await?,
        None => None,
    };
    let no_trace = asked.filter(|asked| asked.is_answered && asked.inquiry.state == "unknown").map(|asked| NoTrace {
        evidence: asked.inquiry.evidence.clone(),
        all_answered: asked.workers_answered > 0 && asked.inquiry.workers_silent.is_empty(),
    });
    let engine = stored.engine.clone();
    Ok(Facts {
        engine,
        task,
        place,
        place_known,
        no_trace,
        queue,
        consumption,
        consumers,
        holder,
        watcher,
        pace,
        usual,
    })
}

fn task_facts(stored: &StoredTask, task: &Task<'_>) -> TaskFacts {
    let current = task.current();
    let sent = task.attempts.iter().rev().find_map(|attempt| attempt.sent_at);
    let is_open = current.end.is_none();
    TaskFacts {
        state: task.state,
        name: task.record.name.clone(),
        queue: task.queue().map(str::to_owned),
        since: sent.unwrap_or(stored.first_seen),
        received_at: current.received_at.filter(|_| is_open),
        started_at: current.started_at.filter(|_| is_open),
        ended_at: current.end.map(|end| end.ts),
        eta: task.eta(),
        expires: task.record.expires,
        failed: (task.state == TaskState::Retrying).then(|| FailedAttempt {
            // The latest attempt has failed, or is the one that follows. People count from 1.
            number: u64::from(current.number) + u64::from(!is_open),
            exception: task.last_end().and_then(|end| end.exception.clone()),
            known_by: told::state_known_by(task),
        }),
        known_by: told::known_by(task),
        eta_known_by: told::eta_known_by(task),
    }
}

/// Where a task is: as the agent has found it just now, else as it is recorded.
fn place(task: &Task<'_>, asked: Option<&Asked>) -> (Place, (WhyKnownBy, Timestamp)) {
    let told = (told::state_known_by(task), task.updated_at);
    if task.state.is_final() {
        return (Place::Ended(task.state.name().to_owned()), told);
    }
    if let Some(asked) = asked.filter(|asked| asked.is_answered) {
        let worker = || asked.worker.clone().or_else(|| task.worker().map(str::to_owned));
        let found = match (asked.inquiry.state.as_str(), asked.inquiry.found_in.as_deref()) {
            ("pending", _) => Some(Place::Waiting),
            ("received", Some("unacked")) => Some(Place::Delivered),
            ("received", _) => Some(Place::Held(worker())),
            ("started", _) => Some(Place::Running(worker())),
            (ended @ ("succeeded" | "failed" | "revoked"), _) => Some(Place::Ended(ended.to_owned())),
            _ => None,
        };
        if let Some(found) = found {
            return (found, (WhyKnownBy::Inquiry, asked.inquiry.asked_at));
        }
    }
    let current = task.current();
    let worker = current.worker.map(str::to_owned);
    let recorded = match task.state {
        TaskState::Started => Place::Running(worker),
        TaskState::Received => Place::Held(worker),
        TaskState::Retrying if current.received_at.is_some() && current.end.is_none() => Place::Held(worker),
        _ => Place::Waiting,
    };
    (recorded, told)
}

/// Who would tell of the task: an agent that has told of it, or that samples its queue.
fn watcher(brain: &Brain, agents: Vec<Agent>, stored: &StoredTask, queue_agent: Option<u64>) -> Watcher {
    let observes = |agent: &Agent| agent.profile.engines.contains(&stored.engine);
    let knows = |agent: &Agent| stored.record.agents.contains(&agent.id) || queue_agent == Some(agent.id);
    let mut watching: Vec<Agent> = agents.into_iter().filter(observes).collect();
    if watching.iter().any(knows) {
        watching.retain(knows);
    }
    let is_here = |agent: &&Agent| brain.replicas.presence(&brain.connections, agent.id).is_some();
    let here: Vec<&Agent> = watching.iter().filter(is_here).collect();
    let trouble = |agent: &Agent| agent.adapters.get(&stored.engine).filter(|state| *state != "ok").cloned();
    match (here.as_slice(), watching.iter().map(|agent| agent.last_seen_at).max()) {
        ([], None) => Watcher::Nobody,
        ([], Some(since)) => Watcher::Away(watching.into_iter().map(|agent| agent.name).collect(), since),
        ([first, others @ ..], _) => match trouble(first) {
            Some(why) if others.iter().all(|agent| trouble(agent).is_some()) => Watcher::Blind(first.name.clone(), why),
            _ => Watcher::Sees,
        },
    }
}

/// What a worker runs now, as far as it is recorded.
async fn runs_of(brain: &Brain, project: u64, worker: &Worker) -> Result<Vec<(String, Option<Timestamp>)>, StoreError> {
    // A star would mean other workers as well.
    if worker.name.contains('*') {
        return Ok(Vec::new());
    }
    let filter = TaskFilter {
        states: vec![TaskState::Started],
        workers: vec![Pattern(worker.name.clone())],
        engines: vec![worker.engine.clone()],
        ..TaskFilter::default()
    };
    let page = brain.store.list_tasks(TaskQuery { project, filter, limit: RUNS, cursor: None }).await?;
    let run = |stored: &StoredTask| Some((stored.record.name.clone()?, stored.record.task().current().started_at));
    Ok(page.items.iter().filter_map(run).collect())
}

async fn pace(brain: &Brain, project: u64, queue: String, now: Timestamp) -> Result<Pace, StoreError> {
    let since = Timestamp((now.minute() - PACE_MINUTES) * MINUTE);
    let until = Timestamp((now.minute() + 1) * MINUTE);
    let query = StatsQuery { project, since, until, step_minutes: 1, name: None, queue: Some(queue) };
    let all = sum(brain, query).await?;
    // Where events are off, only ends are known.
    let begun = all.started.max(all.succeeded + all.failed + all.retried);
    Ok(Pace { begun: u64::try_from(begun).unwrap_or(0), within: now.0 - since.0 })
}

async fn usual(brain: &Brain, project: u64, name: String, now: Timestamp) -> Result<Option<Usual>, StoreError> {
    let (since, until) = (now.plus(-DAY), now.plus(MINUTE));
    let all = sum(brain, StatsQuery { project, since, until, step_minutes: 60, name: Some(name), queue: None }).await?;
    let micros = |q| all.runtime.quantile_ms(q).map(|ms| (ms * 1_000.0) as i64);
    let usual = |(half, most)| Usual { runs: u64::try_from(all.runtime.count()).unwrap_or(0), half, most };
    Ok(micros(0.5).zip(micros(0.95)).map(usual))
}

async fn sum(brain: &Brain, query: StatsQuery) -> Result<Rollup, StoreError> {
    let mut all = Rollup::default();
    for point in brain.store.stats(query).await? {
        all.merge(&point.rollup);
    }
    Ok(all)
}
