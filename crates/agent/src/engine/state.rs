//! What an engine says of tasks when it is asked.

use std::collections::BTreeMap;

use serde_json::Value;
use taskplane_model::Timestamp;

/// The state of a task as far as the engine can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FoundState {
    /// Finished well.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Cancelled or expired.
    Revoked,
    /// Failed, and will run again.
    Retrying,
    /// A worker runs it.
    Started,
    /// Delivered to a worker that has not begun it.
    Received,
    /// Its message waits.
    Pending,
    /// Nothing was found: neither an end nor a sign of life.
    #[default]
    Unknown,
}

impl FoundState {
    /// Its name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
            Self::Retrying => "retrying",
            Self::Started => "started",
            Self::Received => "received",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a state was found, or can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundIn {
    /// The result backend.
    ResultBackend,
    /// A worker holds the task.
    Worker,
    /// Its message waits in a queue.
    Queue,
    /// Its message is delivered and not acknowledged.
    Unacked,
}

impl FoundIn {
    /// Its name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::ResultBackend => "result_backend",
            Self::Worker => "worker",
            Self::Queue => "queue",
            Self::Unacked => "unacked",
        }
    }
}

/// What was found of one task. Values are **not redacted**.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundTask {
    /// Its state.
    pub state: FoundState,
    /// Where that was found; `None` when nothing was.
    pub found_in: Option<FoundIn>,
    /// The worker that holds it, or ended it.
    pub worker: Option<String>,
    /// The queue its message is of.
    pub queue: Option<String>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its result.
    pub result: Option<Value>,
    /// Exception type.
    pub exception: Option<String>,
    /// Exception message.
    pub exception_message: Option<String>,
    /// What was looked at and what that showed, for people; a clause each.
    pub evidence: Vec<String>,
    /// Of a task that was not found: where it may be all the same, because not everything there could be looked at.
    pub unseen: Vec<FoundIn>,
}

/// What was found of the tasks that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundTasks {
    /// By id; each that was asked for is there.
    pub tasks: BTreeMap<String, FoundTask>,
    /// How many workers answered.
    pub workers_answered: usize,
    /// Workers believed to be up that did not. What they hold is not known.
    pub workers_silent: Vec<String>,
}
