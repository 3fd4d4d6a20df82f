//! Bulk jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taskplane_model::{Timestamp, bulk};
use utoipa::ToSchema;

use super::{object, page};

/// Which tasks: the fields of `GET tasks`. All must be met.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkFilter {
    /// Filter language.
    #[schema(example = "state:failed name:billing.*")]
    pub q: Option<String>,
    /// States, comma-separated.
    #[schema(example = "failed")]
    pub state: Option<String>,
    /// Task types, comma-separated; `*` stands for anything.
    pub name: Option<String>,
    /// Queues, comma-separated; `*` stands for anything.
    pub queue: Option<String>,
    /// Workers, comma-separated; `*` stands for anything.
    pub worker: Option<String>,
    /// First seen at or after: RFC 3339, or an age such as `2h`.
    pub since: Option<String>,
    /// First seen before: as `since`.
    pub until: Option<String>,
    /// With one of these ids, 1 to 1,000: a selection. Not a field of `GET tasks`.
    pub ids: Option<Vec<String>>,
}

/// A job to make, or to try out.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBulkJob {
    /// What to do with each task: `retry`.
    #[schema(example = "retry")]
    pub cmd: String,
    /// With which tasks.
    pub filter: BulkFilter,
    /// Only say what would be done: nothing is retried.
    #[serde(default)]
    pub dry_run: bool,
    /// Retry tasks in these states, too; otherwise only failed, revoked, rejected and lost ones are.
    #[serde(default)]
    pub include: Vec<String>,
    /// Make the job only if it has exactly so many tasks: what the dry run has said under `retryable`.
    pub expected_count: Option<u64>,
    /// Retry so many tasks first, and go on when they have ended and not too many have failed again (at most 1,000).
    pub canary: Option<u32>,
    /// Retry at most so many tasks a minute (1 to 60,000).
    pub rate_per_minute: Option<u32>,
    /// Stop when more than so many percent of the retried tasks that have ended failed again (0 to 100). With a canary normally 50,
    /// without one never.
    pub stop_above_percent: Option<u8>,
    /// Of several requests with one key, only the first makes a job; the others answer with it.
    pub idempotency_key: Option<String>,
}

/// How many tasks share something.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BulkShare {
    /// What they share; null where it is not known.
    pub value: Option<String>,
    /// How many.
    pub count: u64,
}

/// How many tasks cannot be retried for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BulkReason {
    /// The reason, for programs.
    #[schema(example = "already_retried")]
    pub code: String,
    /// How many.
    pub count: u64,
    /// The reason, for people.
    pub message: Option<String>,
}

/// Where an agent would take the arguments of tasks from.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BulkSource {
    /// `message`, `payload_store`, `result`, `worker`, `events` or `supplied`.
    pub source: String,
    /// They are exactly the original ones.
    pub lossless: bool,
    /// How many tasks.
    pub count: u64,
}

/// What agents know of the original arguments.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BulkPreview {
    /// Tasks that were answered for.
    pub asked: u64,
    /// True when only some of the tasks were asked about, evenly chosen.
    pub is_sample: bool,
    /// Of those, where their arguments would come from.
    pub by_source: Vec<BulkSource>,
    /// Of those, what cannot be retried.
    pub cannot: Vec<BulkReason>,
    /// Tasks of which it is not known before it is tried: their agent is away, or cannot say.
    pub not_known: u64,
}

/// What a job would do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BulkDryRun {
    /// Tasks that the filter means.
    pub total: u64,
    /// True when there are more: a job takes the newest 100,000.
    pub truncated: bool,
    /// Tasks that a job would have.
    pub retryable: u64,
    /// The others, by why.
    pub not_retryable: Vec<BulkReason>,
    /// Of those that a job would have: their agent is not connected now. They would wait for it.
    pub agent_offline: u64,
    /// All that can be retried by state, by task type, the 50 most frequent ones.
    pub by_name: Vec<BulkShare>,
    /// Further task types.
    pub other_names: u64,
    /// All, by state.
    pub by_state: Vec<BulkShare>,
    /// All that can be retried by state, by queue, the 50 most frequent ones.
    pub by_queue: Vec<BulkShare>,
    /// What agents know of the original arguments.
    pub preview: BulkPreview,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkState {
    /// Its tasks are being noted; nothing has been sent.
    Preparing,
    /// It sends, or waits for something.
    Running,
    /// It sends nothing until it is resumed.
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

impl From<bulk::BulkState> for BulkState {
    fn from(state: bulk::BulkState) -> Self {
        match state {
            bulk::BulkState::Preparing => Self::Preparing,
            bulk::BulkState::Running => Self::Running,
            bulk::BulkState::Paused => Self::Paused,
            bulk::BulkState::Stopping => Self::Stopping,
            bulk::BulkState::Finished => Self::Finished,
            bulk::BulkState::Cancelled => Self::Cancelled,
            bulk::BulkState::Stopped => Self::Stopped,
        }
    }
}

/// What has become of a job's tasks.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BulkCounts {
    /// Tasks of the job.
    pub total: u64,
    /// Not sent yet; in a job that has ended, never sent.
    pub waiting: u64,
    /// Sent, and not answered.
    pub claimed: u64,
    /// Published again.
    pub accepted: u64,
    /// Not retried; `refused_by` says why.
    pub refused: u64,
    /// Nobody knows whether they were retried; they are not sent again.
    pub unknown: u64,
    /// Of those published again: have not ended.
    pub awaited: u64,
    /// Of those published again: succeeded.
    pub succeeded: u64,
    /// Of those published again: failed.
    pub failed: u64,
    /// Of those published again: revoked.
    pub revoked: u64,
    /// Of those published again: had not ended when they were waited for no longer.
    pub not_ended: u64,
}

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BulkJob {
    /// UUIDv7.
    pub id: String,
    /// What is done with each task: `retry`.
    pub cmd: &'static str,
    /// Which tasks were asked for; of a selection, how many (`picked`).
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub filter: Map<String, Value>,
    /// States whose tasks are retried, too.
    pub include: Vec<String>,
    /// How it stands.
    pub state: BulkState,
    /// Why it stands so, where there is more to say.
    pub reason: Option<String>,
    /// What it waits for: `canary`, `agents`, `answers` or `ends`; null when it is sending or does not run.
    pub waits_for: Option<&'static str>,
    /// Names of agents that it waits for.
    pub absent_agents: Vec<String>,
    /// What has become of its tasks.
    pub counts: BulkCounts,
    /// Tasks that were not retried, by code.
    pub refused_by: BTreeMap<String, u64>,
    /// Tasks that the filter meant and that are none of the job's, by code.
    pub left_out: BTreeMap<String, u64>,
    /// True when the filter meant more tasks than a job may have: it has the newest 100,000.
    pub truncated: bool,
    /// Tasks that are retried first.
    pub canary: u32,
    /// Most tasks a minute; null for as fast as the agents answer.
    pub rate_per_minute: Option<u32>,
    /// It stops above so many percent of failures; null for never.
    pub stop_above_percent: Option<u8>,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

impl From<bulk::BulkJob> for BulkJob {
    fn from(job: bulk::BulkJob) -> Self {
        let waits_for = job.waits_for().map(bulk::BulkWait::name);
        let counts = &job.counts;
        Self {
            id: job.id,
            cmd: "retry",
            filter: object(job.filter),
            include: job.include,
            state: job.state.into(),
            reason: job.reason,
            waits_for,
            absent_agents: job.absent,
            counts: BulkCounts {
                total: counts.total,
                waiting: counts.waiting,
                claimed: counts.claimed,
                accepted: counts.accepted,
                refused: counts.refused_in_all(),
                unknown: counts.unknown,
                awaited: counts.awaited(),
                succeeded: counts.succeeded,
                failed: counts.failed,
                revoked: counts.revoked,
                not_ended: counts.not_ended,
            },
            refused_by: job.counts.refused,
            left_out: job.left_out,
            truncated: job.truncated,
            canary: job.options.canary,
            rate_per_minute: job.options.rate_per_minute,
            stop_above_percent: job.options.stop_above_percent,
            created_by: job.created_by,
            created_at: job.created_at,
            finished_at: job.finished_at,
        }
    }
}

page!(BulkJobPage, BulkJob, "A page of bulk jobs, newest first.");

/// A task of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BulkItem {
    /// Engine.
    pub engine: String,
    /// The engine's id.
    pub task_id: String,
    /// Task type.
    pub name: Option<String>,
    /// `waiting`, `claimed`, `accepted`, `refused` or `unknown`.
    pub state: &'static str,
    /// Id of the task that it was published as.
    pub new_task_id: Option<String>,
    /// How that one has ended: `succeeded`, `failed` or `revoked`.
    pub outcome: Option<&'static str>,
    /// Why it was not retried, or why nobody knows, as a code.
    pub code: Option<String>,
    /// The same for people.
    pub message: Option<String>,
}

impl From<bulk::BulkItem> for BulkItem {
    fn from(item: bulk::BulkItem) -> Self {
        let bulk::BulkItem { key: _, engine, task_id, name, state, new_task_id, outcome, code, message } = item;
        let (state, outcome) = (state.name(), outcome.map(bulk::BulkOutcome::name));
        let message = message.or_else(|| code.as_deref().and_then(explain).map(str::to_owned));
        Self { engine, task_id, name, state, new_task_id, outcome, code, message }
    }
}

page!(BulkItemPage, BulkItem, "A page of a job's tasks, oldest first.");

/// What a code means, where it has one meaning.
pub fn explain(code: &str) -> Option<&'static str> {
    Some(match code {
        "already_retried" => "It was retried before.",
        "in_another_job" => "Another job has it in hand, has retried it, or may have.",
        "maybe_retried" => "A retry of it is under way, or nobody knows how it ended.",
        "state_changed" => "It is in another state than when the job was made.",
        "dropped" => "Its retention is over.",
        "too_many_agents" => "Too many different agents have told of these tasks; narrow the filter.",
        "no_original_payload" => {
            "Its original arguments are not to be had any more; retry it with arguments of your own."
        }
        "not_found" => "The agent does not know it.",
        "unsupported_command" => "The agent cannot retry tasks.",
        "timed_out" => "The agent did not answer in time; it may have been retried.",
        "agent_went_away" => "The agent went away before it answered; it may have been retried.",
        "not_answered" => "The agent's answer does not name it; it may have been retried.",
        "engine_error" => "The agent could not reach its broker; it may have been retried.",
        "state_pending" => "It waits for a worker.",
        "state_received" => "A worker holds it.",
        "state_started" => "It runs.",
        "state_retrying" => "It waits for its next attempt.",
        "state_succeeded" => "It succeeded; include that state to retry it all the same.",
        _ => return None,
    })
}
