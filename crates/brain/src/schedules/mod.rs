//! Schedules: what is expected of them, whether it has happened, and how to say both.
//!
//! [`judge`] decides what became of each expected run, from the scheduler's own record and from tasks; it is pure. The duty
//! `duties/schedule_runs.rs` brings it what it needs, and keeps what it says.

mod arguments;
pub(crate) mod judge;
mod look;
pub(crate) mod problem;
pub(crate) mod told;
pub(crate) mod words;

pub use look::look;
