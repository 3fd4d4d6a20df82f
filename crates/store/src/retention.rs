//! How long things are kept, and how much room they take.

use taskplane_model::time::MINUTE;
use taskplane_model::{TaskState, Timestamp};

/// What is younger is never dropped, in microseconds. A caller of [`crate::RetentionStore`] never asks for more.
pub const YOUNGEST: i64 = 60 * MINUTE;

/// What is kept for a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept {
    /// Raw batches, by when they came.
    Events,
    /// Tasks that succeeded or were revoked, by first sight. Their part in the statistics stays.
    Tasks,
    /// All other tasks: failed, rejected, lost, and those that have not ended.
    Failures,
    /// Statistics of minutes.
    Minutes,
    /// Statistics of hours.
    Hours,
    /// Statistics of days.
    Days,
    /// Audit entries, commands that have ended, events that were not understood, and runs of schedules.
    Records,
    /// Sessions and sign-in links, by when they expired.
    SignIns,
}

impl Kept {
    /// All of them, in the order in which they are dropped.
    pub const ALL: [Self; 8] = [
        Self::SignIns,
        Self::Records,
        Self::Events,
        Self::Tasks,
        Self::Failures,
        Self::Minutes,
        Self::Hours,
        Self::Days,
    ];

    /// Which of [`Self::Tasks`] and [`Self::Failures`] a task in this state is.
    pub fn of_state(state: TaskState) -> Self {
        match state {
            TaskState::Succeeded | TaskState::Revoked => Self::Tasks,
            _ => Self::Failures,
        }
    }
}

/// What one step of dropping came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Rows dropped.
    pub count: u64,
    /// There may be more to drop.
    pub more: bool,
}

/// How much room a store takes, and how far back it reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageReport {
    /// Bytes that data takes up, indexes and statistics included. Counted on SQLite, estimated on PostgreSQL.
    pub used_bytes: u64,
    /// Bytes that the database takes up on disk, without its write-ahead log.
    pub file_bytes: u64,
    /// Bytes inside of it that are free, and are used before it grows.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log; `None` where it is not the store's own.
    pub log_bytes: Option<u64>,
    /// True when free space is given back to the file system while the store is in use.
    pub gives_back: bool,
    /// The oldest of what is kept.
    pub oldest: Oldest,
}

/// The oldest of what is kept; `None` where there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oldest {
    /// When the oldest raw batch came.
    pub events: Option<Timestamp>,
    /// First sight of the oldest of the tasks that are not kept longer than others.
    pub tasks: Option<Timestamp>,
    /// First sight of the oldest task of all.
    pub failures: Option<Timestamp>,
    /// The first minute that has statistics of its own.
    pub minutes: Option<Timestamp>,
    /// The first hour that has.
    pub hours: Option<Timestamp>,
    /// The first day that has.
    pub days: Option<Timestamp>,
}
