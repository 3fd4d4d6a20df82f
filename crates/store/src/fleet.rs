//! What agents tell besides batches, and how it is read.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_model::agent::BufferReport;
use taskplane_model::schedule::Schedule;
use taskplane_model::schedule_run::{ScheduleKey, ScheduleRun, ScheduleWatch};

/// An agent was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Number of the agent.
    pub agent: u64,
    /// When.
    pub at: Timestamp,
    /// Its buffer, if it told.
    pub buffer: Option<BufferReport>,
    /// What its adapters say, if it told.
    pub adapters: Option<BTreeMap<String, String>>,
}

/// What an agent told of a scheduler.
#[derive(Clone, Debug)]
pub struct SchedulesTold {
    /// Project.
    pub project: u64,
    /// Number of the agent.
    pub agent: u64,
    /// The scheduler.
    pub scheduler: String,
    /// True when `schedules` are all there are.
    pub full: bool,
    /// New and changed ones; of several with one id, the last counts.
    pub schedules: Vec<Schedule>,
    /// Ids of those that are gone.
    pub removed: Vec<String>,
}

/// A schedule as it was last told.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSchedule {
    /// The scheduler.
    pub scheduler: String,
    /// Name of the agent that told.
    pub agent: String,
    /// Its number.
    pub agent_id: u64,
    /// When the agent last told of it.
    pub synced_at: Timestamp,
    /// What it told.
    pub schedule: Schedule,
}

/// What has become known of the runs of a schedule.
#[derive(Clone, Debug)]
pub struct ScheduleNews {
    /// The schedule.
    pub key: ScheduleKey,
    /// How far it has been judged; `None` forgets the schedule and all its runs.
    pub watch: Option<ScheduleWatch>,
    /// Runs that are new or known better; one for each due time.
    pub runs: Vec<ScheduleRun>,
    /// Due times of runs that turned out not to have been expected.
    pub unexpected: Vec<Timestamp>,
}

/// An event that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedEvent {
    /// Number.
    pub id: u64,
    /// Name of the agent that sent it.
    pub agent: String,
    /// When.
    pub received_at: Timestamp,
    /// What is wrong with it.
    pub reason: String,
    /// Its text, possibly cut.
    pub raw: String,
}
