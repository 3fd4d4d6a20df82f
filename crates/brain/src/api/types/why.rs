//! Why a task is not running.

use serde::Serialize;
use taskplane_model::{KnownBy, Timestamp};
use utoipa::ToSchema;

use super::task::TaskState;

/// What keeps a task, or what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyCode {
    /// It is not to run before a time that has not come.
    Eta,
    /// It has expired: a worker that takes it drops it.
    Expired,
    /// Nothing consumes its queue.
    QueueUnconsumed,
    /// Where its message is, is not known.
    QueueUnknown,
    /// Other messages wait in its queue.
    Behind,
    /// The workers that could run it run as many tasks as they can.
    WorkersBusy,
    /// A worker that could run it begins nothing.
    WorkerIdle,
    /// The worker that holds it, or ran it, is gone.
    WorkerGone,
    /// A worker holds it, and has not begun it.
    HeldByWorker,
    /// It failed, and waits for its next attempt.
    WaitsForRetry,
    /// The agent that would tell of it is not connected, or does not reach its broker.
    AgentOffline,
    /// What is known of its queue is old.
    SampleOld,
    /// It runs.
    Running,
    /// It runs for much longer than others of its type.
    RunningLong,
    /// Its ETA is further away than its broker waits before it delivers it again.
    EtaBeyondVisibility,
    /// No agent watches its engine.
    NoAgent,
}

/// What a reason does to the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyRole {
    /// While it is so, the task does not run.
    Blocks,
    /// The task has to wait for it.
    Delays,
    /// Good to know.
    Context,
}

/// How a reason is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyKnownBy {
    /// A sample of the queue.
    QueueSample,
    /// What workers said of themselves.
    WorkerHeartbeat,
    /// Events of the task.
    TaskEvents,
    /// What tasks like it did before.
    Statistics,
    /// The agent was asked just now.
    Inquiry,
    /// The brain's own connections.
    AgentConnection,
    /// The result of the task, on the channel where results are announced.
    ResultChannel,
    /// The result of the task, in the result backend.
    ResultBackend,
    /// A worker said so of the task when the agent asked it.
    Inspection,
}

/// What is known otherwise than by an event of the engine's own is told by one.
impl From<Option<KnownBy>> for WhyKnownBy {
    fn from(known_by: Option<KnownBy>) -> Self {
        match known_by {
            None => Self::TaskEvents,
            Some(KnownBy::ResultChannel) => Self::ResultChannel,
            Some(KnownBy::ResultBackend) => Self::ResultBackend,
            Some(KnownBy::Inspection) => Self::Inspection,
        }
    }
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WhyReason {
    /// What it is.
    pub code: WhyCode,
    /// In a sentence or two.
    #[schema(example = "No worker consumes the queue emails, in which 34 messages wait.")]
    pub text: String,
    /// What it does to the task.
    pub role: WhyRole,
    /// How it is known.
    pub known_by: WhyKnownBy,
    /// When it was last known to be so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub known_at: Option<Timestamp>,
    /// Since when it is so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
}

/// What the agent found when it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Inquiry {
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// The state by what was found; `unknown` where nothing was, or nobody answered.
    #[schema(example = "pending")]
    pub state: String,
    /// Where it was found: `result_backend`, `worker`, `queue` or `unacked`.
    #[schema(example = "queue")]
    pub found_in: Option<String>,
    /// What was looked at, in clauses; or why there is no answer.
    pub evidence: Vec<String>,
    /// Workers that should have answered, and did not.
    pub workers_silent: Vec<String>,
}

/// Why a task is not running, or what it does instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Why {
    /// Engine.
    pub engine: String,
    /// The engine's id.
    pub task_id: String,
    /// Its state as it is recorded.
    pub state: TaskState,
    /// The answer in a sentence.
    pub summary: String,
    /// What keeps it: what blocks first. Empty when it has ended.
    pub reasons: Vec<WhyReason>,
    /// What the agent found, if it was asked.
    pub inquiry: Option<Inquiry>,
}
