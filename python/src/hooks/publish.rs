//! The publishing side: web processes, beat, and tasks that send tasks.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use taskplane_model::TaskEventKind;

use super::{Given, add_arguments, add_facts, chord_id, guarded, id_in, observed, tell};
use crate::clock::now;
use crate::read::fields::{attribute, integer, item, name};
use crate::state::{self, Publishing};

/// `before_task_publish`: the queue and the priority are said only here.
#[pyfunction]
#[pyo3(signature = (*, body = None, exchange = None, routing_key = None, declare = None, headers = None, properties = None,
    **_more))]
pub(crate) fn task_publishing(
    body: Given<'_, '_>,
    exchange: Given<'_, '_>,
    routing_key: Given<'_, '_>,
    declare: Given<'_, '_>,
    headers: Given<'_, '_>,
    properties: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        if !state::is_capturing() {
            return None;
        }
        let priority = properties.and_then(|properties| properties.cast::<PyDict>().ok());
        let priority =
            priority.and_then(|properties| integer(&item(properties, intern!(properties.py(), "priority"))?));
        let queue = declare.and_then(declared).or_else(|| match exchange.and_then(name) {
            Some(_) => None,
            None => routing_key.and_then(name),
        });
        let id = id_of(headers, body)?;
        state::remember_publishing(Publishing { id, queue, priority, at: now() });
        Some(())
    });
}

/// `after_task_publish`: the broker has it.
#[pyfunction]
#[pyo3(signature = (*, sender = None, body = None, exchange = None, routing_key = None, headers = None, **_more))]
pub(crate) fn task_sent(
    sender: Given<'_, '_>,
    body: Given<'_, '_>,
    exchange: Given<'_, '_>,
    routing_key: Given<'_, '_>,
    headers: Given<'_, '_>,
    _more: Option<&Bound<'_, PyDict>>,
) {
    guarded(|| {
        let task_type = sender.and_then(name);
        let rules = state::rules(task_type.as_deref())?;
        let mut task = observed(&rules, TaskEventKind::Sent, id_of(headers, body)?);
        task.name = task_type;
        let publishing = state::take_publishing(&task.task_id);
        let ts = publishing.as_ref().map_or_else(now, |publishing| publishing.at);
        // Protocol 2 has its facts in the headers, protocol 1 in the body.
        if let Some(facts) = body.and_then(|body| body.cast().ok()).or_else(|| headers?.cast::<PyDict>().ok()) {
            add_facts(&mut task, facts);
        }
        task.exchange = exchange.and_then(name);
        task.routing_key = routing_key.and_then(name);
        if let Some(publishing) = publishing {
            task.queue = publishing.queue;
            task.priority = publishing.priority;
        }
        let (args, kwargs) = body.map(arguments).unwrap_or_default();
        if let Some(chord) = body.and_then(embedded_chord) {
            task.chord_id = Some(chord);
        }
        add_arguments(&mut task, &rules, args.as_ref(), kwargs.as_ref());
        tell(&rules, ts, task);
        Some(())
    });
}

fn id_of(headers: Given<'_, '_>, body: Given<'_, '_>) -> Option<String> {
    let id = |facts: Given<'_, '_>| id_in(facts?.cast::<PyDict>().ok()?);
    id(headers).or_else(|| id(body))
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
