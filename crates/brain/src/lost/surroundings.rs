//! What is known of the agents, workers and queues around tasks.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use taskplane_model::agent::{Agent, AgentProfile};
use taskplane_model::fleet::{Queue, WorkerSign};
use taskplane_model::time::{MINUTE, SECOND};
use taskplane_model::{Task, Timestamp};
use taskplane_protocol::frame::commands;
use taskplane_store::StoreError;

use crate::brain::Brain;

/// How long what agents can do is believed.
const BELIEVED: i64 = 15 * SECOND;
/// An agent whose oldest event waits for so long is behind. Its word on that may be half a minute old.
const BEHIND: i64 = 2 * MINUTE;
/// A sample of a queue that is older says nothing of it now.
const FRESH: i64 = MINUTE;

/// Which agents can be asked about which engine.
#[derive(Debug, Default)]
pub(super) struct Askable {
    agents: HashMap<u64, AskableAgent>,
    read_at: Option<Timestamp>,
}

#[derive(Debug)]
struct AskableAgent {
    name: String,
    engines: HashSet<String>,
}

impl Askable {
    /// Reads again what agents can do if that is due.
    pub(super) async fn refresh(&mut self, brain: &Brain, project: u64, now: Timestamp) -> Result<(), StoreError> {
        if self.read_at.is_some_and(|at| now.0.saturating_sub(at.0) < BELIEVED) {
            return Ok(());
        }
        let connected = brain.replicas.targets(&brain.connections, project, |_| true);
        let connected: HashSet<u64> = connected.into_iter().map(|target| target.agent).collect();
        let agents = brain.store.agents(project).await?.into_iter().filter(|agent| connected.contains(&agent.id));
        self.agents = agents.map(|agent| (agent.id, AskableAgent::of(agent))).collect();
        self.read_at = Some(now);
        Ok(())
    }

    /// The one of these agents that is to be asked about an engine, the latest first.
    pub(super) fn one_of(&self, agents: &[u64], engine: &str) -> Option<u64> {
        agents.iter().rev().copied().find(|id| self.agents.get(id).is_some_and(|agent| agent.engines.contains(engine)))
    }

    /// Its name.
    pub(super) fn name(&self, agent: u64) -> Option<&str> {
        self.agents.get(&agent).map(|agent| agent.name.as_str())
    }
}

impl AskableAgent {
    fn of(agent: Agent) -> Self {
        let Agent { name, profile, .. } = agent;
        let says_so = profile.extensions.iter().any(|extension| extension == commands::QUERY_STATE);
        let can = |engine: &String| says_so || profile.capabilities[engine][commands::QUERY_STATE] == Value::Bool(true);
        Self { name, engines: profile.engines.iter().filter(|engine| can(engine)).cloned().collect() }
    }
}

/// What is around tasks of which nothing was found, as it is now.
pub(super) struct Surroundings {
    gone: HashSet<(String, String)>,
    queues: Vec<Queue>,
    behind: HashSet<u64>,
    /// Agents and engines of which they do not have task events sent.
    without_events: HashSet<(u64, String)>,
    now: Timestamp,
}

impl Surroundings {
    pub(super) async fn read(brain: &Brain, project: u64, now: Timestamp) -> Result<Self, StoreError> {
        let workers = brain.store.workers(project).await?;
        let gone = workers.into_iter().filter(|(worker, _)| worker.sign == WorkerSign::Offline);
        let is_behind = |agent: &Agent| {
            let oldest = agent.buffer.as_ref().filter(|buffer| buffer.events > 0).and_then(|buffer| buffer.oldest_ts);
            oldest.is_some_and(|oldest| now.0.saturating_sub(oldest.0) > BEHIND)
        };
        let agents = brain.store.agents(project).await?;
        Ok(Self {
            gone: gone.map(|(worker, _)| (worker.engine, worker.name)).collect(),
            queues: brain.store.queues(project).await?.into_iter().map(|(queue, _)| queue).collect(),
            behind: agents.iter().filter(|agent| is_behind(agent)).map(|agent| agent.id).collect(),
            without_events: agents.iter().flat_map(without_events).collect(),
            now,
        })
    }

    /// The worker that had a task said that it goes, or an agent saw that it is gone.
    pub(super) fn worker_is_gone(&self, engine: &str, task: &Task<'_>) -> bool {
        task.worker().is_some_and(|worker| self.gone.contains(&(engine.to_owned(), worker.to_owned())))
    }

    /// One of these agents has observed what it has not delivered yet.
    pub(super) fn is_behind(&self, agents: &[u64]) -> bool {
        agents.iter().any(|agent| self.behind.contains(agent))
    }

    /// One of these agents does not have the task events of an engine sent.
    pub(super) fn ends_unheard(&self, engine: &str, agents: &[u64]) -> bool {
        agents.iter().any(|agent| self.without_events.contains(&(*agent, engine.to_owned())))
    }

    /// No message waits in the queue that a task came from; where that is not known, in any of its engine.
    pub(super) fn queue_is_empty(&self, engine: &str, task: &Task<'_>) -> bool {
        let is_meant = |queue: &&Queue| queue.engine == engine && task.queue().is_none_or(|name| name == queue.name);
        let mut meant = self.queues.iter().filter(is_meant).peekable();
        let is_fresh = |queue: &Queue| self.now.0.saturating_sub(queue.sampled_at.0) <= FRESH;
        meant.peek().is_some() && meant.all(|queue| queue.depth == Some(0) && is_fresh(queue))
    }
}

/// An agent, and the engines whose task events it said that it leaves as they are.
fn without_events(agent: &Agent) -> impl Iterator<Item = (u64, String)> {
    engines_without_events(&agent.profile).map(|engine| (agent.id, engine.clone()))
}

fn engines_without_events(profile: &AgentProfile) -> impl Iterator<Item = &String> {
    let leaves_them = |engine: &str| profile.capabilities[engine]["task_events"] == Value::Bool(false);
    profile.engines.iter().filter(move |engine| leaves_them(engine))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn agents_say_of_which_engines_they_leave_the_events() {
        let profile = AgentProfile {
            engines: ["celery", "other", "silent"].map(str::to_owned).to_vec(),
            capabilities: json!({"celery": {"task_events": false}, "other": {"task_events": true}}),
            ..AgentProfile::default()
        };
        assert_eq!(engines_without_events(&profile).collect::<Vec<_>>(), ["celery"]);
    }
}
