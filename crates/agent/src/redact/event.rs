//! From an observation to the wire event.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskplane_model::fleet::WorkerSign;
use taskplane_protocol::frame::{Event, event_types};
use taskplane_protocol::text::Str;

use super::Redactor;
use super::marker::REDACTED;
use super::text::cut_end;
use super::value::redacted_json;
use crate::engine::{Observation, QueueObservation, Subject, TaskObservation, WorkerObservation};

/// Most bytes of one event on the wire.
pub const MAX_EVENT_BYTES: usize = 256 << 10;
/// Most bytes of one value (arguments, keyword arguments, result) in it.
pub const MAX_VALUE_BYTES: usize = 64 << 10;
/// Most bytes of a name or an id in JSON. Longer ones are refused by the brain anyway.
const MAX_NAME_BYTES: usize = 2 << 10;
/// Most queues that one worker is said to consume.
const MAX_QUEUES: usize = 64;

/// How much room the parts of an event have.
#[derive(Clone, Copy)]
struct Room {
    value: usize,
    traceback: usize,
    message: usize,
}

/// An event normally has `WIDE` room; the few that then are over the limit fit into `NARROW`, whatever they hold.
const WIDE: Room = Room { value: MAX_VALUE_BYTES, traceback: 64 << 10, message: 16 << 10 };
const NARROW: Room = Room { value: 16 << 10, traceback: 16 << 10, message: 4 << 10 };

impl Redactor {
    /// The JSON text of the wire event for `observation`, redacted; at most [`MAX_EVENT_BYTES`] long.
    ///
    /// This is the only way from an observation to the disk or the network.
    pub fn encode(&self, observation: &Observation) -> String {
        let wide = self.encode_in(observation, WIDE);
        if wide.len() <= MAX_EVENT_BYTES { wide } else { self.encode_in(observation, NARROW) }
    }

    fn encode_in(&self, observation: &Observation, room: Room) -> String {
        match &observation.subject {
            Subject::Task(task) => self.task(observation, task, room),
            Subject::Worker(worker) => {
                let software =
                    worker.facts.software.as_deref().map(|name| raw(json!(cut_end(name, MAX_NAME_BYTES)).to_string()));
                text_of(&Event { software: software.as_deref(), ..worker_event(observation, worker) })
            }
            Subject::Queue(queue) => text_of(&queue_event(observation, queue)),
        }
    }

    fn task(&self, observation: &Observation, task: &TaskObservation, room: Room) -> String {
        let value = |value: &Option<Value>| value.as_ref().map(|v| raw(redacted_json(self, v, room.value)));
        let (args, kwargs, result) = (value(&task.args), value(&task.kwargs), value(&task.result));
        let text = |text: &Option<String>, max| text.as_ref().map(|t| Str::from(self.shown_text(t, max)));
        text_of(&Event {
            task_id: Some(Str(cut_end(&task.task_id, MAX_NAME_BYTES))),
            name: name(&task.name),
            args_redacted: args.as_deref(),
            kwargs_redacted: kwargs.as_deref(),
            queue: name(&task.queue),
            routing_key: name(&task.routing_key),
            exchange: name(&task.exchange),
            worker: name(&task.worker),
            hostname: name(&task.hostname),
            pid: task.pid,
            retries: task.retries,
            eta: task.eta.map(|at| at.to_string().into()),
            expires: task.expires.map(|at| at.to_string().into()),
            priority: task.priority,
            root_id: name(&task.root_id),
            parent_id: name(&task.parent_id),
            group_id: name(&task.group_id),
            chord_id: name(&task.chord_id),
            runtime_ms: task.runtime_ms.filter(|ms| ms.is_finite()),
            result_redacted: result.as_deref(),
            exception: text(&task.exception, MAX_NAME_BYTES),
            exception_message: text(&task.exception_message, room.message),
            traceback: text(&task.traceback, room.traceback),
            signal: name(&task.signal),
            terminated: task.terminated,
            expired: task.expired,
            requeue: task.requeue,
            known_by: task.known_by.map(|known_by| known_by.wire_name().into()),
            done: task.done.filter(|units| units.is_finite()),
            total: task.total.filter(|units| units.is_finite()),
            note: text(&task.note, MAX_NAME_BYTES),
            ..event(task.kind.wire_name(), observation)
        })
    }
}

fn event(event_type: &'static str, observation: &Observation) -> Event<'static> {
    Event {
        event_type: Some(event_type.into()),
        ts: Some(observation.ts.to_string().into()),
        engine: Some(observation.engine.into()),
        ..Event::default()
    }
}

fn worker_event<'a>(observation: &Observation, seen: &'a WorkerObservation) -> Event<'a> {
    let event_type = match seen.sign {
        WorkerSign::Online => event_types::WORKER_ONLINE,
        WorkerSign::Heartbeat => event_types::WORKER_HEARTBEAT,
        WorkerSign::Offline => event_types::WORKER_OFFLINE,
    };
    let facts = &seen.facts;
    let queues = |queues: &Vec<String>| {
        queues.iter().take(MAX_QUEUES).map(|q| cut_end(q, MAX_NAME_BYTES).into_owned()).collect()
    };
    let loadavg: Vec<f64> = facts.loadavg.iter().copied().filter(|load| load.is_finite()).take(3).collect();
    Event {
        worker: Some(Str(cut_end(&seen.worker, MAX_NAME_BYTES))),
        hostname: name(&facts.hostname),
        pid: facts.pid,
        pool: name(&facts.pool),
        concurrency: facts.concurrency,
        active: facts.active,
        processed: facts.processed,
        loadavg: (!loadavg.is_empty()).then_some(loadavg),
        queues: facts.queues.as_ref().map(queues),
        task_events: facts.task_events,
        visibility_timeout_s: facts.visibility_timeout_s.filter(|seconds| seconds.is_finite()),
        ..event(event_type, observation)
    }
}

fn queue_event<'a>(observation: &Observation, seen: &'a QueueObservation) -> Event<'a> {
    Event {
        queue: Some(Str(cut_end(&seen.queue, MAX_NAME_BYTES))),
        depth: seen.depth,
        unacked: seen.unacked,
        consumers: seen.consumers,
        oldest_age_ms: seen.oldest_age_ms.filter(|age| age.is_finite()),
        ..event(event_types::QUEUE_STATS, observation)
    }
}

fn name(name: &Option<String>) -> Option<Str<'_>> {
    name.as_deref().map(|name| Str(cut_end(name, MAX_NAME_BYTES)))
}

/// Only valid JSON gets into an event; should the redactor ever write anything else, all of it is hidden.
pub(super) fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).unwrap_or_else(|_| {
        RawValue::from_string(format!("\"{REDACTED}\"")).unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}

fn text_of(event: &Event<'_>) -> String {
    // Events have string keys and finite numbers only: writing them cannot fail. The brain puts an empty one in quarantine.
    serde_json::to_string(event).unwrap_or_else(|_| "{}".to_owned())
}
