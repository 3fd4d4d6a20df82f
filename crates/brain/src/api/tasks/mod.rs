//! Tasks.

pub(super) mod count;
pub(super) mod events;
mod filter;
pub(super) mod get;
pub(super) mod list;
mod raw_events;
pub(super) mod tree;
pub(super) mod why;

pub(super) use filter::FilterParams;

/// The task that a path names.
#[derive(serde::Deserialize)]
pub(super) struct TaskPath {
    engine: String,
    task_id: String,
}
