//! What `taskplane.celery.signals` connects: most are receivers of Celery's signals themselves. Each hook reads first, then
//! redacts, then writes: Python runs at most while it reads, and nothing is locked then.

mod exception;
mod original;
mod publish;
mod receive;
mod run;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;
use taskplane_agent::engine::{Observation, Subject, TaskObservation};
use taskplane_model::{TaskEventKind, Timestamp};

use crate::read::Reader;
use crate::read::fields::{attribute, count, facts_of, instant, integer, item, name};
use crate::state::{self, Rules};

pub(crate) use publish::{task_publishing, task_sent};
pub(crate) use receive::{task_received, task_rejected, task_revoked, task_unknown};
pub(crate) use run::{task_ended, task_failed, task_progress, task_retried, task_started, task_succeeded};
pub(crate) use worker::{worker_heartbeat, worker_offline, worker_online};

/// Celery's name as an engine.
const ENGINE: &str = "celery";

/// What a signal may hand over. A version of Celery may leave anything out, and add what we do not know.
type Given<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Runs a hook. `None` when it has nothing to tell; should it panic, the application does not notice.
fn guarded(hook: impl FnOnce() -> Option<()>) {
    if catch_unwind(AssertUnwindSafe(hook)).is_err() {
        state::count_failed_hook();
    }
}

/// Begins the story of an event of the task `task_id`.
fn observed(rules: &Rules, kind: TaskEventKind, task_id: String) -> TaskObservation {
    TaskObservation {
        kind,
        task_id,
        hostname: state::hostname(),
        pid: Some(u64::from(rules.process())),
        ..TaskObservation::default()
    }
}

/// Ends it.
fn tell(rules: &Rules, ts: Timestamp, task: TaskObservation) {
    tell_with_original(rules, None, ts, task);
}

/// The same, where this host keeps the message for a retry.
fn tell_with_original(rules: &Rules, original: Option<&[u8]>, ts: Timestamp, task: TaskObservation) {
    state::tell(rules, original, &Observation { engine: ENGINE, ts, subject: Subject::Task(Box::new(task)) });
}

/// What headers, requests and contexts of tasks all say in the same words.
fn add_facts(task: &mut TaskObservation, facts: &Bound<'_, PyDict>) {
    let py = facts.py();
    let text = |key| item(facts, key).and_then(|found| name(&found));
    task.name = task.name.take().or_else(|| text(intern!(py, "task")));
    task.root_id = text(intern!(py, "root_id"));
    task.parent_id = text(intern!(py, "parent_id"));
    task.group_id = text(intern!(py, "group"));
    task.retries = item(facts, intern!(py, "retries")).and_then(|found| count(&found)?.try_into().ok());
    task.eta = item(facts, intern!(py, "eta")).and_then(|found| instant(&found));
    task.expires = item(facts, intern!(py, "expires")).and_then(|found| instant(&found));
    task.chord_id = item(facts, intern!(py, "chord")).and_then(|chord| chord_id(&chord));
    if let Some(delivery) = item(facts, intern!(py, "delivery_info"))
        && let Ok(delivery) = delivery.cast::<PyDict>()
    {
        add_delivery(task, delivery);
    }
}

/// Where a message came from. With the default exchange, the routing key is the queue's name.
fn add_delivery(task: &mut TaskObservation, delivery: &Bound<'_, PyDict>) {
    let py = delivery.py();
    task.routing_key = item(delivery, intern!(py, "routing_key")).and_then(|key| name(&key));
    let exchange = item(delivery, intern!(py, "exchange"));
    task.exchange = exchange.as_ref().and_then(name);
    task.priority = item(delivery, intern!(py, "priority")).and_then(|priority| integer(&priority));
    let goes_by_default = exchange.is_some() && task.exchange.is_none();
    if goes_by_default && task.queue.is_none() {
        task.queue = task.routing_key.clone();
    }
}

/// Id of the chord's body, which is a signature: a dict.
fn chord_id(chord: &Bound<'_, PyAny>) -> Option<String> {
    let options = item(chord.cast::<PyDict>().ok()?, intern!(chord.py(), "options"))?;
    name(&item(options.cast::<PyDict>().ok()?, intern!(chord.py(), "task_id"))?)
}

/// Arguments as they are shown.
fn add_arguments(task: &mut TaskObservation, rules: &Rules, args: Given<'_, '_>, kwargs: Given<'_, '_>) {
    if !rules.shows_values() {
        return;
    }
    let mut reader = Reader::new();
    let mut read = |object: Option<&Bound<'_, PyAny>>| -> Option<Value> {
        object.filter(|object| !object.is_none()).map(|object| reader.value(object))
    };
    task.args = read(args);
    task.kwargs = read(kwargs);
}

/// The request that `task` works on in this thread, as its facts.
fn running_request<'py>(task: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let stack = attribute(task, intern!(task.py(), "request_stack"))?;
    facts_of(&top_of(&stack).or_else(|| attribute(&stack, intern!(task.py(), "top")))?)
}

/// `stack.top`, read where Celery's `LocalStack` has it: asked for, it would take longer than all else that a hook reads.
fn top_of<'py>(stack: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = stack.py();
    let local = attribute(stack, intern!(py, "_local"))?;
    let ident = attribute(&local, intern!(py, "__ident_func__"))?.call0().ok()?;
    let storage = attribute(&local, intern!(py, "__storage__"))?;
    let own = storage.cast::<PyDict>().ok()?.get_item(ident).ok()??;
    let requests = item(own.cast().ok()?, intern!(py, "stack"))?;
    let requests = requests.cast::<PyList>().ok()?;
    requests.get_item(requests.len().checked_sub(1)?).ok()
}

/// A task's type.
fn task_name(task: &Bound<'_, PyAny>) -> Option<String> {
    name(&attribute(task, intern!(task.py(), "name"))?)
}

/// The id in a request's facts.
fn id_in(facts: &Bound<'_, PyDict>) -> Option<String> {
    name(&item(facts, intern!(facts.py(), "id"))?)
}

/// The worker that a request belongs to. A task that is run eagerly belongs to none.
fn worker_in(facts: &Bound<'_, PyDict>) -> Option<String> {
    let is_eager = item(facts, intern!(facts.py(), "is_eager")).is_some_and(|eager| eager.is_truthy().unwrap_or(false));
    if is_eager {
        return None;
    }
    name(&item(facts, intern!(facts.py(), "hostname"))?)
}
