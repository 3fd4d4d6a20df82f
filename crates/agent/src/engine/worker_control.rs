//! Orders to workers.

use std::collections::BTreeMap;

/// What workers are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerAction {
    /// Say that they are there.
    Ping,
    /// Finish what they run, and end.
    Shutdown,
    /// Run so many tasks more at once.
    PoolGrow(u32),
    /// Run so many tasks fewer at once.
    PoolShrink(u32),
    /// Begin at most so many tasks of a type in a time.
    RateLimit {
        /// Task type.
        task_name: String,
        /// Such as `10/m`; `0` for no limit.
        rate: String,
    },
    /// Take tasks from a queue.
    AddConsumer {
        /// The queue.
        queue: String,
    },
    /// Take no more tasks from a queue.
    CancelConsumer {
        /// The queue.
        queue: String,
    },
}

/// What is ordered, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerControlRequest {
    /// These workers; all of them when it is empty, which only harmless orders may leave so.
    pub workers: Vec<String>,
    /// What to do.
    pub action: WorkerAction,
}

/// What the workers replied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerReplies {
    /// By worker: what it said, or why it refused, in its own words.
    pub replies: BTreeMap<String, Result<String, String>>,
    /// Workers that were asked, or are believed to be up, and did not reply.
    pub silent: Vec<String>,
}
