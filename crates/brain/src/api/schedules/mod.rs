//! Schedules and schedulers.

pub(super) mod get;
pub(super) mod list;
pub(super) mod preview;
pub(super) mod schedulers;
mod shown;
