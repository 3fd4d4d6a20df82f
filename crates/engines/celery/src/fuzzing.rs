//! Doors to the parsers of foreign bytes, for the fuzz targets in `fuzz/`. Not an interface: only there with the feature
//! `fuzzing`.

use serde_json::{Map, Value};
use taskplane_agent::engine::TaskObservation;
use taskplane_model::{Timestamp, time::DAY};

use crate::{
    control, events,
    exception::Exception,
    message::{Body, NewTask, TaskMessage},
    python_json,
    python_literal::{self, Dialect, Fidelity},
    python_repr, redis,
    results::Meta,
};

/// What came of a task message.
#[derive(Debug)]
pub struct Message {
    /// What is told of it.
    pub sent: TaskObservation,
    /// The message that a retry publishes, or why it would not; `None` when its arguments cannot be read, or
    /// no worker could take it.
    pub again: Option<Result<Vec<u8>, String>>,
}

/// Reads an entry of a queue's list.
pub fn task_message(raw: &[u8]) -> Option<Message> {
    TaskMessage::read(raw).map(|message| told("celery", message))
}

/// Reads an entry of the hash of delivered messages.
pub fn unacked_entry(raw: &[u8]) -> Option<Message> {
    redis::read_unacked(raw).map(|(queue, message)| told(&queue, message))
}

fn told(queue: &str, message: TaskMessage) -> Message {
    let sent = message.sent(queue);
    let again = message.payload.ok().and_then(|payload| {
        let again = NewTask {
            id: "11111111-2222-4333-8444-555555555555".to_owned(),
            name: message.name,
            body: Body::Read(payload),
            headers: message.headers,
            root_id: message.id,
            parent_id: None,
            queue: "celery".to_owned(),
            priority: message.priority,
            eta: Some(Timestamp(365 * DAY)),
            expires: None,
        };
        again.check().is_ok().then(|| again.outgoing().map(|out| out.raw).map_err(|error| error.to_string()))
    });
    Message { sent, again }
}

/// Reads a message of the event exchange: what is told of tasks, and how many signs of workers there are.
pub fn events(raw: &[u8]) -> Option<(Vec<TaskObservation>, usize)> {
    let (mut tasks, mut workers) = (Vec::new(), 0);
    for event in events::parse(raw, Timestamp(0)).ok()? {
        match event {
            events::Event::Task(event) => tasks.push(event.seen),
            events::Event::Worker(_) => workers += 1,
        }
    }
    Some((tasks, workers))
}

/// Reads a stored result.
pub fn result(raw: &[u8]) -> Option<TaskObservation> {
    Meta::parse(raw).map(|meta| meta.seen())
}

/// Reads a reply of remote control to the question with `ticket`: how many workers told something.
pub fn control_reply(raw: &[u8], ticket: &str) -> usize {
    let replies = control::reply(raw, ticket);
    replies.values().for_each(|reply| drop((control::read_stats(reply), control::read_active_queues(reply))));
    replies.len()
}

/// Reads a Python repr, Celery's (`saferepr`) or Python's own: its value, and whether that is exactly what was written.
pub fn python_literal(text: &str, saferepr: bool) -> (Value, bool) {
    let reading = python_literal::read(text, if saferepr { Dialect::Saferepr } else { Dialect::Python });
    (reading.value, reading.fidelity == Fidelity::Exact)
}

/// Writes positional arguments as Celery's publishers do.
pub fn args_repr(values: &[Value]) -> String {
    python_repr::args(values)
}

/// Writes keyword arguments as Celery's publishers do.
pub fn kwargs_repr(values: &Map<String, Value>) -> String {
    python_repr::kwargs(values)
}

/// Reads JSON as Python writes it.
pub fn python_json(raw: &[u8]) -> Option<Value> {
    python_json::read_leniently(raw).ok()
}

/// Reads the type and message of an exception from its repr and traceback.
pub fn exception(repr: Option<&str>, traceback: Option<&str>) -> (Option<String>, Option<String>) {
    let exception = Exception::from_event(repr, traceback);
    (exception.kind, exception.message)
}
