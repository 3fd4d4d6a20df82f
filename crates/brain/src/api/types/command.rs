//! Commands.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taskplane_model::{Timestamp, command};
use utoipa::ToSchema;

use super::{object, page};

/// How a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandStatus {
    /// Recorded, not yet sent.
    Pending,
    /// Handed to the agent's connection.
    Sent,
    /// The agent did it.
    Succeeded,
    /// It was not done; the error says why.
    Failed,
    /// The agent did not answer in time. It may have been executed.
    TimedOut,
    /// Delivered, but the agent went away before answering. It may have been executed.
    Unknown,
}

impl From<command::CommandStatus> for CommandStatus {
    fn from(status: command::CommandStatus) -> Self {
        match status {
            command::CommandStatus::Pending => Self::Pending,
            command::CommandStatus::Sent => Self::Sent,
            command::CommandStatus::Succeeded => Self::Succeeded,
            command::CommandStatus::Failed => Self::Failed,
            command::CommandStatus::TimedOut => Self::TimedOut,
            command::CommandStatus::Unknown => Self::Unknown,
        }
    }
}

/// A command and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Command {
    /// UUIDv7.
    pub id: String,
    /// What to do, such as `retry_task`.
    pub cmd: String,
    /// With what. Values that a person put in are not kept.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub args: Map<String, Value>,
    /// The agent that it went to.
    pub agent: Option<String>,
    /// How it stands.
    pub status: CommandStatus,
    /// What came of it.
    pub result: Option<Value>,
    /// Why it was not done, as a code such as `no_original_payload`.
    pub error: Option<String>,
    /// What happened, for people.
    pub message: Option<String>,
    /// When it was given.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Who gave it.
    pub created_by: String,
}

impl From<command::Command> for Command {
    fn from(command: command::Command) -> Self {
        let command::Command {
            id,
            cmd,
            args,
            agent,
            status,
            result,
            error,
            message,
            created_at,
            finished_at,
            created_by,
            task_id: _,
        } = command;
        let (args, status) = (object(args), status.into());
        Self { id, cmd, args, agent, status, result, error, message, created_at, finished_at, created_by }
    }
}

page!(CommandPage, Command, "A page of commands, newest first.");

/// A command to give.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct NewCommand {
    /// What to do: `retry_task`, `cancel_task`, `bulk_retry`, `preview_retry`, `purge_queue`, `schedule_create`, `schedule_update`,
    /// `schedule_delete`, `schedule_pause`, `schedule_run_now` or `restart_agent`.
    #[schema(example = "retry_task")]
    pub cmd: String,
    /// With what; depends on `cmd`.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub args: Map<String, Value>,
    /// The agent that it must go to; normally one that knows the task, queue or schedule is chosen.
    pub agent: Option<String>,
    /// Of several requests with one key, only the first gives a command; the others answer with it.
    pub idempotency_key: Option<String>,
}
