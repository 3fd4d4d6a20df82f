//! What `python/taskplane` calls, besides the hooks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;

use crate::settings::{self, Arguments};
use crate::state::{self, TaskRules};

/// Longest time to wait for the end.
const LONGEST_STOP: f64 = 60.0;

#[pyfunction]
#[pyo3(signature = (*, brain_url, token, token_file, name, data_dir, role, framework, framework_version, brokers, redact_keys,
    redact_patterns, redact_strings, ca_cert, client_cert, client_key, metadata, log_level))]
#[expect(clippy::too_many_arguments, reason = "Python calls it with keywords")]
pub(crate) fn start(
    brain_url: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
    name: String,
    data_dir: PathBuf,
    role: String,
    framework: String,
    framework_version: Option<String>,
    brokers: Vec<(String, Option<String>)>,
    redact_keys: Vec<String>,
    redact_patterns: Vec<String>,
    redact_strings: String,
    ca_cert: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    metadata: BTreeMap<String, String>,
    log_level: String,
) -> PyResult<()> {
    let arguments = Arguments {
        brain_url,
        token,
        token_file,
        name,
        data_dir,
        role,
        framework,
        framework_version,
        brokers,
        redact_keys,
        redact_patterns,
        redact_strings,
        ca_cert,
        client_cert,
        client_key,
        metadata,
        log_level,
    };
    state::begin(arguments.settings()?);
    Ok(())
}

#[pyfunction]
pub(crate) fn leave_collecting_to_parent() {
    state::leave_collecting();
}

#[pyfunction]
pub(crate) fn forget_parent() {
    state::forget_parent();
}

#[pyfunction]
pub(crate) fn stop(py: Python<'_>, timeout: f64) -> bool {
    let timeout = Duration::from_secs_f64(if timeout.is_finite() { timeout.clamp(0.0, LONGEST_STOP) } else { 0.0 });
    let Some(collecting) = state::end_collecting() else { return true };
    py.detach(|| collecting.end(timeout))
}

#[pyfunction]
pub(crate) fn is_collecting() -> bool {
    state::is_collecting()
}

#[pyfunction]
pub(crate) fn counts() -> BTreeMap<&'static str, u64> {
    state::counts()
}

#[pyfunction]
#[pyo3(signature = (task_name, *, extra_keys, strings, capture))]
pub(crate) fn set_task_rules(
    task_name: String,
    extra_keys: Vec<String>,
    strings: Option<String>,
    capture: bool,
) -> PyResult<()> {
    let strings = strings.as_deref().map(settings::strings).transpose()?;
    state::set_task_rules(task_name, TaskRules { extra_keys, strings, shows_values: capture });
    Ok(())
}
