//! What Taskplane knows, and how events change it.
//!
//! Pure data and pure functions: no I/O, no SQL, no HTTP, no clock, no randomness. Time is an argument.
//! [`task::TaskRecord`] is the heart: everything known of one task, merged without regard to order.

pub mod access;
pub mod agent;
pub mod bulk;
pub mod command;
pub mod event;
pub mod filter;
pub mod fleet;
pub mod rollup;
pub mod schedule;
pub mod schedule_run;
pub mod sketch;
pub mod stuck;
pub mod task;
pub mod time;

pub use event::{KnownBy, TaskEvent, TaskEventKind};
pub use task::{Task, TaskRecord, TaskRef, TaskState};
pub use time::Timestamp;
