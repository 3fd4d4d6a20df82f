//! Celery's events: one JSON object, or a list of them, in an envelope.

use serde_json::{Map, Value};
use taskplane_agent::engine::TaskObservation;
use taskplane_model::{
    TaskEventKind, Timestamp,
    fleet::{WorkerFacts, WorkerSign},
};

use crate::{
    content::{Content, EnvelopeError},
    envelope::Envelope,
    exception::{Exception, retry_countdown},
    message::{text, time},
    python_literal::{Dialect, read},
    signals::signal_name,
};

/// More events than this in one message are not Celery's doing: it flushes at a few dozen.
const MAX_EVENTS: usize = 10_000;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Task(Box<TaskEvent>),
    Worker(Box<WorkerEvent>),
}

/// An event about a task. Arguments are still the reprs that the event carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskEvent {
    pub(crate) ts: Timestamp,
    pub(crate) seen: TaskObservation,
    pub(crate) args_repr: Option<String>,
    pub(crate) kwargs_repr: Option<String>,
}

/// An event about a worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerEvent {
    pub(crate) ts: Timestamp,
    pub(crate) sign: WorkerSign,
    pub(crate) worker: String,
    pub(crate) facts: WorkerFacts,
    /// Seconds between its heartbeats.
    pub(crate) freq: Option<f64>,
}

/// Reads a message in its kombu envelope.
pub(crate) fn parse(raw: &[u8], now: Timestamp) -> Result<Vec<Event>, EnvelopeError> {
    read_content(&Envelope::parse(raw)?.content()?, now)
}

/// Reads the body of a message. What is not understood is left out.
pub(crate) fn read_content(content: &Content, now: Timestamp) -> Result<Vec<Event>, EnvelopeError> {
    Ok(match content.lenient()? {
        Value::Array(list) => list.iter().take(MAX_EVENTS).filter_map(|e| event(e.as_object()?, now)).collect(),
        Value::Object(one) => event(&one, now).into_iter().collect(),
        _ => Vec::new(),
    })
}

fn event(fields: &Map<String, Value>, now: Timestamp) -> Option<Event> {
    let ts = fields.get("timestamp").and_then(Value::as_f64).and_then(Timestamp::from_unix_seconds).unwrap_or(now);
    let kind = fields.get("type")?.as_str()?;
    if let Some(sign) = worker_sign(kind) {
        return worker_event(fields, sign, ts).map(|e| Event::Worker(Box::new(e)));
    }
    task_event(fields, task_kind(kind)?, kind, ts).map(|e| Event::Task(Box::new(e)))
}

fn worker_sign(kind: &str) -> Option<WorkerSign> {
    Some(match kind {
        "worker-online" => WorkerSign::Online,
        "worker-heartbeat" => WorkerSign::Heartbeat,
        "worker-offline" => WorkerSign::Offline,
        _ => return None,
    })
}

fn task_kind(kind: &str) -> Option<TaskEventKind> {
    Some(match kind {
        "task-sent" => TaskEventKind::Sent,
        "task-received" => TaskEventKind::Received,
        "task-started" => TaskEventKind::Started,
        "task-succeeded" => TaskEventKind::Succeeded,
        "task-failed" => TaskEventKind::Failed,
        // Cancelled by a worker that lost its broker: the broker delivers it again.
        "task-retried" | "task-cancelled" => TaskEventKind::Retry,
        "task-revoked" => TaskEventKind::Revoked,
        "task-rejected" => TaskEventKind::Rejected,
        _ => return None,
    })
}

fn worker_event(fields: &Map<String, Value>, sign: WorkerSign, ts: Timestamp) -> Option<WorkerEvent> {
    let worker = text(fields, "hostname")?;
    let number = |key: &str| fields.get(key).and_then(Value::as_u64);
    let loadavg = fields.get("loadavg").and_then(Value::as_array);
    let software = match (text(fields, "sw_ident"), text(fields, "sw_ver")) {
        (Some(name), Some(version)) => Some(format!("{name} {version}")),
        (name, _) => name,
    };
    let facts = WorkerFacts {
        active: number("active"),
        processed: number("processed"),
        loadavg: loadavg.map(|l| l.iter().filter_map(Value::as_f64).take(3).collect()).unwrap_or_default(),
        software,
        hostname: host_of(&worker),
        pid: number("pid"),
        ..WorkerFacts::default()
    };
    let freq = fields.get("freq").and_then(Value::as_f64).filter(|f| f.is_finite() && *f > 0.0);
    Some(WorkerEvent { ts, sign, worker, facts, freq })
}

/// The host in `celery@host` or `gen123@host`.
pub(crate) fn host_of(node: &str) -> Option<String> {
    node.split_once('@').map(|(_, host)| host.to_owned())
}

fn task_event(fields: &Map<String, Value>, kind: TaskEventKind, event_type: &str, ts: Timestamp) -> Option<TaskEvent> {
    let task_id = text(fields, "uuid")?;
    let node = text(fields, "hostname");
    let traceback = text(fields, "traceback");
    let mut seen = TaskObservation {
        kind,
        name: text(fields, "name"),
        queue: text(fields, "queue"),
        routing_key: text(fields, "routing_key"),
        exchange: text(fields, "exchange"),
        hostname: node.as_deref().and_then(host_of),
        // task-sent comes from the publisher, which is no worker.
        worker: node.filter(|_| kind != TaskEventKind::Sent),
        pid: fields.get("pid").and_then(Value::as_u64),
        retries: fields.get("retries").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()),
        eta: time(fields.get("eta")),
        expires: time(fields.get("expires")),
        root_id: text(fields, "root_id"),
        parent_id: text(fields, "parent_id").filter(|parent| *parent != task_id),
        runtime_ms: fields.get("runtime").and_then(Value::as_f64).map(|s| s * 1000.0).filter(|ms| ms.is_finite()),
        result: fields.get("result").and_then(Value::as_str).map(|repr| read(repr, Dialect::Saferepr).value),
        signal: fields.get("signum").and_then(signal_name),
        terminated: fields.get("terminated").and_then(Value::as_bool),
        expired: fields.get("expired").and_then(Value::as_bool),
        requeue: fields.get("requeue").and_then(Value::as_bool),
        task_id,
        ..TaskObservation::default()
    };
    match kind {
        TaskEventKind::Failed | TaskEventKind::Retry => {
            let exception = match event_type {
                "task-cancelled" => Exception { kind: None, message: Some("cancelled by its worker".to_owned()) },
                _ => Exception::from_event(fields.get("exception").and_then(Value::as_str), traceback.as_deref()),
            };
            (seen.exception, seen.exception_message) = (exception.kind, exception.message);
            if kind == TaskEventKind::Retry {
                let countdown = traceback.as_deref().and_then(retry_countdown);
                seen.eta = countdown.and_then(|s| Timestamp::from_unix_seconds(ts.0 as f64 / 1e6 + s));
            }
            seen.traceback = traceback;
        }
        _ => {}
    }
    Some(TaskEvent { ts, seen, args_repr: text(fields, "args"), kwargs_repr: text(fields, "kwargs") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn task(name: &str) -> TaskEvent {
        match event(samples::events()[name].as_object().expect("a map"), Timestamp(0)) {
            Some(Event::Task(event)) => *event,
            other => panic!("{name} gave {other:?}"),
        }
    }

    #[test]
    fn published_envelopes_are_read_single_or_in_a_list() {
        let counts: Vec<usize> = samples::published()
            .iter()
            .filter(|m| m["channel"].as_str().is_some_and(|c| c.contains("celeryev")))
            .map(|m| parse(m["payload"].to_string().as_bytes(), Timestamp(0)).expect("reads").len())
            .collect();
        assert_eq!(counts, [1, 1, 1, 2]);
    }

    #[test]
    fn events_map_to_what_happened() {
        let sent = task("task-sent");
        assert_eq!((sent.seen.queue.as_deref(), sent.seen.worker.as_deref()), (Some("celery"), None));
        assert_eq!(sent.seen.hostname.as_deref(), Some("client"));
        assert_eq!(sent.kwargs_repr.as_deref(), Some("{'y': 3}"));

        let succeeded = task("task-succeeded");
        assert_eq!(succeeded.seen.worker.as_deref(), Some("w1@host"));
        assert_eq!(succeeded.seen.result, Some(json!(4)));
        assert!((succeeded.seen.runtime_ms.expect("known") - 5.356).abs() < 0.001);

        let retried = task("task-retried");
        assert_eq!(retried.seen.kind, TaskEventKind::Retry);
        assert_eq!(retried.seen.eta.expect("known").0 - retried.ts.0, 1_000_000);

        let revoked = task("task-revoked-terminated");
        assert_eq!((revoked.seen.signal.as_deref(), revoked.seen.terminated), (Some("SIGTERM"), Some(true)));
        let expired = task("task-revoked-expired");
        assert_eq!((expired.seen.signal, expired.seen.expired), (None, Some(true)));
    }

    #[test]
    fn a_lost_worker_is_told_by_the_traceback() {
        let failed = task("task-failed-worker-lost");
        assert_eq!(failed.seen.exception.as_deref(), Some("WorkerLostError"));
    }

    #[test]
    fn workers_tell_their_load_and_version() {
        let Some(Event::Worker(event)) =
            event(samples::events()["worker-heartbeat"].as_object().expect("a map"), Timestamp(0))
        else {
            panic!("no worker event")
        };
        assert_eq!(event.facts.software.as_deref(), Some("py-celery 5.7.0"));
        assert_eq!((event.freq, event.facts.loadavg.len(), event.facts.pid), (Some(2.0), 3, Some(14991)));
    }

    #[test]
    fn wrong_types_cost_a_field_not_the_event() {
        let fields = json!({"type": "task-failed", "uuid": "x", "timestamp": "noon", "exception": 5, "traceback": [],
            "signum": {}, "retries": -1, "runtime": "long", "hostname": null});
        let event = event(fields.as_object().expect("a map"), Timestamp(7)).expect("still an event");
        assert!(matches!(event, Event::Task(e) if e.ts == Timestamp(7) && e.seen.exception.is_none()));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, Timestamp(0));
        }
    }
}
