//! Which connected agent a command goes to.

use serde_json::Value;
use taskplane_protocol::frame::commands;
use taskplane_store::tasks::StoredTask;
use taskplane_store::{Store, StoreError};

use super::fitness::{self, Hosts};
use super::router::{CommandRequest, SubmitError};
use super::schedules;
use crate::gateway::{Connections, Target};
use crate::replicas::Replicas;

/// The right connection for a command: the agent that was named; else one that has told of the task or samples the queue; else,
/// when no agent has ever told of it, any that observes the engine; of a schedule, one that tells of it. `None` when no such agent is connected, to this brain or to
/// another one. Of several connections, the one that can do it best ([`fitness`]), and of equals the one that was opened last.
pub(super) async fn choose(
    store: &dyn Store,
    connections: &Connections,
    replicas: &Replicas,
    request: &CommandRequest,
) -> Result<Option<Target>, SubmitError> {
    if let Some(name) = &request.agent {
        let named = replicas.targets(connections, request.project, |t| t.agent_name == *name);
        return match text(&request.args, "engine") {
            Some(engine) => Ok(best(store, named, request, engine).await?),
            None => Ok(named.into_iter().next()),
        };
    }
    if let Some(scheduler) = text(&request.args, "scheduler") {
        return schedules::choose(store, replicas.targets(connections, request.project, |_| true), request, scheduler)
            .await;
    }
    let Some(engine) = text(&request.args, "engine") else { return Ok(None) };
    let candidates = replicas.targets(connections, request.project, |t| t.engines.iter().any(|e| e == engine));
    let informed = match request.cmd.as_str() {
        commands::PURGE_QUEUE => sampling_agent(store, request, engine).await?,
        commands::WORKER_CONTROL => hearing_agents(store, request, engine).await?,
        _ => observing_agents(store, request, engine).await?,
    };
    // Another agent of the same engine is beside another deployment: it must not act on what it has never seen.
    let may = |target: &Target| informed.is_empty() || informed.contains(&target.agent);
    Ok(best(store, candidates.into_iter().filter(may).collect(), request, engine).await?)
}

/// The one of these connections that can do it best.
async fn best(
    store: &dyn Store,
    targets: Vec<Target>,
    request: &CommandRequest,
    engine: &str,
) -> Result<Option<Target>, StoreError> {
    let mut host = None;
    if fitness::depends_on_host(&targets, engine)
        && let Some(task) = task_of(store, request, engine).await?
    {
        let workers = store.workers(request.project).await?.into_iter().map(|(worker, _)| worker);
        host = Hosts::of(workers).of_task(engine, &task.record);
    }
    Ok(fitness::best(targets, &request.cmd, engine, host.as_deref()))
}

async fn observing_agents(store: &dyn Store, request: &CommandRequest, engine: &str) -> Result<Vec<u64>, StoreError> {
    Ok(task_of(store, request, engine).await?.map(|task| task.record.agents).unwrap_or_default())
}

/// The task that a command is about; of several, the first.
async fn task_of(store: &dyn Store, request: &CommandRequest, engine: &str) -> Result<Option<StoredTask>, StoreError> {
    let first_of_many = request.args.get("task_ids").and_then(|ids| ids.get(0)).and_then(Value::as_str);
    let Some(task_id) = text(&request.args, "task_id").or(first_of_many) else { return Ok(None) };
    store.task(request.project, engine, task_id).await
}

async fn sampling_agent(store: &dyn Store, request: &CommandRequest, engine: &str) -> Result<Vec<u64>, StoreError> {
    let Some(queue) = text(&request.args, "queue") else { return Ok(Vec::new()) };
    let queues = store.queues(request.project).await?;
    Ok(queues.into_iter().filter(|(q, _)| q.engine == engine && q.name == queue).map(|(q, _)| q.agent).collect())
}

/// Those that tell of the first of the workers that are named.
async fn hearing_agents(store: &dyn Store, request: &CommandRequest, engine: &str) -> Result<Vec<u64>, StoreError> {
    let first_of_many = request.args.get("workers").and_then(|names| names.get(0)).and_then(Value::as_str);
    let Some(name) = text(&request.args, "worker").or(first_of_many) else { return Ok(Vec::new()) };
    let workers = store.workers(request.project).await?;
    Ok(workers.into_iter().filter(|(w, _)| w.engine == engine && w.name == name).map(|(w, _)| w.agent).collect())
}

fn text<'a>(args: &'a Value, key: &str) -> Option<&'a str> {
    args.get(key).and_then(Value::as_str)
}
