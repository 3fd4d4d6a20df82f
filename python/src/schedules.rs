//! Periodic work through Django's own models: the Rust side of `taskplane.django.schedules`.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyModule;
use serde::de::DeserializeOwned;
use taskplane_agent::engine::CommandError;
use taskplane_agent::scheduler::Scheduler;
use taskplane_scheduler_celery_beat::models::{Looked, SetColumns};
use taskplane_scheduler_celery_beat::{Columns, DjangoModels, Models};
use tokio::sync::Notify;

/// The module, where the application has schedules. Only touched for a moment at a time.
static MODULE: Mutex<Option<Py<PyModule>>> = Mutex::new(None);
/// Who is told of edits in this process, while it collects.
static LOOKING: Mutex<Option<Arc<Notify>>> = Mutex::new(None);

/// The application has schedules, and `module` knows them.
#[pyfunction]
pub(crate) fn use_schedules(module: Py<PyModule>) {
    if let Ok(mut slot) = MODULE.try_lock() {
        *slot = Some(module);
    }
}

/// Somebody changed a schedule in this process: the agent looks at once.
#[pyfunction]
pub(crate) fn schedules_changed() {
    // In a forked child nobody looks, whatever its parent's lock was like.
    if let Ok(looking) = LOOKING.try_lock()
        && let Some(changed) = looking.as_ref()
    {
        changed.notify_one();
    }
}

/// What the collector lists and changes the application's schedules with.
pub(crate) fn schedulers() -> Vec<Arc<dyn Scheduler>> {
    // Where there is nothing to ask Python for, it is not waited for: under uWSGI without threads that may take for ever.
    if MODULE.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
        return Vec::new();
    }
    let module = Python::try_attach(|py| {
        let slot = MODULE.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|module| module.clone_ref(py))
    });
    let Some(module) = module.flatten() else { return Vec::new() };
    let models = DjangoModels::new(DjangoModule(module));
    *LOOKING.lock().unwrap_or_else(PoisonError::into_inner) = Some(models.changed());
    vec![Arc::new(models)]
}

/// `taskplane.django.schedules`. Asked on threads of the collector, which may wait for the interpreter and the database.
struct DjangoModule(Py<PyModule>);

impl DjangoModule {
    fn call<T>(&self, work: impl for<'py> FnOnce(&Bound<'py, PyModule>) -> PyResult<T>) -> Result<T, CommandError> {
        let called = Python::try_attach(|py| work(self.0.bind(py)).map_err(|error| refused(py, &error)));
        called.unwrap_or_else(|| Err(CommandError::Busy("the application is stopping".to_owned())))
    }
}

impl Models for DjangoModule {
    fn look(&self, known: Option<&str>, limit: usize) -> Result<Looked, CommandError> {
        read(&self.call(|module| module.call_method1("look", (known, limit))?.extract::<String>())?)
    }

    fn one(&self, id: &str) -> Result<Option<Columns>, CommandError> {
        read(&self.call(|module| module.call_method1("one", (id,))?.extract::<String>())?)
    }

    fn save(&self, id: Option<&str>, set: &SetColumns) -> Result<Columns, CommandError> {
        let given = serde_json::to_string(set).map_err(|error| CommandError::InvalidArgs(error.to_string()))?;
        read(&self.call(|module| module.call_method1("save", (id, given))?.extract::<String>())?)
    }

    fn delete(&self, id: &str) -> Result<(), CommandError> {
        self.call(|module| module.call_method1("delete", (id,)).map(drop))
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, CommandError> {
    serde_json::from_str(text)
        .map_err(|error| CommandError::Engine(format!("a schedule of this application cannot be read: {error}")))
}

/// What `Refused` says, or any other error.
fn refused(py: Python<'_>, error: &PyErr) -> CommandError {
    let text = error.value(py).to_string();
    let code: Option<String> = error.value(py).getattr("code").and_then(|code| code.extract()).ok();
    match code.as_deref() {
        Some("invalid_args") => CommandError::InvalidArgs(text),
        Some("not_found") => CommandError::NotFound(text),
        Some("busy") => CommandError::Busy(text),
        Some("engine_error") => CommandError::Engine(text),
        _ => CommandError::Engine(format!("{error}")),
    }
}
