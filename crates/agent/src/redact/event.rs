//! From an observation to the wire event.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskplane_model::KnownBy;
use taskplane_model::fleet::WorkerSign;
use taskplane_protocol::frame::{Event, event_types};
use taskplane_protocol::text::Str;

use super::Redactor;
use super::marker::REDACTED;
use super::text::cut_end;
use super::value::redacted_json;
use crate::engine::{Observation, QueueObservation, Subject, TaskObservation, WorkerObservation};
use crate::json::{put, put_string};

/// Most bytes of one event on the wire.
pub const MAX_EVENT_BYTES: usize = 256 << 10;
/// Most bytes of one value (arguments, keyword arguments, result) in it.
pub const MAX_VALUE_BYTES: usize = 64 << 10;
/// Room for most events.
const USUAL_BYTES: usize = 512;
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

    /// Written straight, in the order of the fields of [`Event`]: hooks of an application wait for it.
    fn task(&self, observation: &Observation, task: &TaskObservation, room: Room) -> String {
        let mut line = Line::begin(task.kind.wire_name(), observation);
        line.text(r#","task_id":"#, &cut_end(&task.task_id, MAX_NAME_BYTES));
        line.name(r#","name":"#, &task.name);
        line.value(r#","args_redacted":"#, self.shown(&task.args, room));
        line.value(r#","kwargs_redacted":"#, self.shown(&task.kwargs, room));
        line.name(r#","queue":"#, &task.queue);
        line.name(r#","routing_key":"#, &task.routing_key);
        line.name(r#","exchange":"#, &task.exchange);
        line.name(r#","worker":"#, &task.worker);
        line.name(r#","hostname":"#, &task.hostname);
        line.scalar(r#","pid":"#, task.pid);
        line.scalar(r#","retries":"#, task.retries);
        line.scalar(r#","eta":"#, task.eta);
        line.scalar(r#","expires":"#, task.expires);
        line.scalar(r#","priority":"#, task.priority);
        line.name(r#","root_id":"#, &task.root_id);
        line.name(r#","parent_id":"#, &task.parent_id);
        line.name(r#","group_id":"#, &task.group_id);
        line.name(r#","chord_id":"#, &task.chord_id);
        line.number(r#","runtime_ms":"#, task.runtime_ms);
        line.value(r#","result_redacted":"#, self.shown(&task.result, room));
        let mut text = |key, text: &Option<String>, max| {
            if let Some(text) = text {
                line.text(key, &self.shown_text(text, max));
            }
        };
        text(r#","exception":"#, &task.exception, MAX_NAME_BYTES);
        text(r#","exception_message":"#, &task.exception_message, room.message);
        text(r#","traceback":"#, &task.traceback, room.traceback);
        line.name(r#","signal":"#, &task.signal);
        line.scalar(r#","terminated":"#, task.terminated);
        line.scalar(r#","expired":"#, task.expired);
        line.scalar(r#","requeue":"#, task.requeue);
        line.scalar(r#","known_by":"#, task.known_by.map(KnownBy::wire_name));
        line.number(r#","done":"#, task.done);
        line.number(r#","total":"#, task.total);
        if let Some(note) = &task.note {
            line.text(r#","note":"#, &self.shown_text(note, MAX_NAME_BYTES));
        }
        line.end()
    }

    fn shown(&self, value: &Option<Value>, room: Room) -> Option<String> {
        value.as_ref().map(|value| redacted_json(self, value, room.value))
    }
}

/// One event as it is written. A key comes with what stands around it.
struct Line {
    out: Vec<u8>,
}

impl Line {
    fn begin(event_type: &str, observation: &Observation) -> Self {
        let mut line = Self { out: Vec::with_capacity(USUAL_BYTES) };
        line.text(r#"{"event_type":"#, event_type);
        line.scalar(r#","ts":"#, Some(observation.ts));
        line.text(r#","engine":"#, observation.engine);
        line
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, key: &str, text: &str) {
        self.raw(key);
        put_string(&mut self.out, text);
    }

    fn name(&mut self, key: &str, name: &Option<String>) {
        if let Some(name) = name {
            self.text(key, &cut_end(name, MAX_NAME_BYTES));
        }
    }

    fn scalar<T: Serialize>(&mut self, key: &str, scalar: Option<T>) {
        if let Some(scalar) = scalar {
            self.raw(key);
            put(&mut self.out, &scalar);
        }
    }

    fn number(&mut self, key: &str, number: Option<f64>) {
        self.scalar(key, number.filter(|number| number.is_finite()));
    }

    /// Only valid JSON gets into an event; should the redactor ever write anything else, all of it is hidden.
    fn value(&mut self, key: &str, json: Option<String>) {
        let Some(json) = json else { return };
        self.raw(key);
        match serde_json::from_str::<&RawValue>(&json) {
            Ok(valid) => self.raw(valid.get()),
            Err(_) => put_string(&mut self.out, REDACTED),
        }
    }

    fn end(mut self) -> String {
        self.raw("}");
        // Every part was text.
        String::from_utf8(self.out).unwrap_or_else(|_| "{}".to_owned())
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
