//! Commands about schedules: which agent takes them, and what they change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use taskplane_model::schedule::Schedule;
use taskplane_protocol::frame::commands;
use taskplane_store::Store;
use taskplane_store::fleet::{SchedulesTold, StoredSchedule};

use super::router::{CommandRequest, SubmitError};
use crate::clock;
use crate::gateway::Target;

/// Of the connected agents, one that tells of the schedule; for a new one, one that tells of its scheduler. Agents beside one
/// scheduler tell the same: then any of them will do.
pub(super) async fn choose(
    store: &dyn Store,
    connected: Vec<Target>,
    request: &CommandRequest,
    scheduler: &str,
) -> Result<Option<Target>, SubmitError> {
    let stored = store.schedules(request.project).await?;
    let id = request.args.get("id").and_then(Value::as_str);
    let told: Vec<&StoredSchedule> = stored
        .iter()
        .filter(|told| told.scheduler == scheduler && id.is_none_or(|id| told.schedule.id == id))
        .collect();
    // By agent, what it tells.
    let mut words: BTreeMap<u64, BTreeSet<(&str, Option<&str>)>> = BTreeMap::new();
    for one in told {
        words.entry(one.agent_id).or_default().insert((&one.schedule.id, one.schedule.task.as_deref()));
    }
    if id.is_none() {
        // A scheduler may have no schedules yet.
        for agent in store.agents(request.project).await? {
            if agent.profile.schedulers.iter().any(|name| name == scheduler) {
                words.entry(agent.id).or_default();
            }
        }
    }
    let mut candidates: Vec<Target> =
        connected.into_iter().filter(|target| words.contains_key(&target.agent)).collect();
    let said: BTreeSet<_> = candidates.iter().filter_map(|target| words.get(&target.agent)).collect();
    if said.len() > 1 {
        let agents: BTreeSet<String> = candidates.into_iter().map(|target| target.agent_name).collect();
        return Err(SubmitError::WhichAgent { scheduler: scheduler.to_owned(), agents: agents.into_iter().collect() });
    }
    Ok((!candidates.is_empty()).then(|| candidates.swap_remove(0)))
}

/// What a command changes about a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScheduleChange {
    /// The agent answers with the schedule as it now is.
    Put {
        /// Its scheduler.
        scheduler: String,
    },
    /// It is gone.
    Delete {
        /// Its scheduler.
        scheduler: String,
        /// Its id.
        id: String,
    },
}

impl ScheduleChange {
    /// What `request` changes, if anything.
    pub(super) fn of(request: &CommandRequest) -> Option<Self> {
        let text = |key: &str| request.args.get(key).and_then(Value::as_str).map(str::to_owned);
        match request.cmd.as_str() {
            commands::SCHEDULE_CREATE | commands::SCHEDULE_UPDATE | commands::SCHEDULE_PAUSE => {
                Some(Self::Put { scheduler: text("scheduler")? })
            }
            commands::SCHEDULE_DELETE => Some(Self::Delete { scheduler: text("scheduler")?, id: text("id")? }),
            _ => None,
        }
    }

    /// Keeps what was changed, without waiting for the scheduler's next full word. A failure is only logged: that word makes up
    /// for it.
    pub(super) async fn keep(&self, store: &dyn Store, project: u64, agent: Option<Target>, result: Option<&Value>) {
        let kept = match self {
            Self::Put { scheduler } => match (agent, changed(result)) {
                (Some(agent), Some(schedule)) => {
                    let told = told(project, agent.agent, scheduler, vec![schedule], Vec::new());
                    store.keep_schedules(told, clock::now()).await
                }
                _ => return,
            },
            Self::Delete { scheduler, id } => delete(store, project, scheduler, id).await,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "what a command changed about a schedule was not kept; the agent tells it again");
        }
    }
}

/// All agents that told of it saw the same.
async fn delete(store: &dyn Store, project: u64, scheduler: &str, id: &str) -> taskplane_store::Result<()> {
    for one in store.schedules(project).await? {
        if one.scheduler == scheduler && one.schedule.id == id {
            let told = told(project, one.agent_id, scheduler, Vec::new(), vec![id.to_owned()]);
            store.keep_schedules(told, clock::now()).await?;
        }
    }
    Ok(())
}

fn changed(result: Option<&Value>) -> Option<Schedule> {
    let schedule = result?.get("schedule")?;
    serde_json::from_value(schedule.clone()).ok().filter(|schedule: &Schedule| !schedule.id.is_empty())
}

fn told(project: u64, agent: u64, scheduler: &str, schedules: Vec<Schedule>, removed: Vec<String>) -> SchedulesTold {
    SchedulesTold { project, agent, scheduler: scheduler.to_owned(), full: false, schedules, removed }
}
