//! The publishing side: web processes, beat, and tasks that send tasks.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use taskplane_model::TaskEventKind;

use super::{add_arguments, add_facts, chord_id, guarded, id_in, observed, tell};
use crate::clock::now;
use crate::read::fields::{attribute, integer, item, name};
use crate::state::{self, Publishing};

/// `before_task_publish`: the queue and the priority are said only here.
#[pyfunction]
pub(crate) fn task_publishing(
    body: &Bound<'_, PyAny>,
    exchange: &Bound<'_, PyAny>,
    routing_key: &Bound<'_, PyAny>,
    declare: &Bound<'_, PyAny>,
    headers: &Bound<'_, PyAny>,
    properties: &Bound<'_, PyAny>,
) {
    guarded(|| {
        if !state::is_capturing() {
            return None;
        }
        let py = headers.py();
        let priority = properties.cast::<PyDict>().ok();
        let priority = priority.and_then(|properties| integer(&item(properties, intern!(py, "priority"))?));
        let queue = declared(declare).or_else(|| name(exchange).is_none().then(|| name(routing_key))?);
        let id = id_of(headers, body)?;
        state::remember_publishing(Publishing { id, queue, priority, at: now() });
        Some(())
    });
}

/// `after_task_publish`: the broker has it.
#[pyfunction]
pub(crate) fn task_sent(
    task_type: &Bound<'_, PyAny>,
    body: &Bound<'_, PyAny>,
    exchange: &Bound<'_, PyAny>,
    routing_key: &Bound<'_, PyAny>,
    headers: &Bound<'_, PyAny>,
) {
    guarded(|| {
        let task_type = name(task_type);
        let rules = state::rules(task_type.as_deref())?;
        let mut task = observed(TaskEventKind::Sent, id_of(headers, body)?);
        task.name = task_type;
        let publishing = state::take_publishing(&task.task_id);
        let ts = publishing.as_ref().map_or_else(now, |publishing| publishing.at);
        // Protocol 2 has its facts in the headers, protocol 1 in the body.
        if let Ok(facts) = body.cast::<PyDict>().or_else(|_| headers.cast::<PyDict>()) {
            add_facts(&mut task, facts);
        }
        task.exchange = name(exchange);
        task.routing_key = name(routing_key);
        if let Some(publishing) = publishing {
            task.queue = publishing.queue;
            task.priority = publishing.priority;
        }
        let (args, kwargs) = arguments(body);
        if let Some(chord) = embedded_chord(body) {
            task.chord_id = Some(chord);
        }
        add_arguments(&mut task, &rules, args.as_ref(), kwargs.as_ref());
        tell(&rules, ts, task);
        Some(())
    });
}

fn id_of(headers: &Bound<'_, PyAny>, body: &Bound<'_, PyAny>) -> Option<String> {
    let headers = headers.cast::<PyDict>().ok();
    headers.and_then(id_in).or_else(|| id_in(body.cast::<PyDict>().ok()?))
}

/// Name of the queue that is declared with the message: the one it goes to.
fn declared(declare: &Bound<'_, PyAny>) -> Option<String> {
    let queues = declare.cast::<PyList>().ok()?;
    let queue = if queues.len() == 1 { queues.get_item(0).ok()? } else { return None };
    name(&attribute(&queue, intern!(declare.py(), "name"))?)
}

type Arguments<'py> = (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

/// Protocol 2 has a tuple as body, protocol 1 a dict.
fn arguments<'py>(body: &Bound<'py, PyAny>) -> Arguments<'py> {
    if let Ok(parts) = body.cast::<PyTuple>() {
        return (parts.get_item(0).ok(), parts.get_item(1).ok());
    }
    let Ok(parts) = body.cast::<PyDict>() else { return (None, None) };
    (item(parts, intern!(body.py(), "args")), item(parts, intern!(body.py(), "kwargs")))
}

fn embedded_chord(body: &Bound<'_, PyAny>) -> Option<String> {
    let embedded = body.cast::<PyTuple>().ok()?.get_item(2).ok()?;
    chord_id(&item(embedded.cast::<PyDict>().ok()?, intern!(body.py(), "chord"))?)
}
