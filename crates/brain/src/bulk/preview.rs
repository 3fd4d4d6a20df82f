//! Where agents would take the arguments of tasks from, asked before anything is retried.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use taskplane_model::bulk::BulkLane;
use taskplane_model::command::{Command, CommandStatus};
use taskplane_protocol::frame::commands;
use taskplane_protocol::limits::MAX_BULK_TASKS;
use taskplane_store::StoreError;
use taskplane_store::bulk::NewBulkItem;

use super::answers::why_not;
use crate::brain::Brain;
use crate::commands::{CommandRequest, for_lane};
use crate::gateway::Target;

/// Most tasks that agents are asked about.
const SAMPLE: usize = 1_000;
/// Most commands that ask.
const MAX_COMMANDS: usize = 8;
/// How long agents have to answer.
const WAIT: Duration = Duration::from_secs(20);

/// What agents know of the original arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preview {
    /// Tasks that were answered for.
    pub(crate) asked: u64,
    /// Where their arguments would come from, and whether these are exactly the original ones.
    pub(crate) by_source: BTreeMap<(String, bool), u64>,
    /// Tasks that cannot be retried, by code, with one of the texts.
    pub(crate) cannot: BTreeMap<String, (u64, Option<String>)>,
    /// Tasks of which it is not known before it is tried.
    pub(crate) not_known: u64,
    /// Tasks whose agents are not connected now.
    pub(crate) agent_offline: u64,
    /// It is a sample.
    pub(crate) is_sample: bool,
}

/// The connected agent that commands for a lane go to.
pub(super) fn target(brain: &Brain, project: u64, lane: &BulkLane) -> Option<Target> {
    let knows = |target: &Target| {
        target.engines.contains(&lane.engine) && (lane.agents.is_empty() || lane.agents.contains(&target.agent))
    };
    for_lane(brain.replicas.targets(&brain.connections, project, knows), lane)
}

/// Asks the agents about tasks: about all of them, or an even sample.
pub(crate) async fn preview(
    brain: &Brain,
    project: u64,
    actor: &str,
    lanes: &[BulkLane],
    items: &[NewBulkItem],
) -> Result<Preview, StoreError> {
    let mut of_lanes: Vec<Vec<&str>> = vec![Vec::new(); lanes.len()];
    let every = items.len().div_ceil(SAMPLE).max(1);
    let mut in_lanes = vec![0_u64; lanes.len()];
    for (number, item) in items.iter().enumerate() {
        let lane = item.lane as usize;
        in_lanes[lane] += 1;
        if number % every == 0 {
            of_lanes[lane].push(&item.task_id);
        }
    }
    let can: Vec<(u64, Value)> =
        brain.store.agents(project).await?.into_iter().map(|agent| (agent.id, agent.profile.capabilities)).collect();
    let mut found = Preview { is_sample: every > 1, ..Preview::default() };
    let mut asking = Vec::new();
    for (number, lane) in lanes.iter().enumerate() {
        let ids = std::mem::take(&mut of_lanes[number]);
        let Some(target) = target(brain, project, lane) else {
            found.agent_offline += in_lanes[number];
            found.not_known += ids.len() as u64;
            continue;
        };
        let says = |capabilities: &Value| capabilities[&lane.engine]["preview_retry"] == true;
        let is_able = can.iter().any(|(agent, capabilities)| *agent == target.agent && says(capabilities));
        if ids.is_empty() || !is_able || asking.len() >= MAX_COMMANDS {
            found.not_known += ids.len() as u64;
            continue;
        }
        asking.push(ask(brain, project, actor, lane, target.agent_name, ids));
    }
    for (ids, answer) in join_all(asking).await {
        match answer {
            Some(command) => found.count(&ids, &command),
            None => found.not_known += ids.len() as u64,
        }
    }
    Ok(found)
}

async fn ask<'i>(
    brain: &Brain,
    project: u64,
    actor: &str,
    lane: &BulkLane,
    agent: String,
    ids: Vec<&'i str>,
) -> (Vec<&'i str>, Option<Command>) {
    let request = CommandRequest {
        project,
        cmd: commands::PREVIEW_RETRY.to_owned(),
        args: json!({"engine": lane.engine, "task_ids": ids.get(..MAX_BULK_TASKS).unwrap_or(&ids)}),
        agent: Some(agent),
        idempotency_key: None,
        created_by: actor.to_owned(),
    };
    let answer = match brain.commands.submit(request).await {
        Ok(command) => brain.commands.wait(project, &command.id, WAIT).await.ok().flatten(),
        Err(error) => {
            tracing::debug!(%error, "an agent could not be asked what it knows of tasks");
            None
        }
    };
    (ids, answer.filter(|command| command.status == CommandStatus::Succeeded))
}

impl Preview {
    fn count(&mut self, ids: &[&str], command: &Command) {
        let nothing = Value::Null;
        let result = command.result.as_ref().unwrap_or(&nothing);
        for id in ids {
            if let Some(preview) = result["previews"].get(*id) {
                let source = preview["source"].as_str().unwrap_or("not_said").chars().take(40).collect();
                *self.by_source.entry((source, preview["lossless"] == true)).or_default() += 1;
                self.asked += 1;
            } else if let Some(failed) = result["failed"].get(*id) {
                let (code, message) = why_not(failed, None);
                let (count, text) = self.cannot.entry(code).or_default();
                *count += 1;
                *text = text.take().or(message);
                self.asked += 1;
            } else {
                self.not_known += 1;
            }
        }
    }
}
