//! Tasks in lists.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use taskplane_model::{self as model, Timestamp};
use taskplane_store::tasks::{StateCounts, StoredTask};
use utoipa::ToSchema;

use super::{json_value, ms, page};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Sent, and no worker has it yet.
    Pending,
    /// A worker holds it and has not begun.
    Received,
    /// Running.
    Started,
    /// Failed once or more, and waiting for the next attempt.
    Retrying,
    /// Finished well.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Cancelled or expired.
    Revoked,
    /// Refused by the worker.
    Rejected,
    /// Evidence says that it will never finish.
    Lost,
}

impl From<model::TaskState> for TaskState {
    fn from(state: model::TaskState) -> Self {
        match state {
            model::TaskState::Pending => Self::Pending,
            model::TaskState::Received => Self::Received,
            model::TaskState::Started => Self::Started,
            model::TaskState::Retrying => Self::Retrying,
            model::TaskState::Succeeded => Self::Succeeded,
            model::TaskState::Failed => Self::Failed,
            model::TaskState::Revoked => Self::Revoked,
            model::TaskState::Rejected => Self::Rejected,
            model::TaskState::Lost => Self::Lost,
        }
    }
}

/// How far a task has come, by its own word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Progress {
    /// Units done.
    pub done: f64,
    /// Units in all.
    pub total: Option<f64>,
    /// What it is doing.
    pub note: Option<String>,
}

impl From<&model::task::Progress> for Progress {
    fn from(progress: &model::task::Progress) -> Self {
        let number = |bits: Option<u64>| bits.map(f64::from_bits).filter(|n| n.is_finite());
        Self {
            done: number(progress.done_bits).unwrap_or(0.0),
            total: number(progress.total_bits),
            note: progress.note.clone(),
        }
    }
}

/// A task. Arguments and results are as the agent redacted them.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Task {
    /// Engine, such as `celery`.
    pub engine: String,
    /// The engine's id.
    pub task_id: String,
    /// Task type.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: TaskState,
    /// Queue it waits in or came from.
    pub queue: Option<String>,
    /// Worker that held it last.
    pub worker: Option<String>,
    /// An agent that told of it.
    pub agent: Option<String>,
    /// Latest attempt; 0 for the first.
    pub attempt: u32,
    /// Positional arguments.
    pub args_redacted: Option<Value>,
    /// Keyword arguments.
    pub kwargs_redacted: Option<Value>,
    /// Result.
    pub result_redacted: Option<Value>,
    /// Type of the last exception.
    pub exception: Option<String>,
    /// Message of the last exception.
    pub exception_message: Option<String>,
    /// Traceback of the last exception.
    pub traceback: Option<String>,
    /// When it was published.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Timestamp>,
    /// When a worker took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub received_at: Option<Timestamp>,
    /// When it began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended for good.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// When something last happened.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When the brain first heard of it; lists are in this order.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen_at: Timestamp,
    /// From published (or its eta) to begun, in milliseconds.
    pub wait_ms: Option<f64>,
    /// From begun to ended, in milliseconds.
    pub runtime_ms: Option<f64>,
    /// Earliest time to run.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub eta: Option<Timestamp>,
    /// Time after which it must not run.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// Priority as the engine counts it.
    pub priority: Option<i64>,
    /// First task of its workflow; may be itself.
    pub root_id: Option<String>,
    /// Task that sent it.
    pub parent_id: Option<String>,
    /// Group it is a member of.
    pub group_id: Option<String>,
    /// Chord body that waits for it.
    pub chord_id: Option<String>,
    /// The task that it retries.
    pub retry_of: Option<String>,
    /// The task that retries it.
    pub retried_as: Option<String>,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// An attempt of it was begun more than once: its message was delivered again.
    pub started_twice: bool,
}

impl From<&StoredTask> for Task {
    fn from(stored: &StoredTask) -> Self {
        let record = &stored.record;
        let task = record.task();
        let current = task.current();
        // The last end of any attempt: what a retrying task failed with counts until there is something newer. A task that is lost
        // ended in no exception.
        let end = task.last_end().filter(|end| end.kind != model::TaskEventKind::Lost);
        let json = |text: &Option<String>| text.as_deref().map(json_value);
        let root = |root: &str| if root.is_empty() { stored.task_id.clone() } else { root.to_owned() };
        Self {
            engine: stored.engine.clone(),
            task_id: stored.task_id.clone(),
            name: record.name.clone(),
            state: task.state.into(),
            queue: task.queue().map(str::to_owned),
            worker: task.worker().map(str::to_owned),
            agent: stored.agent.clone(),
            attempt: current.number,
            args_redacted: json(&record.args),
            kwargs_redacted: json(&record.kwargs),
            result_redacted: end.and_then(|end| json(&end.result)),
            exception: end.and_then(|end| end.exception.clone()),
            exception_message: end.and_then(|end| end.exception_message.clone()),
            traceback: end.and_then(|end| end.traceback.clone()),
            // An attempt that nobody saw being published came from the one before.
            sent_at: task.attempts.iter().rev().find_map(|attempt| attempt.sent_at),
            received_at: current.received_at,
            started_at: current.started_at,
            finished_at: current.end.filter(|_| task.state.is_final()).map(|end| end.ts),
            updated_at: if task.updated_at == Timestamp::default() { stored.first_seen } else { task.updated_at },
            first_seen_at: stored.first_seen,
            wait_ms: task.wait_us().map(ms),
            runtime_ms: current.runtime_us().map(ms),
            eta: task.eta(),
            expires: record.expires,
            priority: record.priority,
            root_id: record.root_id.as_deref().map(root),
            parent_id: record.parent_id.clone(),
            group_id: record.group_id.clone(),
            chord_id: record.chord_id.clone(),
            retry_of: record.retry_of.clone(),
            retried_as: record.retried_as.as_ref().map(|retry| retry.value.clone()),
            progress: record.progress.as_ref().map(|progress| Progress::from(&progress.value)),
            started_twice: task.started_twice(),
        }
    }
}

page!(TaskPage, Task, "A page of tasks, newest first. A page may be short and still have a next one.");

/// How many: exact, or at least this many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Count {
    /// How many were counted.
    pub count: u64,
    /// There may be more.
    pub more: bool,
}

/// Tasks by state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TaskCounts {
    /// One entry for every state.
    pub counts: BTreeMap<String, Count>,
    /// All of them.
    pub total: Count,
}

impl From<StateCounts> for TaskCounts {
    fn from(states: StateCounts) -> Self {
        let mut counts: BTreeMap<String, Count> =
            model::TaskState::ALL.into_iter().map(|state| (state.name().to_owned(), Count::default())).collect();
        let mut total = Count::default();
        for (state, count, more) in states.by_state {
            counts.insert(state.name().to_owned(), Count { count, more });
            total.count += count;
            total.more |= more;
        }
        Self { counts, total }
    }
}

/// How two tasks of a workflow belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    /// One sent the other.
    Parent,
    /// One sent the other as a member of a group.
    Group,
    /// One is a member of the chord whose body the other is.
    Chord,
    /// The other is a retry of the one.
    Retry,
}

/// Two tasks of a workflow that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TreeEdge {
    /// Id of the one that came before.
    pub parent: String,
    /// Id of the one that came after.
    pub child: String,
    /// How they belong together.
    pub kind: EdgeKind,
}

/// A workflow.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TaskTree {
    /// Its tasks, oldest first.
    pub items: Vec<Task>,
    /// How they belong together.
    pub edges: Vec<TreeEdge>,
    /// True when it has more tasks than are given.
    pub truncated: bool,
}
