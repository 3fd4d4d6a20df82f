//! Runs of schedules: when one was expected, what became of it, and how that is known.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Names a schedule in its project: the scheduler and the scheduler's own id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleKey {
    /// The scheduler.
    pub scheduler: String,
    /// Stable within its scheduler.
    pub id: String,
}

/// What is known of an expected run. Stored by name: never rename.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its time has come, and there is no reason yet to expect a sign of it.
    #[default]
    Due,
    /// A sign of it should have been seen by now; it may still come.
    Overdue,
    /// It ran in time.
    Seen,
    /// It ran, but late.
    Late,
    /// It did not run.
    Missed,
    /// Nobody can know: no agent that sees this scheduler was connected.
    Unknown,
}

impl RunState {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Overdue => "overdue",
            Self::Seen => "seen",
            Self::Late => "late",
            Self::Missed => "missed",
            Self::Unknown => "unknown",
        }
    }

    /// True when it is known that it ran.
    pub fn has_run(self) -> bool {
        matches!(self, Self::Seen | Self::Late)
    }
}

/// How it is known that a schedule has run. Stored by name: never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEvidence {
    /// The scheduler's own record names this time.
    LastRunAt,
    /// The scheduler has counted it: between two times that it named, so many runs lie.
    RunCount,
    /// A task of the schedule's type and queue, and not with other arguments, was sent, received or started then.
    Task,
}

impl RunEvidence {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastRunAt => "last_run_at",
            Self::RunCount => "run_count",
            Self::Task => "task",
        }
    }
}

/// A run that a schedule should have had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRun {
    /// When it should have been; unique within its schedule.
    pub due: Timestamp,
    /// What is known of it.
    pub state: RunState,
    /// When it ran, where that is known.
    pub seen_at: Option<Timestamp>,
    /// How that is known.
    pub evidence: Option<RunEvidence>,
    /// The engine's id of the task, where it was found.
    pub task_id: Option<String>,
    /// The task of the run before had not ended when this one began.
    #[serde(default)]
    pub overlapping: bool,
}

/// What the expectations of a schedule are made from; another one is another beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedTiming {
    /// `crontab`, `interval`, `clocked` or `solar`.
    pub kind: String,
    /// In the notation of its kind.
    pub expression: String,
    /// IANA name of its zone.
    pub timezone: Option<String>,
    /// False while it is paused.
    pub enabled: bool,
    /// Nothing is expected before.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// Nothing is expected after.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

impl WatchedTiming {
    /// True when the schedule may run then.
    pub fn allows(&self, at: Timestamp) -> bool {
        self.starts_at.is_none_or(|start| at >= start) && self.expires_at.is_none_or(|end| at <= end)
    }
}

/// How far the runs of a schedule have been judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduleWatch {
    /// What is expected.
    pub timing: WatchedTiming,
    /// Since when that has been in force, as far as it is known here. Nothing before it is expected.
    pub since: Timestamp,
    /// All expected runs up to here are in `open`, or are settled.
    pub cursor: Timestamp,
    /// What an interval is counted from.
    pub anchor: Timestamp,
    /// The scheduler's record, as it was last told.
    pub last_run_at: Option<Timestamp>,
    /// The scheduler's count, as it was last told.
    pub total_run_count: Option<u64>,
    /// When it last ran, by any evidence.
    pub last_seen_at: Option<Timestamp>,
    /// The settled run with the latest due time.
    pub last: Option<ScheduleRun>,
    /// How long after each of the latest runs the scheduler's record of it was told, in seconds.
    #[serde(default)]
    pub delays: Vec<u32>,
    /// Expected runs that are not settled, and those of which more may still become known; ascending.
    pub open: Vec<ScheduleRun>,
    /// Since when no agent tells of the schedule any more.
    #[serde(default)]
    pub gone_since: Option<Timestamp>,
}
