//! Bulk jobs: one command for each task that a filter meant.
//!
//! Resolve → note the tasks → [`run`] takes some in hand, sends them in one command, notes the answers, and looks how the retried tasks
//! end. What is right stands in the store: any brain may take any step, and a step that is repeated changes nothing.

mod answers;
mod preview;
mod resolve;
mod run;

pub(crate) use preview::{Preview, preview};
pub(crate) use resolve::{Resolved, Wanted, resolve};
pub(crate) use run::{Runner, tell};
