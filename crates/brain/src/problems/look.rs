//! All problems of a project, as they are now.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use taskplane_model::Timestamp;
use taskplane_model::agent::Agent;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_store::StoreError;

use super::watch::Watch;
use super::{agents, far_etas, idle, queues, schedulers, unheard, workers};
use crate::api::types::{FoundProblem, FoundProblemKind as Kind};
use crate::brain::Brain;
use crate::schedules::problem::{self, SchedulerHealth};
use crate::schedules::told::merged;

/// The problems of a project, the worst first.
///
/// # Errors
/// When the store cannot be read.
pub async fn look(brain: &Brain, project: u64, now: Timestamp) -> Result<Vec<FoundProblem>, StoreError> {
    let mut found = Vec::new();
    let agents = brain.store.agents(project).await?;
    for agent in &agents {
        found.extend(agents::of_agent(agent, brain.replicas.presence(&brain.connections, agent.id)));
    }
    let workers: Vec<Worker> = brain.store.workers(project).await?.into_iter().map(|(worker, _)| worker).collect();
    let queues: Vec<Queue> = brain.store.queues(project).await?.into_iter().map(|(queue, _)| queue).collect();
    found.extend(queues.iter().filter_map(|queue| queues::of_queue(queue, &workers, now)));
    for (name, health) in scheduler_healths(brain, project).await? {
        found.extend(schedulers::of_scheduler(&name, &health));
    }
    brain.watches.with(project, |watch| {
        found.extend(workers.iter().flat_map(|worker| of_worker(worker, &agents, watch, now)));
    });
    // Of what an agent sees nothing is heard while it is away: that is told of the agent.
    let is_away = |agent: u64| brain.replicas.presence(&brain.connections, agent).is_none();
    let away: BTreeSet<&str> =
        workers.iter().filter(|worker| is_away(worker.agent)).map(|worker| worker.name.as_str()).collect();
    found.retain(|problem| problem.kind != Kind::WorkerSilent || !away.contains(problem.subject.name.as_str()));
    found.sort_by_key(|problem| problem.severity);
    Ok(found)
}

async fn scheduler_healths(brain: &Brain, project: u64) -> Result<BTreeMap<String, SchedulerHealth>, StoreError> {
    let told = merged(brain, brain.store.schedules(project).await?);
    let watches = brain.store.schedule_watches(project).await?.into_iter().collect();
    let is_connected = |agent| brain.replicas.presence(&brain.connections, agent).is_some();
    Ok(problem::schedulers(&told, &watches, is_connected))
}

/// True for an agent that said that it does not turn task events on.
fn leaves_events(agent: &Agent, engine: &str) -> bool {
    agent.profile.capabilities.get(engine).and_then(|can| can.get("task_events")) == Some(&Value::Bool(false))
}

fn of_worker(worker: &Worker, agents: &[Agent], watch: &Watch, now: Timestamp) -> Vec<FoundProblem> {
    let idle = watch.idle(worker, now).map(|idle| idle::of_idle(worker, &idle, now));
    let unheard = || watch.unheard(worker, now).map(|counted| unheard::of_unheard(worker, &counted, now));
    let far_etas = watch.far_etas(worker).and_then(|far| far_etas::of_far_etas(worker, far, now));
    let its_agent = |agent: &&Agent| agent.id == worker.agent && worker.facts.task_events == Some(false);
    let leaves_events = agents.iter().find(its_agent).is_some_and(|agent| leaves_events(agent, &worker.engine));
    let events = workers::of_events(worker, leaves_events, now).or_else(unheard);
    [workers::of_absence(worker, now), idle, events, far_etas].into_iter().flatten().collect()
}
