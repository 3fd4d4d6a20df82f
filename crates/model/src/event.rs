//! Task events: what happened to a task, as the fold sees it.

use crate::Timestamp;

/// What happened to a task. The number is stored: never renumber, only append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskEventKind {
    /// Published to the broker.
    #[default]
    Sent = 0,
    /// A worker took it from the broker.
    Received = 1,
    /// Execution began.
    Started = 2,
    /// The task reported progress.
    Progress = 3,
    /// Failed, will run again.
    Retry = 4,
    /// The worker refused the message.
    Rejected = 5,
    /// Evidence says that it will never finish.
    Lost = 6,
    /// Cancelled or expired.
    Revoked = 7,
    /// Failed, will not be retried.
    Failed = 8,
    /// Finished well.
    Succeeded = 9,
}

impl TaskEventKind {
    /// The name on the wire, `task_sent` and so on.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Sent => "task_sent",
            Self::Received => "task_received",
            Self::Started => "task_started",
            Self::Progress => "task_progress",
            Self::Retry => "task_retry",
            Self::Rejected => "task_rejected",
            Self::Lost => "task_lost",
            Self::Revoked => "task_revoked",
            Self::Failed => "task_failed",
            Self::Succeeded => "task_succeeded",
        }
    }

    /// Reads a wire name, aliases included. `None` for event types that are not about a task's life cycle.
    pub fn from_wire_name(name: &str) -> Option<Self> {
        Some(match name {
            "task_sent" => Self::Sent,
            "task_received" => Self::Received,
            "task_started" => Self::Started,
            "task_progress" => Self::Progress,
            "task_retry" | "task_retried" => Self::Retry,
            "task_rejected" => Self::Rejected,
            "task_revoked" => Self::Revoked,
            "task_failed" | "task_failure" => Self::Failed,
            "task_succeeded" | "task_success" => Self::Succeeded,
            _ => return None,
        })
    }

    /// Place in the life cycle of one attempt: of two events, the higher rank tells the newer state.
    /// The four ends share one rank, so that time decides between them.
    pub fn rank(self) -> u8 {
        match self {
            Self::Sent => 0,
            Self::Received => 1,
            Self::Started | Self::Progress => 2,
            Self::Retry | Self::Rejected | Self::Lost => 3,
            Self::Revoked | Self::Failed | Self::Succeeded => 4,
        }
    }

    /// True for the events that end an attempt.
    pub fn ends_attempt(self) -> bool {
        self.rank() >= 3
    }
}

/// How an event is known that no event of the engine's own told. The number is stored, from 1 to 3: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KnownBy {
    /// The result was published when it was stored.
    ResultChannel = 1,
    /// The result lay in the backend.
    ResultBackend = 2,
    /// A worker said so when it was asked.
    Inspection = 3,
}

impl KnownBy {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::ResultChannel, Self::ResultBackend, Self::Inspection];

    /// Its name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::ResultChannel => "result_channel",
            Self::ResultBackend => "result_backend",
            Self::Inspection => "inspection",
        }
    }

    /// Reads a wire name.
    pub fn from_wire_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known_by| known_by.wire_name() == name)
    }

    /// Reads a stored number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known_by| *known_by as u64 == number)
    }
}

/// One task event, ready to fold. Text is borrowed from the frame it came in.
///
/// JSON values (`args`, `kwargs`, `result`) are compact JSON text, already redacted by the agent.
#[derive(Clone, Debug, Default)]
pub struct TaskEvent<'a> {
    /// What happened.
    pub kind: TaskEventKind,
    /// When, by the observer's clock (or the receive time where that was absurd).
    pub ts: Timestamp,
    /// Attempt number, 0-based, where the observer knows it.
    pub attempt: Option<u32>,
    /// Task type, such as `billing.charge`.
    pub name: Option<&'a str>,
    /// Positional arguments as JSON text.
    pub args: Option<&'a str>,
    /// Keyword arguments as JSON text.
    pub kwargs: Option<&'a str>,
    /// Queue it waits in or came from.
    pub queue: Option<&'a str>,
    /// Routing key it was published with.
    pub routing_key: Option<&'a str>,
    /// Exchange it was published to.
    pub exchange: Option<&'a str>,
    /// Worker that held it.
    pub worker: Option<&'a str>,
    /// Earliest time to run.
    pub eta: Option<Timestamp>,
    /// Time after which it must not run.
    pub expires: Option<Timestamp>,
    /// Priority as the engine counts it.
    pub priority: Option<i64>,
    /// First task of the workflow.
    pub root_id: Option<&'a str>,
    /// Task that sent this one.
    pub parent_id: Option<&'a str>,
    /// Group it is a member of.
    pub group_id: Option<&'a str>,
    /// Chord body that waits for it.
    pub chord_id: Option<&'a str>,
    /// Run time in microseconds, as the worker measured it.
    pub runtime_us: Option<u64>,
    /// Result as JSON text.
    pub result: Option<&'a str>,
    /// Exception type.
    pub exception: Option<&'a str>,
    /// Exception message.
    pub exception_message: Option<&'a str>,
    /// Traceback text.
    pub traceback: Option<&'a str>,
    /// Signal that ended it.
    pub signal: Option<&'a str>,
    /// It was running and was killed.
    pub terminated: bool,
    /// It was dropped because it had expired.
    pub expired: bool,
    /// It went back to the queue.
    pub requeue: bool,
    /// How it is known, if not by an event of the engine's own.
    pub known_by: Option<KnownBy>,
    /// Progress: units done.
    pub done: Option<f64>,
    /// Progress: units in all.
    pub total: Option<f64>,
    /// Progress: what it is doing.
    pub note: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_name_the_same_events() {
        for (alias, name) in
            [("task_success", "task_succeeded"), ("task_failure", "task_failed"), ("task_retried", "task_retry")]
        {
            assert_eq!(TaskEventKind::from_wire_name(alias), TaskEventKind::from_wire_name(name));
        }
        assert_eq!(TaskEventKind::from_wire_name("worker_online"), None);
        // Only the brain may say that a task is lost.
        assert_eq!(TaskEventKind::from_wire_name("task_lost"), None);
    }
}
