use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::FrameError;
use super::bounded::Bounded;
use crate::limits::{MAX_BATCH_EVENTS, MAX_EVENT_BYTES};
use crate::text::{Str, string_or_nothing};

/// The names of events that are not about a task's life cycle.
pub mod event_types {
    /// A worker came up.
    pub const WORKER_ONLINE: &str = "worker_online";
    /// A worker is alive.
    pub const WORKER_HEARTBEAT: &str = "worker_heartbeat";
    /// A worker went away.
    pub const WORKER_OFFLINE: &str = "worker_offline";
    /// A sample of a queue.
    pub const QUEUE_STATS: &str = "queue_stats";
    /// A scheduler enqueued a task.
    pub const SCHEDULE_FIRED: &str = "schedule_fired";
}

/// Events under one sequence number.
#[derive(Debug)]
pub struct EventBatch<'a> {
    /// Position in the stream, from 1.
    pub seq: u64,
    /// The `events` array as it came: what is stored.
    pub raw_events: &'a str,
    /// Each event, or why its fields are not of the right types, in order.
    pub events: Vec<Result<Event<'a>, Unreadable<'a>>>,
}

/// An event whose fields are not of the right types.
#[derive(Debug)]
pub struct Unreadable<'a> {
    /// Its text.
    pub raw: &'a str,
    /// What is wrong.
    pub reason: String,
}

impl<'a> EventBatch<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, FrameError> {
        #[derive(Deserialize)]
        struct Body<'a> {
            seq: u64,
            #[serde(borrow)]
            events: &'a RawValue,
        }
        let malformed = |source| FrameError::Malformed { kind: "event_batch", source };
        let Body { seq, events } = serde_json::from_str(text).map_err(malformed)?;
        if seq == 0 {
            return Err(FrameError::SeqZero);
        }
        let raw_events = events.get();
        // A short array has no event that is too large.
        let together = match raw_events.len() {
            0..=MAX_EVENT_BYTES => {
                Bounded::<Event<'a>, MAX_BATCH_EVENTS>::parse(raw_events, expected_events(raw_events)).ok()
            }
            _ => None,
        };
        let (events, count): (Vec<_>, _) = match together {
            Some(Bounded { items, count }) => (items.into_iter().map(Ok).collect(), count),
            None => one_by_one(raw_events).map_err(malformed)?,
        };
        if count == 0 || count > MAX_BATCH_EVENTS {
            return Err(FrameError::BatchSize { seq, events: count });
        }
        Ok(Self { seq, raw_events, events })
    }
}

/// About how many events an array of them has, rather too many than too few: events have some 350 bytes.
fn expected_events(raw_events: &str) -> usize {
    raw_events.len() / 256 + 1
}

type Read<'a> = Result<Event<'a>, Unreadable<'a>>;

/// Reads the events apart, so that a bad one does not block the rest. Returns how many there are, too.
fn one_by_one(raw_events: &str) -> Result<(Vec<Read<'_>>, usize), serde_json::Error> {
    let raws = Bounded::<&RawValue, MAX_BATCH_EVENTS>::parse(raw_events, expected_events(raw_events))?;
    Ok((raws.items.into_iter().map(|raw| read(raw.get())).collect(), raws.count))
}

fn read(raw: &str) -> Read<'_> {
    if raw.len() > MAX_EVENT_BYTES {
        let reason = format!("the event has {} bytes; {MAX_EVENT_BYTES} are allowed", raw.len());
        return Err(Unreadable { raw, reason });
    }
    serde_json::from_str::<Event<'_>>(raw).map_err(|error| Unreadable { raw, reason: error.to_string() })
}

/// One event as it is on the wire. Only `event_type` is always there; JSON values are kept as text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Event"))]
#[serde(remote = "Self")]
pub struct Event<'a> {
    /// What happened: one of the known types, or a name of your own.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Str<'a>>,
    /// When it happened, by the observer's clock: RFC 3339 with a zone. Missing or absurd (before 2000, or more than a day
    /// ahead), it is replaced by the time of receipt.
    #[serde(borrow, default, deserialize_with = "string_or_nothing", skip_serializing_if = "Option::is_none")]
    pub ts: Option<Str<'a>>,
    /// The queue engine, such as `celery`. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Str<'a>>,
    /// The engine's own id of the task. At most 512 bytes; required on task events.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Str<'a>>,
    /// Task type, such as `email.send_welcome`. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Str<'a>>,
    /// Positional arguments, redacted; any JSON, normally an array.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub args_redacted: Option<&'a RawValue>,
    /// Keyword arguments, redacted; any JSON, normally an object.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub kwargs_redacted: Option<&'a RawValue>,
    /// Queue. At most 512 bytes; required on `queue_stats`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Str<'a>>,
    /// Routing key. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<Str<'a>>,
    /// Exchange. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Str<'a>>,
    /// Worker that runs or ran the task, or that the event is about. At most 512 bytes; required on worker events.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Str<'a>>,
    /// Host of the process that told.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Str<'a>>,
    /// Process id of the process that told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
    /// Attempt number, 0-based: 0 is the first run, 1 the first retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Earliest time to run, RFC 3339.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Str<'a>>,
    /// Time after which it must not run, RFC 3339.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Str<'a>>,
    /// Priority, as the engine counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Id of the first task of the workflow. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub root_id: Option<Str<'a>>,
    /// Id of the task that sent this one. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Str<'a>>,
    /// Id of the group. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<Str<'a>>,
    /// Id of the chord's body. At most 512 bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub chord_id: Option<Str<'a>>,
    /// Run time in milliseconds; fractions are kept to the microsecond. Negative ones are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_ms: Option<f64>,
    /// What the task returned, redacted; any JSON.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub result_redacted: Option<&'a RawValue>,
    /// Type of the exception, such as `ValueError`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Str<'a>>,
    /// Its message, redacted.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub exception_message: Option<Str<'a>>,
    /// Its traceback, redacted.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<Str<'a>>,
    /// Signal that ended it, such as `SIGTERM`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Str<'a>>,
    /// It was running and was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminated: Option<bool>,
    /// It had expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
    /// It went back to the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requeue: Option<bool>,
    /// How it is known, when no event of the engine's own told it: `result_channel`, `result_backend` or `inspection`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub known_by: Option<Str<'a>>,
    /// Progress: units done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<f64>,
    /// Progress: units in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// Progress: what it is doing.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Str<'a>>,
    /// Worker's pool.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Str<'a>>,
    /// Tasks a worker can run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Tasks a worker runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// Tasks a worker has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed: Option<u64>,
    /// Load of the worker's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loadavg: Option<Vec<f64>>,
    /// Queues a worker consumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<Vec<String>>,
    /// Software of a worker: a name and version as text, or an object.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub software: Option<&'a RawValue>,
    /// Whether a worker sends task events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_events: Option<bool>,
    /// After how many seconds a worker's broker delivers messages again that stay unacknowledged, where it does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility_timeout_s: Option<f64>,
    /// Messages ready in a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// Messages of a queue delivered and not acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacked: Option<u64>,
    /// Consumers of a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<u64>,
    /// Age of a queue's oldest message, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_age_ms: Option<f64>,
}

// Derived alone, it would also be read from an array of its fields in order, which is not an event.
impl<'de: 'a, 'a> Deserialize<'de> for Event<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Event<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Event::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}
