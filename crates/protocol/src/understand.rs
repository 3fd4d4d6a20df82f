//! What an event means, or why it cannot be understood.

use serde_json::value::RawValue;
use taskplane_model::fleet::{Queue, Worker, WorkerFacts, WorkerSign};
use taskplane_model::{KnownBy, TaskEvent, TaskEventKind, Timestamp};
use thiserror::Error;

use crate::frame::{Event, event_types};
use crate::limits::{MAX_DEPTH, MAX_NAME_BYTES, MAX_TASK_ID_BYTES};
use crate::text::Str;

/// What an event is about. The `agent` numbers inside are zero; ingest fills them in.
#[derive(Debug)]
pub enum Meaning<'e> {
    /// Something happened to a task.
    Task {
        /// Engine.
        engine: &'e str,
        /// The engine's id.
        task_id: &'e str,
        /// What.
        event: Box<TaskEvent<'e>>,
    },
    /// A sign of a worker.
    Worker(Box<Worker>),
    /// A sample of a queue.
    Queue(Box<Queue>),
    /// Something that is stored and shown as it is, with the engine and id of the task that it is about, if any.
    Other(Option<(&'e str, &'e str)>),
}

/// Why an event cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Poison {
    /// No `event_type`.
    #[error("no event_type")]
    NoEventType,
    /// A task event without `task_id`.
    #[error("{0} without task_id")]
    NoTaskId(&'static str),
    /// No `engine`, and the agent does not have exactly one.
    #[error("no engine, and the agent has not exactly one")]
    NoEngine,
    /// A worker event without `worker`, or a queue sample without `queue`.
    #[error("{0} without {1}")]
    NoSubject(&'static str, &'static str),
    /// Arguments or a result that are nested too deeply.
    #[error("{0} is nested more than {1} deep")]
    TooDeep(&'static str, usize),
    /// An id or a name that is too long.
    #[error("{0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
}

/// Reads the meaning of `event`, received at `now` from an agent whose only engine, if it has just one, is `only_engine`.
/// A missing or absurd time becomes `now`.
pub fn understand<'e>(
    event: &'e Event<'_>,
    only_engine: Option<&'e str>,
    now: Timestamp,
) -> Result<Meaning<'e>, Poison> {
    let event_type = event.event_type.as_deref().ok_or(Poison::NoEventType)?;
    let ts = event_time(event, now).ts;
    let engine = || {
        let engine = event.engine.as_deref().or(only_engine).ok_or(Poison::NoEngine)?;
        within(engine, "engine", MAX_NAME_BYTES)
    };
    if let Some(kind) = TaskEventKind::from_wire_name(event_type) {
        let task_id = event.task_id.as_deref().filter(|id| !id.is_empty()).ok_or(Poison::NoTaskId(kind.wire_name()))?;
        let task_id = within(task_id, "task_id", MAX_TASK_ID_BYTES)?;
        return Ok(Meaning::Task { engine: engine()?, task_id, event: Box::new(task_event(event, kind, ts)?) });
    }
    let sign = match event_type {
        event_types::WORKER_ONLINE => WorkerSign::Online,
        event_types::WORKER_HEARTBEAT => WorkerSign::Heartbeat,
        event_types::WORKER_OFFLINE => WorkerSign::Offline,
        event_types::QUEUE_STATS => return queue_sample(event, engine()?, ts),
        _ => return Ok(Meaning::Other(other_task(event, only_engine))),
    };
    let name = event.worker.as_deref().ok_or(Poison::NoSubject("worker event", "worker"))?;
    Ok(Meaning::Worker(Box::new(Worker {
        name: within(name, "worker", MAX_NAME_BYTES)?.to_owned(),
        engine: engine()?.to_owned(),
        sign,
        last_seen_at: ts,
        facts: worker_facts(event),
        agent: 0,
    })))
}

/// When an event happened, as far as that can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime {
    /// The event's own time, or the one it was received at.
    pub ts: Timestamp,
    /// Its own time was missing or absurd.
    pub is_replaced: bool,
}

/// The time of an event received at `now`: its own unless that is missing or absurd.
pub fn event_time(event: &Event<'_>, now: Timestamp) -> EventTime {
    let own = event.ts.as_deref().and_then(Timestamp::parse_rfc3339).filter(|ts| !ts.is_absurd(now));
    EventTime { ts: own.unwrap_or(now), is_replaced: own.is_none() }
}

/// The task that an event of unknown type is about, where it names one that could be stored.
fn other_task<'e>(event: &'e Event<'_>, only_engine: Option<&'e str>) -> Option<(&'e str, &'e str)> {
    let engine = event.engine.as_deref().or(only_engine).filter(|engine| engine.len() <= MAX_NAME_BYTES)?;
    let task_id = event.task_id.as_deref().filter(|id| (1..=MAX_TASK_ID_BYTES).contains(&id.len()))?;
    Some((engine, task_id))
}

fn within<'e>(text: &'e str, what: &'static str, limit: usize) -> Result<&'e str, Poison> {
    if text.len() > limit { Err(Poison::TooLong(what, limit)) } else { Ok(text) }
}

/// The text of a JSON value that is not nested too deeply for those who read it back.
fn json<'e>(value: Option<&'e RawValue>, what: &'static str) -> Result<Option<&'e str>, Poison> {
    match value.map(RawValue::get) {
        Some(text) if is_deep(text) => Err(Poison::TooDeep(what, MAX_DEPTH)),
        text => Ok(text),
    }
}

/// True when `json`, which is valid, is nested more than [`MAX_DEPTH`] deep.
fn is_deep(json: &str) -> bool {
    // Each level has a beginning and an end; most values are too short to be looked at.
    if json.len() <= 2 * MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn task_event<'e>(event: &'e Event<'_>, kind: TaskEventKind, ts: Timestamp) -> Result<TaskEvent<'e>, Poison> {
    let text = |field: &'e Option<Str<'_>>| field.as_deref();
    let name = |field: &'e Option<Str<'_>>, what| field.as_deref().map(|n| within(n, what, MAX_NAME_BYTES)).transpose();
    let time = |field: &'e Option<Str<'_>>| field.as_deref().and_then(Timestamp::parse_rfc3339);
    Ok(TaskEvent {
        kind,
        ts,
        attempt: event.retries,
        name: name(&event.name, "name")?,
        args: json(event.args_redacted, "args_redacted")?,
        kwargs: json(event.kwargs_redacted, "kwargs_redacted")?,
        queue: name(&event.queue, "queue")?,
        routing_key: name(&event.routing_key, "routing_key")?,
        exchange: name(&event.exchange, "exchange")?,
        worker: name(&event.worker, "worker")?,
        eta: time(&event.eta),
        expires: time(&event.expires),
        priority: event.priority,
        root_id: name(&event.root_id, "root_id")?,
        parent_id: name(&event.parent_id, "parent_id")?,
        group_id: name(&event.group_id, "group_id")?,
        chord_id: name(&event.chord_id, "chord_id")?,
        runtime_us: event.runtime_ms.filter(|ms| ms.is_finite() && *ms >= 0.0).map(|ms| (ms * 1000.0).round() as u64),
        result: json(event.result_redacted, "result_redacted")?,
        exception: text(&event.exception),
        exception_message: text(&event.exception_message),
        traceback: text(&event.traceback),
        signal: text(&event.signal),
        known_by: text(&event.known_by).and_then(KnownBy::from_wire_name),
        terminated: event.terminated.unwrap_or(false),
        expired: event.expired.unwrap_or(false),
        requeue: event.requeue.unwrap_or(false),
        done: event.done,
        total: event.total,
        note: text(&event.note),
    })
}

fn worker_facts(event: &Event<'_>) -> WorkerFacts {
    let own = |text: &Option<Str<'_>>| text.as_deref().map(str::to_owned);
    let software =
        event.software.map(|raw| serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned()));
    WorkerFacts {
        pool: own(&event.pool),
        concurrency: event.concurrency,
        active: event.active,
        processed: event.processed,
        loadavg: event.loadavg.clone().unwrap_or_default(),
        queues: event.queues.clone(),
        software,
        hostname: own(&event.hostname),
        pid: event.pid,
        task_events: event.task_events,
        visibility_timeout_s: event.visibility_timeout_s.filter(|s| s.is_finite() && *s >= 0.0),
    }
}

fn queue_sample<'e>(event: &'e Event<'_>, engine: &'e str, ts: Timestamp) -> Result<Meaning<'e>, Poison> {
    let name = event.queue.as_deref().ok_or(Poison::NoSubject(event_types::QUEUE_STATS, "queue"))?;
    Ok(Meaning::Queue(Box::new(Queue {
        name: within(name, "queue", MAX_NAME_BYTES)?.to_owned(),
        engine: engine.to_owned(),
        depth: event.depth,
        unacked: event.unacked,
        consumers: event.consumers,
        oldest_age_ms: event.oldest_age_ms,
        counted_at: None,
        sampled_at: ts,
        agent: 0,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    fn read(text: &str) -> Result<String, Poison> {
        let event: Event<'_> = serde_json::from_str(text).expect("an event");
        understand(&event, Some("celery"), NOW).map(|meaning| format!("{meaning:?}"))
    }

    #[test]
    fn events_without_their_subject_are_poison() {
        assert_eq!(read("{}"), Err(Poison::NoEventType));
        assert_eq!(read(r#"{"event_type":"task_sent"}"#), Err(Poison::NoTaskId("task_sent")));
        assert_eq!(read(r#"{"event_type":"worker_online"}"#), Err(Poison::NoSubject("worker event", "worker")));
        assert_eq!(read(r#"{"event_type":"queue_stats"}"#), Err(Poison::NoSubject("queue_stats", "queue")));
        let long = format!(r#"{{"event_type":"task_sent","task_id":"{}"}}"#, "x".repeat(513));
        assert_eq!(read(&long), Err(Poison::TooLong("task_id", 512)));
    }

    #[test]
    fn values_that_are_nested_too_deeply_are_poison() {
        let nested = |depth: usize| format!("{}{}", r#"[{"a":"#.repeat(depth / 2) + "1", "}]".repeat(depth / 2));
        let event = |args: &str| format!(r#"{{"event_type":"task_sent","task_id":"t","args_redacted":{args}}}"#);
        assert!(read(&event(&nested(MAX_DEPTH))).is_ok());
        assert_eq!(read(&event(&nested(MAX_DEPTH + 2))), Err(Poison::TooDeep("args_redacted", MAX_DEPTH)));
        assert_eq!(read(&event(&nested(200_000))), Err(Poison::TooDeep("args_redacted", MAX_DEPTH)));
        let brackets_in_text = serde_json::to_string(&"[{\\\"".repeat(500)).expect("is JSON");
        assert!(read(&event(&brackets_in_text)).is_ok());
    }

    #[test]
    fn unknown_event_types_are_kept_as_they_are() {
        assert_eq!(read(r#"{"event_type":"deployment"}"#).as_deref(), Ok("Other(None)"));
        let of_a_task = read(r#"{"event_type":"task_snoozed","task_id":"t"}"#);
        assert_eq!(of_a_task.as_deref(), Ok(r#"Other(Some(("celery", "t")))"#));
    }

    #[test]
    fn absurd_times_become_the_receive_time() {
        for ts in ["", "yesterday", "1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
            let event = Event { ts: Some(ts.into()), ..Event::default() };
            assert_eq!(event_time(&event, NOW), EventTime { ts: NOW, is_replaced: true }, "{ts}");
        }
        let event = Event { ts: Some("2026-04-16T12:34:56.789012Z".into()), ..Event::default() };
        let time = event_time(&event, NOW);
        assert_eq!((time.ts.to_string().as_str(), time.is_replaced), ("2026-04-16T12:34:56.789012Z", false));
    }
}
