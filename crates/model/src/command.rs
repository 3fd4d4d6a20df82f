//! Commands: what people ask agents to do, at most once.

use crate::Timestamp;

/// Who gave a command that the brain gave by itself. People's names begin with what they came with.
pub const BRAIN: &str = "taskplane";
/// The only command that the brain gives by itself: it asks, and changes nothing.
pub const INQUIRY: &str = "query_state";

/// How a command stands. The number is stored: never renumber, only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CommandStatus {
    /// Recorded, not yet sent.
    Pending = 0,
    /// Handed to the agent's connection.
    Sent = 1,
    /// The agent did it.
    Succeeded = 2,
    /// It was not done; the error says why.
    Failed = 3,
    /// The agent did not answer in time. It may have been executed.
    TimedOut = 4,
    /// Delivered, but the agent went away before answering. It may have been executed.
    Unknown = 5,
}

impl CommandStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sent, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Unknown];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// True when it will not change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Sent)
    }
}

/// A command and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// UUIDv7.
    pub id: String,
    /// Wire name, such as `retry_task`.
    pub cmd: String,
    /// Arguments as they may be kept: values supplied by people are left out.
    pub args: serde_json::Value,
    /// Name of the agent it went to.
    pub agent: Option<String>,
    /// How it stands.
    pub status: CommandStatus,
    /// The agent's result.
    pub result: Option<serde_json::Value>,
    /// Error code, such as `no_original_payload`.
    pub error: Option<String>,
    /// What happened, for people.
    pub message: Option<String>,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Who gave it.
    pub created_by: String,
    /// The task that it is about, where it is about one.
    pub task_id: Option<String>,
}

impl Command {
    /// True for a question that the brain asked by itself. Nobody did anything: it is not in the audit log, and lists leave it
    /// out unless they are asked for it.
    pub fn is_inquiry(&self) -> bool {
        self.cmd == INQUIRY && self.created_by == BRAIN
    }

    /// What it is about, as the audit log names it: a task's id, or a schedule's.
    pub fn subject(&self) -> Option<String> {
        let schedule = || self.args.get("scheduler").and_then(|_| self.args.get("id")?.as_str());
        self.task_id.clone().or_else(|| schedule().map(str::to_owned))
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandOutcome {
    /// A final status.
    pub status: CommandStatus,
    /// The agent's result.
    pub result: Option<serde_json::Value>,
    /// Error code.
    pub error: Option<String>,
    /// What happened, for people.
    pub message: Option<String>,
}

impl CommandOutcome {
    /// A failure with a stable code and a sentence.
    pub fn failed(error: &str, message: impl Into<String>) -> Self {
        Self {
            status: CommandStatus::Failed,
            result: None,
            error: Some(error.to_owned()),
            message: Some(message.into()),
        }
    }

    /// An end that nobody can vouch for.
    pub fn uncertain(status: CommandStatus, message: impl Into<String>) -> Self {
        Self { status, result: None, error: None, message: Some(message.into()) }
    }
}
