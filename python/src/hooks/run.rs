//! The running side: pool children, threads, greenlets, or the caller itself where tasks are eager.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::Value;
use taskplane_agent::engine::TaskObservation;
use taskplane_model::{TaskEventKind, Timestamp};

use super::exception::Raised;
use super::{Given, add_arguments, add_facts, guarded, id_in, observed, running_request, task_name, tell, worker_in};
use crate::clock::now;
use crate::read::Reader;
use crate::read::fields::{attribute, facts_of, instant, item, name, number, text, truth};
use crate::state::{self, Rules};

/// `task_prerun`.
#[pyfunction]
#[pyo3(signature = (*, task_id = None, task = None, args = None, kwargs = None, sender = None, signal = None, **_more))]
#[expect(unused_variables, reason = "what is not named is put into a dict, which takes time")]
pub(crate) fn task_started(
    task_id: Given<'_, '_>,
    task: Given<'_, '_>,
    args: Given<'_, '_>,
    kwargs: Given<'_, '_>,
    sender: Given<'_, '_>,
    signal: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let ts = now();
        let task = task?;
        let task_type = task_name(task);
        let rules = state::rules(task_type.as_deref())?;
        let mut started = observed(&rules, TaskEventKind::Started, name(task_id?)?);
        started.name = task_type;
        if let Some(request) = running_request(task) {
            started.worker = worker_in(&request);
            add_facts(&mut started, &request);
        }
        add_arguments(&mut started, &rules, args, kwargs);
        state::began(&started.task_id);
        tell(&rules, ts, started);
        Some(())
    });
}

/// `task_success`. Celery says how long it ran from 5.7 on; before, it is the time since `task_prerun`.
#[pyfunction]
#[pyo3(signature = (*, sender = None, result = None, runtime = None, signal = None, **_more))]
#[expect(unused_variables, reason = "what is not named is put into a dict, which takes time")]
pub(crate) fn task_succeeded(
    sender: Given<'_, '_>,
    result: Given<'_, '_>,
    runtime: Given<'_, '_>,
    signal: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let task = sender?;
        let request = running_request(task)?;
        let (rules, mut succeeded) = ended(TaskEventKind::Succeeded, task, id_in(&request)?, Some(&request))?;
        succeeded.runtime_ms = runtime.and_then(number).map(|seconds| seconds * 1000.0).or(succeeded.runtime_ms);
        if rules.shows_values() {
            succeeded.result = Some(result.map_or(Value::Null, |result| Reader::new().value(result)));
        }
        tell(&rules, now(), succeeded);
        Some(())
    });
}

/// `task_failure`: told by the child, or by the main process where the child was lost or its time was up.
#[pyfunction]
#[pyo3(signature = (*, sender = None, task_id = None, exception = None, args = None, kwargs = None, einfo = None, **_more))]
pub(crate) fn task_failed(
    sender: Given<'_, '_>,
    task_id: Given<'_, '_>,
    exception: Given<'_, '_>,
    args: Given<'_, '_>,
    kwargs: Given<'_, '_>,
    einfo: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let (task, task_id) = (sender?, name(task_id?)?);
        let request = running_request(task).filter(|request| id_in(request).as_ref() == Some(&task_id));
        if !state::may_tell_failure(&task_id) {
            return None;
        }
        let (rules, mut failed) = ended(TaskEventKind::Failed, task, task_id, request.as_ref())?;
        if request.is_none() {
            failed.worker = state::worker();
            failed.retries = state::attempt_of(&failed.task_id);
            add_arguments(&mut failed, &rules, args, kwargs);
        }
        add_exception(&mut failed, &rules, exception, einfo);
        tell(&rules, now(), failed);
        Some(())
    });
}

/// `task_retry`: this attempt failed, and the next one waits. `reason` is the `Retry` that was raised.
#[pyfunction]
#[pyo3(signature = (*, sender = None, request = None, reason = None, einfo = None, **_more))]
pub(crate) fn task_retried(
    sender: Given<'_, '_>,
    request: Given<'_, '_>,
    reason: Given<'_, '_>,
    einfo: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let task = sender?;
        let py = task.py();
        let ts = now();
        let request = facts_of(request?)?;
        let (rules, mut retried) = ended(TaskEventKind::Retry, task, id_in(&request)?, Some(&request))?;
        retried.eta = None;
        let reason = reason.and_then(facts_of);
        let of = |key| reason.as_ref().and_then(|reason| item(reason, key));
        if let Some(when) = of(intern!(py, "when")) {
            retried.eta = number(&when).map(|seconds| after(ts, seconds)).or_else(|| instant(&when));
        }
        let cause = of(intern!(py, "exc"));
        add_exception(&mut retried, &rules, cause.as_ref(), einfo);
        if cause.is_none() {
            retried.exception = Some("Retry".into());
            let said = of(intern!(py, "message")).or_else(|| of(intern!(py, "excs")));
            retried.exception_message = said.filter(|_| rules.shows_values()).and_then(|said| text(&said));
        }
        tell(&rules, ts, retried);
        Some(())
    });
}

/// `task_postrun`. A task that raised `Reject` is told here; all other ends have signals of their own.
#[pyfunction]
#[pyo3(signature = (*, state = None, sender = None, task_id = None, retval = None, task = None, args = None, kwargs = None,
    signal = None, **_more))]
#[expect(unused_variables, reason = "what is not named is put into a dict, which takes time")]
#[expect(clippy::too_many_arguments, reason = "Celery calls it with keywords")]
pub(crate) fn task_ended(
    state: Given<'_, '_>,
    sender: Given<'_, '_>,
    task_id: Given<'_, '_>,
    retval: Given<'_, '_>,
    task: Given<'_, '_>,
    args: Given<'_, '_>,
    kwargs: Given<'_, '_>,
    signal: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        if state?.cast_exact::<PyString>().ok()?.to_str().ok()? != "REJECTED" {
            return None;
        }
        let (task, task_id) = (sender?, name(task_id?)?);
        let request = running_request(task).filter(|request| id_in(request).as_ref() == Some(&task_id));
        let (rules, mut rejected) = ended(TaskEventKind::Rejected, task, task_id, request.as_ref())?;
        rejected.requeue =
            retval.and_then(facts_of).and_then(|reject| truth(&item(&reject, intern!(task.py(), "requeue"))?));
        tell(&rules, now(), rejected);
        Some(())
    });
}

/// What the application says of a running task.
#[pyfunction]
pub(crate) fn task_progress(
    task: &Bound<'_, PyAny>,
    done: &Bound<'_, PyAny>,
    total: &Bound<'_, PyAny>,
    note: &Bound<'_, PyAny>,
) {
    guarded(|| {
        let (done, total) = (number(done), number(total));
        let request = running_request(task)?;
        let task_id = id_in(&request)?;
        let is_last = done.is_some() && done == total;
        if !state::may_tell_progress(&task_id, is_last) {
            return None;
        }
        let task_type = task_name(task);
        let rules = state::rules(task_type.as_deref())?;
        let mut progress = observed(&rules, TaskEventKind::Progress, task_id);
        progress.name = task_type;
        progress.worker = worker_in(&request);
        progress.retries = item(&request, intern!(task.py(), "retries")).and_then(|found| found.extract().ok());
        progress.done = done;
        progress.total = total;
        progress.note = text(note);
        tell(&rules, now(), progress);
        Some(())
    });
}

/// An event that ends an attempt.
fn ended(
    kind: TaskEventKind,
    task: &Bound<'_, PyAny>,
    task_id: String,
    request: Option<&Bound<'_, PyDict>>,
) -> Option<(Rules, TaskObservation)> {
    let task_type = task_name(task);
    let rules = state::rules(task_type.as_deref())?;
    let mut end = observed(&rules, kind, task_id);
    end.runtime_ms = state::ran_for(&end.task_id).map(|ran| ran.as_secs_f64() * 1000.0);
    end.name = task_type;
    if let Some(request) = request {
        end.worker = worker_in(request);
        end.retries = item(request, intern!(request.py(), "retries")).and_then(|found| found.extract().ok());
    }
    Some((rules, end))
}

fn add_exception(task: &mut TaskObservation, rules: &Rules, exception: Given<'_, '_>, einfo: Given<'_, '_>) {
    let traceback = einfo.and_then(|einfo| text(&attribute(einfo, intern!(einfo.py(), "traceback"))?));
    if let Some(raised) = exception.and_then(|exception| Raised::read(exception, traceback.as_deref())) {
        task.exception = Some(raised.name);
        task.exception_message = raised.message.filter(|_| rules.shows_values());
    }
    task.traceback = traceback.filter(|_| rules.shows_values());
}

fn after(ts: Timestamp, seconds: f64) -> Timestamp {
    ts.plus((seconds.clamp(0.0, 1e9) * 1e6) as i64)
}
