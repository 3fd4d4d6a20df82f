//! The states of a task.

use std::fmt;

/// Where a task is in its life. The number is stored: never renumber, only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TaskState {
    /// Sent, and no worker has it yet.
    Pending = 0,
    /// A worker holds it and has not begun.
    Received = 1,
    /// Running.
    Started = 2,
    /// Failed once or more, and waiting for the next attempt.
    Retrying = 3,
    /// Finished well.
    Succeeded = 4,
    /// Failed for good.
    Failed = 5,
    /// Cancelled or expired.
    Revoked = 6,
    /// Refused by the worker.
    Rejected = 7,
    /// Evidence says that it will never finish.
    Lost = 8,
}

impl TaskState {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Received,
        Self::Started,
        Self::Retrying,
        Self::Succeeded,
        Self::Failed,
        Self::Revoked,
        Self::Rejected,
        Self::Lost,
    ];

    /// The name in the API, the filter language and the dashboard.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Received => "received",
            Self::Started => "started",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
        }
    }

    /// Reads a state's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Reads a stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// True when nothing more is expected to happen.
    pub fn is_final(self) -> bool {
        self >= Self::Succeeded
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_round_trip() {
        for (i, state) in TaskState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, i);
            assert_eq!(TaskState::from_name(state.name()), Some(state));
            assert_eq!(TaskState::from_number(state as u8), Some(state));
        }
        assert_eq!(TaskState::from_number(99), None);
    }
}
