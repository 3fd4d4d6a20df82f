//! Queries for tasks, and their answers.

use taskplane_model::filter::TaskFilter;
use taskplane_model::{TaskRecord, TaskState, Timestamp};

/// Counts are exact up to here, and say "more" beyond it, or where looking for words and arguments would have taken too long.
pub const COUNT_BOUND: u64 = 10_000;

/// Which tasks, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct TaskQuery {
    /// Project.
    pub project: u64,
    /// Which tasks.
    pub filter: TaskFilter,
    /// Most tasks to return.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<i64>,
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTask {
    /// Position in the order of first sight; unique.
    pub key: i64,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// Engine.
    pub engine: String,
    /// The engine's id.
    pub task_id: String,
    /// Name of an agent that told of it.
    pub agent: Option<String>,
    /// What is known.
    pub record: TaskRecord,
}

/// One page of tasks, newest first.
#[derive(Clone, Debug, Default)]
pub struct TaskPage {
    /// The tasks.
    pub items: Vec<StoredTask>,
    /// Where the next page begins, if there may be one.
    pub next: Option<i64>,
}

/// Tasks by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// One entry per state that has been counted: how many, at most [`COUNT_BOUND`], and whether there are more.
    pub by_state: Vec<(TaskState, u64, bool)>,
}

/// A batch as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct RawBatch {
    /// Name of the agent.
    pub agent: String,
    /// Position in its stream.
    pub seq: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// The events array as it came, zlib-compressed.
    pub compressed: Vec<u8>,
}

/// A workflow.
#[derive(Clone, Debug, Default)]
pub struct TaskTree {
    /// Its tasks, oldest first.
    pub tasks: Vec<StoredTask>,
    /// True when it has more tasks than were asked for.
    pub truncated: bool,
}

/// A page of a list with an opaque cursor.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Most items to return.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
}
