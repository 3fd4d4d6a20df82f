//! Commands: recorded, sent to the one right agent at most once, and ended exactly once.

mod endings;
mod fitness;
mod forward;
mod known;
mod router;
mod schedules;
mod target;

pub(crate) use fitness::{Hosts, for_lane};
pub use router::{CommandRequest, CommandRouter, SubmitError};
