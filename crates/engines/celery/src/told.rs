//! What hooks in the application's own process tell: the messages that its workers received, and what became of the tasks.
//!
//! Nobody waits here for a disk or a broker: the tracker takes in what is told, and what a later retry of a failed task needs is
//! put aside, to be written to the payload store by [`keep`].

use std::{
    mem,
    sync::{Arc, Mutex},
    time::Instant,
};

use serde::Deserialize;
use taskplane_agent::engine::TaskObservation;
use taskplane_model::{
    TaskEventKind, Timestamp,
    fleet::{WorkerFacts, WorkerSign},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    events::WorkerEvent,
    payloads::Record,
    shared::{Shared, lock},
};

/// Most records that wait to be written. When the disk is behind, losing some originals is better than holding up the rest.
const MAX_PENDING: usize = 4_096;

/// Failed attempts whose originals are to be written.
#[derive(Default)]
pub(crate) struct Pending {
    records: Mutex<Vec<Record>>,
    more: Notify,
}

impl Pending {
    fn put(&self, record: Record) {
        let mut records = lock(&self.records);
        if records.len() < MAX_PENDING {
            records.push(record);
        }
        drop(records);
        self.more.notify_one();
    }
}

/// A wire event as far as it matters here. Arguments and results in it are redacted, and of no use for a retry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    event_type: Option<String>,
    ts: Option<String>,
    task_id: Option<String>,
    name: Option<String>,
    queue: Option<String>,
    worker: Option<String>,
    hostname: Option<String>,
    pid: Option<u64>,
    retries: Option<u32>,
    priority: Option<i64>,
    root_id: Option<String>,
    parent_id: Option<String>,
    group_id: Option<String>,
    chord_id: Option<String>,
    pool: Option<String>,
    concurrency: Option<u64>,
    active: Option<u64>,
    processed: Option<u64>,
    queues: Option<Vec<String>>,
}

/// Takes in a wire event that a hook has made, and the message of its task as a worker received it.
pub(crate) fn told(shared: &Shared, original: Option<Vec<u8>>, text: &str) {
    let event: Event = match serde_json::from_str(text) {
        Ok(event) => event,
        Err(error) => {
            tracing::debug!(line = error.line(), column = error.column(), "an event of a hook was not understood");
            return;
        }
    };
    let kind = event.event_type.as_deref().unwrap_or_default();
    let ts = event.ts.as_deref().and_then(Timestamp::parse_rfc3339);
    if let Some(kind) = TaskEventKind::from_wire_name(kind) {
        task(shared, original, event, kind, ts.unwrap_or_else(clock::now));
    } else if let Some(sign) = worker_sign(kind) {
        worker(shared, event, sign, ts.unwrap_or_else(clock::now));
    }
}

fn worker_sign(kind: &str) -> Option<WorkerSign> {
    Some(match kind {
        "worker_online" => WorkerSign::Online,
        "worker_heartbeat" => WorkerSign::Heartbeat,
        "worker_offline" => WorkerSign::Offline,
        _ => return None,
    })
}

fn task(shared: &Shared, original: Option<Vec<u8>>, event: Event, kind: TaskEventKind, ts: Timestamp) {
    let Some(task_id) = event.task_id.filter(|id| !id.is_empty()) else { return };
    let mut seen = TaskObservation {
        kind,
        task_id,
        name: event.name,
        queue: event.queue,
        // What a publisher tells comes from no worker.
        worker: event.worker.filter(|_| kind != TaskEventKind::Sent),
        hostname: event.hostname,
        pid: event.pid,
        retries: event.retries,
        priority: event.priority,
        root_id: event.root_id,
        parent_id: event.parent_id,
        group_id: event.group_id,
        chord_id: event.chord_id,
        ..TaskObservation::default()
    };
    if let Some(worker) = &seen.worker {
        lock(&shared.workers).heard(worker, ts, Instant::now());
    }
    let mut tracker = lock(&shared.tracker);
    if let Some(original) = original {
        tracker.received(&seen.task_id, seen.retries.unwrap_or_default(), original);
    }
    let is_new = tracker.observe(&mut seen, (None, None), ts);
    if !is_new || !matches!(kind, TaskEventKind::Failed | TaskEventKind::Retry) {
        return;
    }
    let record = tracker
        .get(&seen.task_id)
        .map(|known| Record::of(&seen.task_id, ts, kind == TaskEventKind::Failed, &known.read(), None));
    drop(tracker);
    record.into_iter().for_each(|record| shared.told.put(record));
}

fn worker(shared: &Shared, event: Event, sign: WorkerSign, ts: Timestamp) {
    let Some(worker) = event.worker.filter(|name| !name.is_empty()) else { return };
    let facts = WorkerFacts {
        pool: event.pool,
        concurrency: event.concurrency,
        active: event.active,
        processed: event.processed,
        queues: event.queues,
        hostname: event.hostname,
        pid: event.pid,
        task_events: Some(true),
        ..WorkerFacts::default()
    };
    lock(&shared.workers).told(WorkerEvent { ts, sign, worker, facts, freq: None }, Instant::now());
}

/// Writes what was put aside. Waits for the disk. Returns false when that could not be written.
pub(crate) fn keep(shared: &Shared) -> bool {
    let records = mem::take(&mut *lock(&shared.told.records));
    if records.is_empty() {
        return true;
    }
    let (mut store, now) = (lock(&shared.payloads), clock::now());
    let mut failure = None;
    for record in records {
        failure = store.put(record, now).err().or(failure);
    }
    if let Some(error) = &failure {
        tracing::warn!(error = %error.kind(), "the originals of failed tasks cannot be kept: retrying them may not be possible");
    }
    failure.is_none()
}

/// Writes what is put aside, off the async threads, until `stop`; and then what is left.
pub(crate) async fn keep_all(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let is_over = stop.run_until_cancelled(shared.told.more.notified()).await.is_none();
        let owned = Arc::clone(&shared);
        // A panic in there was logged.
        let _ = tokio::task::spawn_blocking(move || keep(&owned)).await;
        if is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{config::CeleryConfig, samples};

    /// An engine in an application whose broker nobody asks.
    fn inside(config: impl FnOnce(&mut CeleryConfig)) -> Shared {
        let mut inside = CeleryConfig::inside("redis://127.0.0.1:1/0");
        config(&mut inside);
        Shared::new(inside).expect("a configuration")
    }

    fn message(case: &str) -> (String, Value) {
        let message = samples::task_message(case);
        (message["headers"]["id"].as_str().expect("an id").to_owned(), message)
    }

    fn tell(shared: &Shared, kind: &str, id: &str, retries: u32) {
        tell_with(shared, None, kind, id, retries);
    }

    fn tell_with(shared: &Shared, original: Option<&Value>, kind: &str, id: &str, retries: u32) {
        let event = json!({"event_type": kind, "ts": clock::now().to_string(), "engine": "celery", "task_id": id,
            "name": "proj.add", "worker": "w1@host", "queue": "rawq", "retries": retries, "args_redacted": ["<str len=4>"]});
        told(shared, original.map(|original| original.to_string().into_bytes()), &event.to_string());
    }

    fn kept(shared: &Shared, id: &str) -> Option<Record> {
        lock(&shared.payloads).get(id, clock::now())
    }

    #[test]
    fn the_original_of_a_failed_attempt_is_kept_with_everything_that_it_carries() {
        let dir = tempfile::tempdir().expect("a directory");
        let shared = inside(|config| config.payload_dir = Some(dir.path().to_owned()));
        let (id, raw) = message("chain_head");
        tell_with(&shared, Some(&raw), "task_received", &id, 0);
        tell(&shared, "task_started", &id, 0);
        assert!(keep(&shared) && kept(&shared, &id).is_none(), "nothing has failed");
        tell(&shared, "task_failed", &id, 0);
        assert!(keep(&shared));
        // After a restart, too.
        drop(shared);
        let shared = inside(|config| config.payload_dir = Some(dir.path().to_owned()));
        let record = kept(&shared, &id).expect("is kept");
        let payload = record.payload.expect("its arguments");
        assert_eq!((json!(payload.args), payload.embed.has_chain()), (json!([1, 1]), true));
        assert!(record.failed && record.headers.is_some());
        assert_eq!((record.queue.as_deref(), record.worker.as_deref()), (Some("rawq"), Some("w1@host")));
    }

    #[test]
    fn a_redacted_event_never_takes_the_place_of_the_original() {
        let shared = inside(|_| {});
        let (id, raw) = message("chain_head");
        tell_with(&shared, Some(&raw), "task_received", &id, 0);
        tell(&shared, "task_retry", &id, 0);
        assert!(keep(&shared));
        // The collector starts anew, and has seen nothing of the next attempt but its end.
        *lock(&shared.tracker) = crate::tracker::Tracker::within(crate::tracker::Limits::inside(1 << 20));
        tell(&shared, "task_retry", &id, 1);
        assert!(keep(&shared));
        let record = kept(&shared, &id).expect("is kept");
        assert_eq!(record.payload.map(|payload| json!(payload.args)), Some(json!([1, 1])));
    }

    #[test]
    fn a_message_that_cannot_be_read_is_kept_once_a_worker_has_read_it() {
        let kept_of = |kinds: &[&str]| {
            let shared = inside(|_| {});
            let (id, raw) = message("pickle");
            let originals = std::iter::once(Some(&raw)).chain(std::iter::repeat(None));
            kinds.iter().zip(originals).for_each(|(kind, raw)| tell_with(&shared, raw, kind, &id, 0));
            assert!(keep(&shared));
            kept(&shared, &id).expect("is kept").verbatim
        };
        assert!(kept_of(&["task_received", "task_started", "task_failed"]).is_some());
        assert_eq!(kept_of(&["task_failed"]), None, "a worker that does not know the task has not read it");
    }

    #[test]
    fn an_end_that_is_told_twice_counts_once() {
        let shared = inside(|_| {});
        let (id, raw) = message("chain_head");
        tell_with(&shared, Some(&raw), "task_received", &id, 0);
        tell(&shared, "task_failed", &id, 0);
        tell(&shared, "task_failed", &id, 0);
        assert_eq!(lock(&shared.told.records).len(), 1);
        assert_eq!(lock(&shared.tracker).get(&id).and_then(crate::tracker::Known::end), Some(TaskEventKind::Failed));
    }

    #[test]
    fn what_has_not_ended_is_remembered_for_longer() {
        let shared = inside(|config| config.memory = 64 << 10);
        let (id, raw) = message("chain_head");
        tell_with(&shared, Some(&raw), "task_received", &id, 0);
        for number in 0..1_000 {
            let mut other = raw.clone();
            other["headers"]["id"] = json!(format!("task-{number}"));
            tell_with(&shared, Some(&other), "task_succeeded", &format!("task-{number}"), 0);
        }
        let tracker = lock(&shared.tracker);
        assert!(tracker.get(&id).is_some_and(|known| known.read().payload.is_some()));
        assert!(!tracker.contains("task-0"));
    }

    #[test]
    fn workers_that_tell_of_themselves_are_not_asked() {
        let shared = inside(|_| {});
        let tell_worker = |kind: &str| {
            let event = json!({"event_type": kind, "worker": "w1@host", "pool": "prefork", "concurrency": 4,
                "queues": ["a", "b"]});
            told(&shared, None, &event.to_string());
        };
        tell_worker("worker_online");
        tell_worker("worker_heartbeat");
        let workers = lock(&shared.workers);
        assert_eq!((workers.concurrency("w1@host"), workers.queues().len()), (Some(4), 2));
        assert!(workers.unprepared().is_empty() && !workers.is_gone("w1@host"));
        drop(workers);
        tell_worker("worker_offline");
        tell(&shared, "task_succeeded", "late", 0);
        assert!(lock(&shared.workers).is_gone("w1@host"));
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let shared = inside(|_| {});
        for text in ["", "[]", "null", "{}", r#"{"event_type":"task_failed"}"#, r#"{"event_type":7}"#, "\u{0}"] {
            told(&shared, Some(text.into()), text);
        }
        assert!(lock(&shared.told.records).is_empty());
    }
}
