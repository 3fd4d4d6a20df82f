//! What is known of a task, and of what it waits for.

use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::{TaskState, Timestamp};

use crate::api::types::{WhyKnownBy, WorkerState};
use crate::problems::{Consumption, Idle};

/// Everything that reasons are made of.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Engine.
    pub(super) engine: String,
    /// The task.
    pub(super) task: TaskFacts,
    /// Where it is.
    pub(super) place: Place,
    /// How and when that was known.
    pub(super) place_known: (WhyKnownBy, Timestamp),
    /// What the agent looked at, where it was asked and found no trace of the task.
    pub(super) no_trace: Option<NoTrace>,
    /// Its queue, as it was last sampled.
    pub(super) queue: Option<Queue>,
    /// Whether anything consumes its queue.
    pub(super) consumption: Consumption,
    /// Workers that are online and list its queue.
    pub(super) consumers: Vec<SeenWorker>,
    /// The worker that holds it or runs it.
    pub(super) holder: Option<SeenWorker>,
    /// Who would tell of it.
    pub(super) watcher: Watcher,
    /// How fast tasks of its queue are begun.
    pub(super) pace: Option<Pace>,
    /// How long tasks of its type run.
    pub(super) usual: Option<Usual>,
}

/// The task itself.
#[derive(Clone, Debug)]
pub(super) struct TaskFacts {
    /// State.
    pub(super) state: TaskState,
    /// Type.
    pub(super) name: Option<String>,
    /// Queue.
    pub(super) queue: Option<String>,
    /// When it was published, or first heard of.
    pub(super) since: Timestamp,
    /// When a worker took it.
    pub(super) received_at: Option<Timestamp>,
    /// When it was begun.
    pub(super) started_at: Option<Timestamp>,
    /// When it ended.
    pub(super) ended_at: Option<Timestamp>,
    /// Earliest time to run.
    pub(super) eta: Option<Timestamp>,
    /// Time after which it must not run.
    pub(super) expires: Option<Timestamp>,
    /// Its last attempt that failed and is to be followed by another one.
    pub(super) failed: Option<FailedAttempt>,
    /// How anything is known of it.
    pub(super) known_by: WhyKnownBy,
    /// How its earliest time to run is known.
    pub(super) eta_known_by: WhyKnownBy,
}

/// An attempt that is to be followed by another one.
#[derive(Clone, Debug)]
pub(super) struct FailedAttempt {
    /// 1 for the first.
    pub(super) number: u64,
    /// Type of the exception.
    pub(super) exception: Option<String>,
    /// How its end is known.
    pub(super) known_by: WhyKnownBy,
}

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In its queue, as far as is known.
    Waiting,
    /// With a worker that has not begun it; which one, where that is known.
    Held(Option<String>),
    /// With a worker that runs it.
    Running(Option<String>),
    /// Its message is delivered and not acknowledged, and nobody says that he has it.
    Delivered,
    /// It has ended, in the engine's word.
    Ended(String),
}

/// An agent looked, and found nothing.
#[derive(Clone, Debug)]
pub(super) struct NoTrace {
    /// What it looked at, in clauses.
    pub(super) evidence: Vec<String>,
    /// All workers that should have answered have.
    pub(super) all_answered: bool,
}

/// A worker and what is to be said of it.
#[derive(Clone, Debug)]
pub(super) struct SeenWorker {
    /// Its last word.
    pub(super) worker: Worker,
    /// Whether it lives.
    pub(super) state: WorkerState,
    /// It begins nothing though messages wait.
    pub(super) idle: Option<Idle>,
    /// Types of tasks that it runs now, and since when.
    pub(super) runs: Vec<(String, Option<Timestamp>)>,
}

impl SeenWorker {
    /// How many tasks it runs, and how many it can run.
    pub(super) fn load(&self) -> Option<(u64, u64)> {
        self.worker.facts.active.zip(self.worker.facts.concurrency)
    }

    /// True when it runs as many tasks as it can.
    pub(super) fn is_full(&self) -> bool {
        self.load().is_some_and(|(active, concurrency)| concurrency > 0 && active >= concurrency)
    }
}

/// Who would tell of the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Watcher {
    /// An agent that is connected and reaches its broker.
    Sees,
    /// Agents that are not connected, since the last of them was heard.
    Away(Vec<String>, Timestamp),
    /// An agent that does not reach its broker, and why.
    Blind(String, String),
    /// No agent watches the engine.
    Nobody,
}

/// How fast tasks of a queue are begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// So many were …
    pub(super) begun: u64,
    /// … within so many microseconds.
    pub(super) within: i64,
}

/// How long tasks of a type run, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    /// So many runs are known.
    pub(super) runs: u64,
    /// Half of them did not take longer.
    pub(super) half: i64,
    /// 95 % of them did not.
    pub(super) most: i64,
}
