//! Celery's periodic work, listed and changed from beside the application: the tables of django-celery-beat
//! ([`django`]) and RedBeat's keys on Redis ([`redbeat`]); and, read-only, what stands in its settings ([`settings`]).
//!
//! What both share: [`wanted`] brings a schedule and the change of it together, [`next`] says when it runs.

mod clock;
pub mod django;
mod next;
pub mod redbeat;
pub mod settings;
mod wanted;

pub use django::DjangoBeat;
pub use redbeat::RedBeat;
pub use settings::{BeatSettings, WorkerSettings};

/// The engine that beat enqueues tasks of.
pub(crate) const ENGINE: &str = "celery";
