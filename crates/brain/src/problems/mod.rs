//! What needs someone: found from what agents tell of themselves, their workers, their queues and their schedulers.
//!
//! One file for each kind of thing that has problems; all of them are pure. [`watch`] remembers what one look cannot show: since when
//! a worker has begun nothing, since when messages wait. The duty `duties/problem_watch.rs` keeps it up; [`look()`] puts everything together.

mod agents;
mod consumption;
mod far_etas;
mod idle;
mod look;
mod queues;
mod remedies;
mod schedulers;
mod unheard;
mod watch;
mod workers;

pub(crate) use consumption::{Consumption, HowKnown, consumption};
pub(crate) use far_etas::visibility_timeout;
pub(crate) use idle::Idle;
pub use look::look;
pub(crate) use remedies::raise_visibility_timeout;
pub(crate) use watch::Watches;
pub use watch::{look_closer, look_on};

use crate::api::types::{FoundProblemSubject, FoundProblemSubjectType};

fn subject(kind: FoundProblemSubjectType, name: &str, engine: Option<&str>) -> FoundProblemSubject {
    FoundProblemSubject { kind, name: name.to_owned(), engine: engine.map(str::to_owned) }
}
