//! The agent inside a Python process.
//!
//! A hook's way: Celery's signal → [`hooks`] → [`read`] (Python objects to values) → redaction → capture file (one `write`).
//! The [`collector`] thread of one process takes it from there, and never touches Python. [`state`] is what a process knows
//! of itself, [`api`] what the Python package calls, [`settings`] what it says.

use pyo3::prelude::*;

mod api;
mod clock;
mod collector;
mod hooks;
mod read;
mod schedules;
mod settings;
mod signal_names;
mod state;

/// See `python/taskplane/_native.pyi`.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::api::{counts, forget_parent, is_collecting, leave_collecting_to_parent, set_task_rules, start, stop};
    #[pymodule_export]
    use super::hooks::{
        task_ended, task_failed, task_progress, task_publishing, task_received, task_rejected, task_retried,
        task_revoked, task_sent, task_started, task_succeeded, task_unknown, worker_heartbeat, worker_offline,
        worker_online,
    };

    #[pymodule_export]
    use super::schedules::{schedules_changed, use_schedules};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::read::Kinds::load(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
