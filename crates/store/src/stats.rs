//! Statistics over time.

use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;

/// Most items that one call may ask for.
pub const MAX_POINTS: usize = 1_500;

/// Which statistics. Windows and steps are whole minutes.
///
/// Where steps are whole days, hours or tens of minutes, the first begins with one (UTC). Where the window begins before the
/// statistics of minutes that are still kept, steps are whole hours or, before those of hours, whole days.
#[derive(Clone, Debug)]
pub struct StatsQuery {
    /// Project.
    pub project: u64,
    /// From, rounded down.
    pub since: Timestamp,
    /// To, exclusive.
    pub until: Timestamp,
    /// Minutes per item, at least 1; longer where only longer ones are kept.
    pub step_minutes: i64,
    /// Only this task type.
    pub name: Option<String>,
    /// Only this queue.
    pub queue: Option<String>,
}

/// What happened in one step.
#[derive(Clone, Debug)]
pub struct StatsPoint {
    /// Where the step begins.
    pub ts: Timestamp,
    /// What happened.
    pub rollup: Rollup,
}

/// What happened to one task type.
#[derive(Clone, Debug)]
pub struct TaskTypeStats {
    /// Task type.
    pub name: String,
    /// What happened.
    pub rollup: Rollup,
}
