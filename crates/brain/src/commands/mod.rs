//! Commands: recorded, sent to the one right agent at most once, and ended exactly once.

mod endings;
mod forward;
mod router;
mod schedules;
mod target;

pub use router::{CommandRequest, CommandRouter, SubmitError};
