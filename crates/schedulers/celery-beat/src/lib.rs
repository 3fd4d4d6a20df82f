//! Celery's periodic work, listed and changed from beside the application: the tables of django-celery-beat
//! ([`django`], with the feature `database`) and RedBeat's keys on Redis ([`redbeat`]); and, read-only, what stands in its
//! settings ([`settings`]). Listed and changed from inside the application: its own models ([`models`]).
//!
//! What they share: [`wanted`] brings a schedule and the change of it together, [`validate`] refuses what Django would refuse,
//! [`periodic_task`] is a row whoever read it, [`watch`] tells of all rows, [`next`] says when a schedule runs,
//! [`undone`] notices what beat undoes.

mod clock;
#[cfg(feature = "database")]
pub mod django;
pub mod models;
mod next;
mod periodic_task;
pub mod redbeat;
pub mod settings;
mod undone;
mod validate;
mod wanted;
mod watch;

#[cfg(feature = "database")]
pub use django::DjangoBeat;
pub use models::{DjangoModels, Models};
pub use periodic_task::{Columns, Times};
pub use redbeat::RedBeat;
pub use settings::{BeatSettings, WorkerSettings};
pub use validate::TimesRow;

/// The engine that beat enqueues tasks of.
pub(crate) const ENGINE: &str = "celery";
