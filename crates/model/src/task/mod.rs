//! A task: what is known of it ([`TaskRecord`]) and what that means ([`Task`]).
//!
//! Events arrive from several agents, late, twice, or reversed. The record is therefore a join-semilattice: a set of
//! marks (what happened, when, on which attempt) and a few facts with a fixed rule of preference. Adding an event is a
//! join, so order, repetition and splitting cannot matter; the state is derived from the set afterwards.

mod record;
mod starts;
mod state;
mod timeline;
mod view;

pub use record::{Mark, Progress, Stamped, TaskRecord, ToldQueue};
pub use starts::{Start, Starts};
pub use state::TaskState;
pub use view::{Attempt, Task};

/// Names a task: the engine and the engine's own id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRef {
    /// Engine, such as `celery`.
    pub engine: String,
    /// The engine's id of the task; opaque, mostly a UUID.
    pub task_id: String,
}
