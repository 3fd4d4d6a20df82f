//! The worker's main process: what it takes from the broker, and what it does not run.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use taskplane_model::TaskEventKind;

use super::{
    Given, add_arguments, add_facts, guarded, id_in, observed, original, task_name, tell, tell_with_original, worker_in,
};
use crate::clock::now;
use crate::read::fields::{self, attribute, count, facts_of, item, name, truth};
use crate::signal_names::signal_name;
use crate::state;

/// `task_received`: a worker has the message, and its host keeps it for a retry.
#[pyfunction]
#[pyo3(signature = (*, request = None, sender = None, signal = None, **_more))]
#[expect(unused_variables, reason = "what is not named is put into a dict, which takes time")]
pub(crate) fn task_received(
    request: Given<'_, '_>,
    sender: Given<'_, '_>,
    signal: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let request = request?;
        let py = request.py();
        let ts = now();
        let facts = attribute(request, intern!(py, "request_dict"))?;
        let facts = facts.cast::<PyDict>().ok()?;
        let task_type = item(facts, intern!(py, "task")).and_then(|found| name(&found));
        let rules = state::rules(task_type.as_deref())?;
        let mut task = observed(&rules, TaskEventKind::Received, id_in(facts)?);
        task.name = task_type;
        task.worker = worker_in(facts);
        add_facts(&mut task, facts);
        if task.eta.is_some() {
            // Else its start, which tells them, follows: this hook runs for every task, in the process that feeds all others.
            let (args, kwargs) = (item(facts, intern!(py, "args")), item(facts, intern!(py, "kwargs")));
            add_arguments(&mut task, &rules, args.as_ref(), kwargs.as_ref());
        }
        state::came(&task.task_id, task.retries);
        let original = attribute(request, intern!(py, "message")).and_then(|message| original::envelope(&message));
        tell_with_original(&rules, original.as_deref(), ts, task);
        Some(())
    });
}

/// `task_revoked`: cancelled before it ran, killed while it ran, or expired.
#[pyfunction]
#[pyo3(signature = (*, sender = None, request = None, terminated = None, signum = None, expired = None, **_more))]
pub(crate) fn task_revoked(
    sender: Given<'_, '_>,
    request: Given<'_, '_>,
    terminated: Given<'_, '_>,
    signum: Given<'_, '_>,
    expired: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let facts = facts_of(request?)?;
        let task_type = task_name(sender?);
        let rules = state::rules(task_type.as_deref())?;
        let mut revoked = observed(&rules, TaskEventKind::Revoked, id_in(&facts)?);
        revoked.name = task_type;
        revoked.worker = worker_in(&facts);
        add_facts(&mut revoked, &facts);
        revoked.terminated = terminated.and_then(truth);
        revoked.expired = expired.and_then(truth);
        revoked.signal = signum.and_then(|signum| count(signum).map(signal_name).or_else(|| name(signum)));
        tell(&rules, now(), revoked);
        Some(())
    });
}

/// `task_rejected`: the message cannot be made a task of. One without an id belongs to no task.
#[pyfunction]
#[pyo3(signature = (*, message = None, **_more))]
pub(crate) fn task_rejected(message: Given<'_, '_>, _more: Option<&Bound<'_, PyDict>>) {
    guarded(|| {
        let message = message?;
        let headers = attribute(message, intern!(message.py(), "headers"))?;
        let headers = headers.cast::<PyDict>().ok()?;
        let task_type = item(headers, intern!(message.py(), "task")).and_then(|found| name(&found));
        let rules = state::rules(task_type.as_deref())?;
        let mut task = observed(&rules, TaskEventKind::Rejected, id_in(headers)?);
        add_facts(&mut task, headers);
        task.requeue = Some(false);
        tell(&rules, now(), task);
        Some(())
    });
}

/// `task_unknown`: Celery fails such a task at once.
#[pyfunction]
#[pyo3(signature = (*, message = None, name = None, id = None, **_more))]
pub(crate) fn task_unknown(
    message: Given<'_, '_>,
    name: Given<'_, '_>,
    id: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let message = message?;
        let task_type = name.and_then(fields::name);
        let rules = state::rules(task_type.as_deref())?;
        let mut task = observed(&rules, TaskEventKind::Failed, fields::name(id?)?);
        if let Some(headers) = attribute(message, intern!(message.py(), "headers"))
            && let Ok(headers) = headers.cast::<PyDict>()
        {
            add_facts(&mut task, headers);
        }
        task.exception = Some("NotRegistered".into());
        task.exception_message = task_type.clone();
        task.name = task_type;
        tell_with_original(&rules, original::envelope(message).as_deref(), now(), task);
        Some(())
    });
}
