use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The names of commands.
pub mod commands {
    /// Publish a task again.
    pub const RETRY_TASK: &str = "retry_task";
    /// Cancel a task.
    pub const CANCEL_TASK: &str = "cancel_task";
    /// Publish many tasks again.
    pub const BULK_RETRY: &str = "bulk_retry";
    /// Say with which arguments tasks would be published again, and publish nothing.
    pub const PREVIEW_RETRY: &str = "preview_retry";
    /// Ask the engine itself how tasks stand.
    pub const QUERY_STATE: &str = "query_state";
    /// Give an order to workers.
    pub const WORKER_CONTROL: &str = "worker_control";
    /// Drop the waiting messages of a queue.
    pub const PURGE_QUEUE: &str = "purge_queue";
    /// Publish a new task.
    pub const ENQUEUE_TASK: &str = "enqueue_task";
    /// Make a schedule.
    pub const SCHEDULE_CREATE: &str = "schedule_create";
    /// Change a schedule.
    pub const SCHEDULE_UPDATE: &str = "schedule_update";
    /// Remove a schedule.
    pub const SCHEDULE_DELETE: &str = "schedule_delete";
    /// Pause a schedule, or resume it.
    pub const SCHEDULE_PAUSE: &str = "schedule_pause";
    /// Enqueue a schedule's task now, besides its times.
    pub const SCHEDULE_RUN_NOW: &str = "schedule_run_now";
    /// Rebuild the agent's adapters and reconnect.
    pub const RESTART_AGENT: &str = "restart_agent";
}

/// Something for the agent to do, at most once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Command {
    /// Names the command; opaque to the agent. Ours are UUIDs.
    pub cmd_id: String,
    /// What to do. An agent that does not know it answers `unsupported_command`.
    pub cmd: String,
    /// Arguments; their form depends on `cmd`.
    #[serde(default)]
    pub args: Value,
}

/// The answer to a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandResult {
    /// The `cmd_id` of the command.
    pub cmd_id: String,
    /// True when it was done.
    pub ok: bool,
    /// What came of it; its form depends on the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// When it was not done: a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was not done: what happened, to what, and what to do, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far a command has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandProgress {
    /// The `cmd_id` of the command.
    pub cmd_id: String,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}
