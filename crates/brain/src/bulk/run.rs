//! The steps of jobs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde_json::json;
use taskplane_model::bulk::{BulkChange, BulkClaim, BulkEnd, BulkItemState, BulkJob, BulkOutcome, BulkState};
use taskplane_model::command::{Command, CommandStatus};
use taskplane_protocol::frame::commands;
use taskplane_store::StoreError;
use taskplane_store::bulk::BulkClaimRequest;
use taskplane_store::tasks::Page;

use super::answers::{self, ENGINE_ERROR};
use super::preview::target;
use crate::api::types;
use crate::brain::Brain;
use crate::clock;
use crate::commands::CommandRequest;
use crate::live::Topic;

/// A command that was claimed for, and is not recorded after so long, in microseconds, never will be.
const RECORDED_WITHIN: i64 = 5_000_000;
/// Retried tasks that are looked at in one step.
const LOOKED_AT: usize = 500;
/// Between two steps while a job is under way …
const SOON: Duration = Duration::from_millis(250);
/// … and while none is.
const IDLE: Duration = Duration::from_secs(1);
/// Commands of one job that are sent in one step.
const SENT_AT_ONCE: usize = 8;

/// Takes the steps of all jobs. What it remembers only spares work.
#[derive(Default)]
pub(crate) struct Runner {
    jobs: HashMap<String, Memory>,
}

#[derive(Default)]
struct Memory {
    /// Lanes without waiting tasks.
    empty: HashSet<u32>,
    /// Up to which key retried tasks have been looked at.
    looked_to: Option<i64>,
    /// Agents that were absent when that was noted.
    absent: BTreeSet<u64>,
}

impl Runner {
    /// One step of each open job. Returns when to take the next.
    pub(crate) async fn step(&mut self, brain: &Brain) -> Result<Duration, StoreError> {
        let jobs = brain.store.open_bulk_jobs().await?;
        self.jobs.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        let mut pause = IDLE;
        for job in jobs {
            if brain.stop.is_cancelled() || !brain.leadership.is_mine() {
                break;
            }
            let is_quiet = job.state == BulkState::Paused || job.state == BulkState::Preparing;
            if !is_quiet {
                pause = SOON;
            }
            let memory = self.jobs.entry(job.id.clone()).or_default();
            let id = job.id.clone();
            if let Err(error) = (Step { brain, memory, job }).take().await {
                tracing::warn!(%error, job = id, "a bulk job could not go on; it is tried again");
            }
        }
        Ok(pause)
    }
}

struct Step<'a> {
    brain: &'a Brain,
    memory: &'a mut Memory,
    job: BulkJob,
}

impl Step<'_> {
    async fn take(mut self) -> Result<(), StoreError> {
        for claim in self.job.claims.clone() {
            self.look_for_answer(&claim).await?;
        }
        if self.job.counts.awaited() > 0 {
            self.look_for_ends().await?;
        }
        if self.job.clone().change(BulkChange::Look, clock::now()) {
            self.change(BulkChange::Look).await?;
        }
        self.send().await
    }

    /// Notes the answer to a command, if there is one.
    async fn look_for_answer(&mut self, claim: &BulkClaim) -> Result<(), StoreError> {
        let project = self.job.project;
        let Some(command) = self.brain.store.command(project, &claim.command).await? else {
            return self.give_up_unrecorded(claim).await;
        };
        if !command.status.is_final() {
            return Ok(());
        }
        let ends = answers::ends(&command);
        if ends.iter().any(|(_, end)| *end == BulkEnd::Again) {
            self.memory.empty.clear();
        }
        let trouble = trouble(&command, &ends);
        let settled = self.brain.store.settle_bulk_claim(project, &self.job.id, &claim.command, ends, clock::now());
        self.now_is(settled.await?);
        match trouble {
            Some(why) => self.change(BulkChange::Pause(Some(why))).await,
            None => Ok(()),
        }
    }

    /// The brain stopped, or could not write, between taking tasks in hand and recording their command. A command of that id that has
    /// ended makes sure that nobody records it any more: then the tasks can wait again.
    async fn give_up_unrecorded(&mut self, claim: &BulkClaim) -> Result<(), StoreError> {
        let now = clock::now();
        if now.0.saturating_sub(claim.at.0) < RECORDED_WITHIN {
            return Ok(());
        }
        let fence = Command {
            id: claim.command.clone(),
            cmd: commands::BULK_RETRY.to_owned(),
            args: json!({}),
            agent: None,
            status: CommandStatus::Failed,
            result: None,
            error: Some("not_sent".to_owned()),
            message: Some("the brain stopped before it could send this command; nothing was done".to_owned()),
            created_at: now,
            finished_at: Some(now),
            created_by: self.job.created_by.clone(),
            task_id: None,
        };
        let store = &self.brain.store;
        if let Err(error) = store.create_command(self.job.project, fence, None).await {
            // It may just have been recorded: the next step sees.
            tracing::debug!(%error, id = claim.command, "an unrecorded command of a bulk job could not be given up");
            return Ok(());
        }
        let mut ends = Vec::new();
        let mut page = Page { limit: 1_000, cursor: None };
        loop {
            let claimed = Some(BulkItemState::Claimed);
            let (items, next) = store.bulk_items(self.job.project, &self.job.id, claimed, page.clone()).await?;
            ends.extend(items.into_iter().map(|item| (item.task_id, BulkEnd::Again)));
            page.cursor = next;
            if page.cursor.is_none() {
                break;
            }
        }
        self.memory.empty.clear();
        let settled = store.settle_bulk_claim(self.job.project, &self.job.id, &claim.command, ends, now).await?;
        self.now_is(settled);
        Ok(())
    }

    /// Looks at some of the retried tasks that have not ended.
    async fn look_for_ends(&mut self) -> Result<(), StoreError> {
        let (store, project) = (&self.brain.store, self.job.project);
        let after = self.memory.looked_to.unwrap_or(i64::MIN);
        let awaited = store.awaited_bulk_items(project, &self.job.id, after, LOOKED_AT).await?;
        // Behind the last one it begins again.
        self.memory.looked_to = awaited.last().filter(|_| awaited.len() >= LOOKED_AT).map(|item| item.key);
        let ended = awaited.iter().filter_map(|item| Some((item.key, BulkOutcome::of(item.state?)?)));
        let ended: Vec<_> = ended.collect();
        if !ended.is_empty() {
            let noted = store.note_bulk_outcomes(project, &self.job.id, ended, clock::now()).await?;
            self.now_is(noted);
        }
        Ok(())
    }

    /// Sends what may be sent now.
    async fn send(&mut self) -> Result<(), StoreError> {
        let mut lanes = 0..self.job.lanes.len();
        let mut offline: BTreeSet<u64> = BTreeSet::new();
        let mut sent = 0;
        let mut lane = lanes.next();
        while let Some(number) = lane {
            if sent >= SENT_AT_ONCE || self.job.allowance(clock::now()) == 0 {
                if sent == 0 {
                    return Ok(());
                }
                break;
            }
            let id = u32::try_from(number).unwrap_or(u32::MAX);
            if self.memory.empty.contains(&id) {
                lane = lanes.next();
                continue;
            }
            let Some(target) = target(self.brain, self.job.project, &self.job.lanes[number]) else {
                offline.extend(&self.job.lanes[number].agents);
                lane = lanes.next();
                continue;
            };
            if self.send_of(id, target.agent_name).await? {
                sent += 1;
            } else {
                lane = lanes.next();
            }
        }
        self.note_absent(if sent == 0 { offline } else { BTreeSet::new() }).await
    }

    /// Sends tasks of one lane in one command; false when it has none.
    async fn send_of(&mut self, lane: u32, agent: String) -> Result<bool, StoreError> {
        let command = uuid::Uuid::now_v7().to_string();
        let request = BulkClaimRequest { lane, command: command.clone() };
        let before = self.job.counts.refused_in_all();
        let claimed = self.brain.store.claim_bulk_items(self.job.project, &self.job.id, request, clock::now()).await?;
        let Some((job, items)) = claimed else { return Ok(false) };
        let engine = self.job.lanes.get(lane as usize).map(|lane| lane.engine.clone()).unwrap_or_default();
        self.now_is(Some(job));
        if items.is_empty() {
            if before == self.job.counts.refused_in_all() && self.job.state == BulkState::Running {
                self.memory.empty.insert(lane);
            }
            return Ok(before != self.job.counts.refused_in_all());
        }
        let ids: Vec<String> = items.into_iter().map(|item| item.task_id).collect();
        let request = CommandRequest {
            project: self.job.project,
            cmd: commands::BULK_RETRY.to_owned(),
            args: json!({"engine": engine, "task_ids": ids}),
            agent: Some(agent),
            idempotency_key: None,
            created_by: self.job.created_by.clone(),
        };
        // What becomes of it is found in its row, or in there being none.
        if let Err(error) = self.brain.commands.submit_as(command, request).await {
            tracing::warn!(%error, job = self.job.id, "a command of a bulk job was not sent");
        }
        Ok(true)
    }

    async fn note_absent(&mut self, offline: BTreeSet<u64>) -> Result<(), StoreError> {
        if offline == self.memory.absent && offline.is_empty() == self.job.absent.is_empty() {
            return Ok(());
        }
        let agents = if offline.is_empty() { Vec::new() } else { self.brain.store.agents(self.job.project).await? };
        let names = agents.into_iter().filter(|agent| offline.contains(&agent.id)).map(|agent| agent.name);
        // Enough to look into it.
        let mut names: Vec<String> = names.take(10).collect();
        if names.is_empty() && !offline.is_empty() {
            names.push("an agent that is not known any more".to_owned());
        }
        self.memory.absent = offline;
        self.change(BulkChange::Absent(names)).await
    }

    async fn change(&mut self, change: BulkChange) -> Result<(), StoreError> {
        let changed =
            self.brain.store.change_bulk_job(self.job.project, &self.job.id, change, None, clock::now()).await?;
        self.now_is(changed.map(|(job, _)| job));
        Ok(())
    }

    fn now_is(&mut self, job: Option<BulkJob>) {
        let Some(job) = job else { return };
        if job != self.job {
            tell(self.brain, &job);
        }
        self.job = job;
    }
}

/// Tells open dashboards how a job stands.
pub(crate) fn tell(brain: &Brain, job: &BulkJob) {
    if brain.live.has_readers() {
        let item = serde_json::to_value(types::BulkJob::from(job.clone())).unwrap_or_default();
        brain.live.note(job.project, Topic::Bulk, job.id.clone(), item);
    } else {
        brain.live.note_untold();
    }
}

/// Why a job had better not go on by itself: its agent could not do anything at all.
fn trouble(command: &Command, ends: &[(String, BulkEnd)]) -> Option<String> {
    let text = |end: &BulkEnd| match end {
        BulkEnd::Unknown(code, message) if code == ENGINE_ERROR => Some(message.clone().unwrap_or_default()),
        _ => None,
    };
    let texts: Option<Vec<String>> = ends.iter().map(|(_, end)| text(end)).collect();
    let first = texts?.into_iter().next()?;
    let agent = command.agent.as_deref().unwrap_or("the agent");
    Some(format!("{agent} could not reach its broker: {first}"))
}
