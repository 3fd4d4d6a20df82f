//! Queries for tasks, and their answers.

use taskplane_model::filter::TaskFilter;
use taskplane_model::stuck::evidence_text;
use taskplane_model::task::Mark;
use taskplane_model::{TaskEventKind, TaskRecord, TaskState, Timestamp};

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

/// A task that is to be called lost.
#[derive(Clone, Debug, PartialEq)]
pub struct LostTask {
    /// As it was when it was judged.
    pub judged: StoredTask,
    /// Why, a clause each.
    pub evidence: Vec<String>,
}

impl LostTask {
    /// True when nothing that happened to the task has become known since it was judged.
    pub fn is_still(&self, record: &TaskRecord) -> bool {
        record.marks == self.judged.record.marks && record.progress == self.judged.record.progress
    }

    /// What is added to its record. Its worker's clock may be ahead of ours: what is known of it came before all the same.
    pub fn mark(&self, now: Timestamp) -> Mark {
        let task = self.judged.record.task();
        Mark {
            attempt: Some(task.current().number),
            kind: TaskEventKind::Lost,
            ts: now.max(task.updated_at.plus(1)),
            worker: task.worker().map(str::to_owned),
            exception_message: Some(evidence_text(&self.evidence)),
            ..Mark::default()
        }
    }
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
