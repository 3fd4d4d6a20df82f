//! Bulk work: one command for each task that a filter meant, as a job with a pace, a limit of failures, and a report.
//!
//! Everything that decides is here and pure; a store loads a job, changes it, and keeps it, in one transaction with the items
//! that the change is about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::{MINUTE, SECOND};
use crate::{TaskState, Timestamp};

/// Most tasks of one job.
pub const MAX_BULK_ITEMS: usize = 100_000;
/// Most tasks of one command of a job: a pause takes effect behind the commands that are out.
pub const MAX_CHUNK: u32 = 100;
/// Most commands of one job that wait for their answers.
pub const MAX_CLAIMS: usize = 4;
/// Fastest pace, in tasks a minute.
pub const MAX_RATE: u32 = 60_000;
/// Largest canary.
pub const MAX_CANARY: u32 = 1_000;
/// So many retried tasks have to have ended before their failures say anything, unless the canary is smaller.
const LEAST_SAMPLE: u64 = 20;
/// Ends of retried tasks are waited for so long after the last answer, in microseconds.
const WATCHED_FOR: i64 = 60 * MINUTE;
/// A job whose tasks were not all noted within this time, in microseconds, never begins.
const PREPARED_WITHIN: i64 = 5 * MINUTE;

/// States from which a task is retried without being asked twice.
pub const RETRYABLE: [TaskState; 4] = [TaskState::Failed, TaskState::Revoked, TaskState::Rejected, TaskState::Lost];

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkState {
    /// Its tasks are being noted; nothing has been sent.
    Preparing,
    /// It sends, or waits for something.
    Running,
    /// It sends nothing until somebody resumes it.
    Paused,
    /// It sends nothing any more, and waits for the answers to what it has sent.
    Stopping,
    /// Everything was sent and answered, and the retried tasks have ended.
    Finished,
    /// Somebody cancelled it.
    Cancelled,
    /// Too many retried tasks failed again.
    Stopped,
}

impl BulkState {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Stopped => "stopped",
        }
    }

    /// True when nothing will be sent any more and every answer is there.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled | Self::Stopped)
    }
}

/// How a job goes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkOptions {
    /// So many tasks are retried first, and have to end before the rest is; 0 for none.
    pub canary: u32,
    /// Most tasks a minute; `None` for as fast as the agents answer.
    pub rate_per_minute: Option<u32>,
    /// The job stops when more than so many percent of the retried tasks that ended have failed again.
    pub stop_above_percent: Option<u8>,
}

/// What has become of a job's tasks so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BulkCounts {
    /// Tasks of the job.
    pub total: u64,
    /// Not sent yet; in a job that has ended, never sent.
    pub waiting: u64,
    /// Sent, and not answered.
    pub claimed: u64,
    /// Published again.
    pub accepted: u64,
    /// Not retried, by code.
    pub refused: BTreeMap<String, u64>,
    /// Nobody knows whether they were retried; they are not sent again.
    pub unknown: u64,
    /// Of those published again: succeeded.
    pub succeeded: u64,
    /// Of those published again: failed, rejected.
    pub failed: u64,
    /// Of those published again: revoked.
    pub revoked: u64,
    /// Of those published again: had not ended when they were waited for no longer.
    pub not_ended: u64,
}

impl BulkCounts {
    /// Published again, and their ends are waited for.
    pub fn awaited(&self) -> u64 {
        self.accepted.saturating_sub(self.succeeded + self.failed + self.revoked + self.not_ended)
    }

    /// Not retried, for whatever reason.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Sent, and not known to have been refused.
    fn out(&self) -> u64 {
        self.claimed + self.accepted + self.unknown
    }
}

/// A command of a job that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkClaim {
    /// Id of the command. The claim is made before the command is recorded.
    pub command: String,
    /// Tasks in it.
    pub count: u32,
    /// When it was made.
    pub at: Timestamp,
}

/// Tasks that the same agents know, and that can be sent in one command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BulkLane {
    /// Engine.
    pub engine: String,
    /// Numbers of the agents that have told of them, ascending.
    pub agents: Vec<u64>,
    /// Host of the workers that ran them, where an agent may have kept the messages that those received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// What a running job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BulkWait {
    /// The retried tasks of the canary have to end.
    Canary,
    /// No agent that knows the next tasks is connected.
    Agents,
    /// Everything was sent; agents have to answer.
    Answers,
    /// Everything was answered; retried tasks have to end.
    Ends,
}

impl BulkWait {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Agents => "agents",
            Self::Answers => "answers",
            Self::Ends => "ends",
        }
    }
}

/// A job that retries tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkJob {
    /// UUIDv7.
    pub id: String,
    /// Project.
    pub project: u64,
    /// Which tasks were asked for, in the fields of `GET tasks`.
    pub filter: serde_json::Value,
    /// Names of states beyond [`RETRYABLE`] whose tasks are retried, too.
    pub include: Vec<String>,
    /// How it goes about it.
    pub options: BulkOptions,
    /// Who asked for it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// How it stands.
    pub state: BulkState,
    /// Why it stands so, for people.
    pub reason: Option<String>,
    /// What it will be when it has stopped.
    pub ends_as: Option<BulkState>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Tasks that the filter meant and that are none of the job's, by why.
    pub left_out: BTreeMap<String, u64>,
    /// True when the filter meant more tasks than a job may have: it has the newest.
    pub truncated: bool,
    /// What has become of its tasks.
    pub counts: BulkCounts,
    /// Groups of its tasks, by their numbers.
    pub lanes: Vec<BulkLane>,
    /// Names of agents that it waits for.
    pub absent: Vec<String>,
    /// Commands that wait for their answers.
    pub claims: Vec<BulkClaim>,
    /// The canary has ended well.
    pub canary_passed: bool,
    /// Up to when the pace has been used.
    pub paced_until: Timestamp,
    /// When the last answer or end came in.
    pub heard_at: Timestamp,
}

/// How a task of a job stands. The number is stored: never renumber, only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BulkItemState {
    /// Not sent.
    Waiting = 0,
    /// About to be sent, or sent: never sent again unless it is certain that it was not.
    Claimed = 1,
    /// Published again.
    Accepted = 2,
    /// Not retried; the code says why.
    Refused = 3,
    /// Sent, and nobody knows what became of it.
    Unknown = 4,
}

impl BulkItemState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Claimed, Self::Accepted, Self::Refused, Self::Unknown];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a state's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Reads a stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// How a retried task has ended. The number is stored: never renumber, only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BulkOutcome {
    /// It succeeded.
    Succeeded = 1,
    /// It failed again, or was rejected.
    Failed = 2,
    /// It was revoked.
    Revoked = 3,
}

impl BulkOutcome {
    const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Revoked];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
        }
    }

    /// Reads a stored number; 0 means that there is none yet.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| *outcome as u8 == number)
    }

    /// What a task in this state has come to. One that seems lost may still be heard of.
    pub fn of(state: TaskState) -> Option<Self> {
        match state {
            TaskState::Succeeded => Some(Self::Succeeded),
            TaskState::Failed | TaskState::Rejected => Some(Self::Failed),
            TaskState::Revoked => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// A task of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkItem {
    /// The task's key; unique in the job.
    pub key: i64,
    /// Engine.
    pub engine: String,
    /// The engine's id.
    pub task_id: String,
    /// Task type.
    pub name: Option<String>,
    /// How it stands.
    pub state: BulkItemState,
    /// Id of the task that it was published as.
    pub new_task_id: Option<String>,
    /// How that one has ended.
    pub outcome: Option<BulkOutcome>,
    /// Why it was not retried, or why nobody knows, as a code.
    pub code: Option<String>,
    /// The same for people.
    pub message: Option<String>,
}

/// What became of a task that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkEnd {
    /// Published again under this id.
    Accepted(String),
    /// Not retried: a code, and a text for people.
    Refused(String, Option<String>),
    /// Nobody knows: a code, and a text for people.
    Unknown(String, Option<String>),
    /// It is certain that it was never sent: it waits again.
    Again,
}

impl BulkEnd {
    /// The end of a task that its agent's answer does not name.
    pub fn unanswered() -> Self {
        Self::Unknown("not_answered".to_owned(), None)
    }

    /// How the task stands, under which id it was published again, and why not: a code, and a text for people.
    pub fn columns(&self) -> (BulkItemState, Option<&str>, Option<&str>, Option<&str>) {
        match self {
            Self::Accepted(new) => (BulkItemState::Accepted, Some(new), None, None),
            Self::Refused(code, message) => (BulkItemState::Refused, None, Some(code), message.as_deref()),
            Self::Unknown(code, message) => (BulkItemState::Unknown, None, Some(code), message.as_deref()),
            Self::Again => (BulkItemState::Waiting, None, None, None),
        }
    }
}

/// Something that happens to a job as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkChange {
    /// All its tasks are noted.
    Begin,
    /// Send nothing until it is resumed; why.
    Pause(Option<String>),
    /// Go on.
    Resume,
    /// Send nothing any more.
    Cancel,
    /// It waits for agents of these names.
    Absent(Vec<String>),
    /// Time has passed.
    Look,
}

impl BulkJob {
    /// A job that has no tasks yet.
    pub fn new(id: String, project: u64, created_by: String, options: BulkOptions, now: Timestamp) -> Self {
        let canary_passed = options.canary == 0;
        Self {
            id,
            project,
            filter: serde_json::Value::Null,
            include: Vec::new(),
            options,
            created_by,
            created_at: now,
            state: BulkState::Preparing,
            reason: None,
            ends_as: None,
            finished_at: None,
            left_out: BTreeMap::new(),
            truncated: false,
            counts: BulkCounts::default(),
            lanes: Vec::new(),
            absent: Vec::new(),
            claims: Vec::new(),
            canary_passed,
            paced_until: now,
            heard_at: now,
        }
    }

    /// True while something may still change by itself.
    pub fn is_open(&self) -> bool {
        !self.state.is_final() || self.counts.awaited() > 0
    }

    /// True while tasks that wait will be sent, now or when it is resumed.
    pub fn will_send(&self) -> bool {
        matches!(self.state, BulkState::Preparing | BulkState::Running | BulkState::Paused)
    }

    /// True when a task in this state is retried by this job.
    pub fn takes(&self, state: TaskState) -> bool {
        RETRYABLE.contains(&state) || self.include.iter().any(|name| name == state.name())
    }

    /// What it waits for; `None` when it is sending, or does not run.
    pub fn waits_for(&self) -> Option<BulkWait> {
        if self.state != BulkState::Running {
            return (self.state == BulkState::Stopping).then_some(BulkWait::Answers);
        }
        if self.counts.waiting == 0 {
            return Some(if self.claims.is_empty() { BulkWait::Ends } else { BulkWait::Answers });
        }
        if self.canary_is_out() {
            return Some(BulkWait::Canary);
        }
        (!self.absent.is_empty()).then_some(BulkWait::Agents)
    }

    /// How many tasks may be sent in one command now.
    pub fn allowance(&self, now: Timestamp) -> u32 {
        if self.state != BulkState::Running || self.claims.len() >= MAX_CLAIMS || self.canary_is_out() {
            return 0;
        }
        let left = u32::try_from(self.counts.waiting).unwrap_or(u32::MAX);
        let of_canary = match u64::from(self.options.canary).checked_sub(self.counts.out()) {
            Some(rest) if !self.canary_passed => u32::try_from(rest).unwrap_or(u32::MAX),
            _ => u32::MAX,
        };
        let wanted = left.min(of_canary).min(MAX_CHUNK);
        let Some(rate) = self.options.rate_per_minute.map(i64::from) else { return wanted };
        let earned = u32::try_from(self.unused(now) * rate / MINUTE).unwrap_or(0);
        // A second's worth at once, so that a slow pace is one command a second and not many small ones.
        let least = wanted.min(u32::try_from(rate / 60).unwrap_or(0).clamp(1, MAX_CHUNK));
        if earned < least { 0 } else { earned.min(wanted) }
    }

    /// Tasks are about to be sent.
    pub fn claimed(&mut self, claim: BulkClaim, now: Timestamp) {
        let count = u64::from(claim.count);
        self.counts.waiting = self.counts.waiting.saturating_sub(count);
        self.counts.claimed += count;
        if let Some(rate) = self.options.rate_per_minute {
            let used = i64::from(claim.count) * MINUTE / i64::from(rate.max(1));
            self.paced_until = now.plus(-self.unused(now)).plus(used);
        }
        self.claims.push(claim);
    }

    /// A task is not sent after all, or was answered as not retried: `code` says why.
    pub fn refused_unsent(&mut self, code: &str) {
        self.counts.waiting = self.counts.waiting.saturating_sub(1);
        *self.counts.refused.entry(code.to_owned()).or_default() += 1;
    }

    /// A task that was sent has been answered.
    pub fn answered(&mut self, end: &BulkEnd) {
        self.counts.claimed = self.counts.claimed.saturating_sub(1);
        match end {
            BulkEnd::Accepted(_) => self.counts.accepted += 1,
            BulkEnd::Refused(code, _) => *self.counts.refused.entry(code.clone()).or_default() += 1,
            BulkEnd::Unknown(..) => self.counts.unknown += 1,
            BulkEnd::Again => self.counts.waiting += 1,
        }
    }

    /// A command has been answered, whatever became of its tasks. False when it is none that is waited for.
    pub fn settled(&mut self, command: &str, now: Timestamp) -> bool {
        let before = self.claims.len();
        self.claims.retain(|claim| claim.command != command);
        self.heard_at = now;
        before != self.claims.len()
    }

    /// A retried task has ended.
    pub fn ended(&mut self, outcome: BulkOutcome, now: Timestamp) {
        match outcome {
            BulkOutcome::Succeeded => self.counts.succeeded += 1,
            BulkOutcome::Failed => self.counts.failed += 1,
            BulkOutcome::Revoked => self.counts.revoked += 1,
        }
        self.heard_at = now;
    }

    /// Does to it what happens to it; false when that changes nothing.
    pub fn change(&mut self, change: BulkChange, now: Timestamp) -> bool {
        let before = self.clone();
        match change {
            BulkChange::Begin if self.state == BulkState::Preparing => {
                self.state = BulkState::Running;
                (self.paced_until, self.heard_at) = (now.plus(-SECOND), now);
            }
            BulkChange::Pause(why) if self.state == BulkState::Running => {
                self.state = BulkState::Paused;
                self.reason = why;
            }
            BulkChange::Resume if self.state == BulkState::Paused => {
                self.state = BulkState::Running;
                self.reason = None;
                (self.paced_until, self.heard_at) = (now.plus(-SECOND), now);
            }
            BulkChange::Cancel if !self.state.is_final() && self.state != BulkState::Stopping => {
                self.stop(BulkState::Cancelled, None);
            }
            BulkChange::Absent(names) => self.absent = names,
            _ => {}
        }
        self.judge(now);
        *self != before
    }

    /// Draws the conclusions from what is known.
    pub fn judge(&mut self, now: Timestamp) {
        let is_quiet = now.0.saturating_sub(self.heard_at.0) > WATCHED_FOR;
        match self.state {
            BulkState::Preparing if now.0.saturating_sub(self.created_at.0) > PREPARED_WITHIN => {
                let why = "the brain stopped before it had noted all tasks; nothing was retried";
                self.stop(BulkState::Cancelled, Some(why.to_owned()));
            }
            BulkState::Running | BulkState::Paused => self.judge_failures(is_quiet),
            _ => {}
        }
        if self.state == BulkState::Stopping && self.claims.is_empty() {
            self.finish(self.ends_as.unwrap_or(BulkState::Cancelled), now);
        }
        let is_sent = self.counts.waiting == 0 && self.claims.is_empty();
        if matches!(self.state, BulkState::Running | BulkState::Paused)
            && is_sent
            && (self.counts.awaited() == 0 || is_quiet)
        {
            self.finish(BulkState::Finished, now);
        }
        if self.state.is_final() && is_quiet {
            self.counts.not_ended += self.counts.awaited();
        }
    }

    fn judge_failures(&mut self, is_quiet: bool) {
        let ended = self.counts.succeeded + self.counts.failed;
        let canary = u64::from(self.options.canary);
        let has_canary_ended = self.canary_is_out() && self.counts.claimed == 0 && self.counts.awaited() == 0;
        let least = match canary {
            0 => LEAST_SAMPLE,
            _ if has_canary_ended => 1,
            canary => canary.min(LEAST_SAMPLE),
        };
        if let Some(limit) = self.options.stop_above_percent
            && ended >= least
            && self.counts.failed * 100 > u64::from(limit) * ended
        {
            let why = format!(
                "{} of the {ended} retried tasks that have ended failed again; the limit is {limit} %",
                self.counts.failed
            );
            self.stop(BulkState::Stopped, Some(why));
        } else if has_canary_ended {
            self.canary_passed = true;
        } else if self.canary_is_out() && is_quiet && self.state == BulkState::Running {
            self.state = BulkState::Paused;
            self.reason = Some("the retried tasks of the canary have not ended within an hour".to_owned());
        }
    }

    /// All tasks of the canary were sent, and it has not passed.
    fn canary_is_out(&self) -> bool {
        !self.canary_passed && self.counts.out() >= u64::from(self.options.canary)
    }

    fn stop(&mut self, ends_as: BulkState, reason: Option<String>) {
        self.state = BulkState::Stopping;
        self.ends_as = Some(ends_as);
        self.reason = reason;
    }

    fn finish(&mut self, state: BulkState, now: Timestamp) {
        self.state = state;
        self.ends_as = None;
        self.finished_at = Some(now);
        self.absent.clear();
    }

    /// How much of the pace has not been used, in microseconds: at most a second's worth, and at least what one task takes.
    fn unused(&self, now: Timestamp) -> i64 {
        let rate = i64::from(self.options.rate_per_minute.unwrap_or(MAX_RATE).max(1));
        now.0.saturating_sub(self.paced_until.0).clamp(0, SECOND.max((MINUTE + rate - 1) / rate))
    }
}

#[cfg(test)]
mod tests;
