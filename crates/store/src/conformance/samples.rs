//! Agents, events and batches to test with.

use std::collections::BTreeMap;
use std::sync::Arc;

use taskplane_model::agent::AgentProfile;
use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};

use crate::Store;
use crate::access::NewAudit;
use crate::ingest::{BatchToStore, OpenedStream, StreamToOpen, TaskDelta, Verdict};

/// When the tests happen: 2026-11-18T02:40:00Z.
pub(super) const NOW: Timestamp = Timestamp(1_794_969_600_000_000);
/// The engine of most sample tasks.
pub(super) const ENGINE: &str = "celery";

/// The number of the default project.
pub(super) async fn default_project(store: &impl Store) -> u64 {
    store.project("default").await.expect("can be read").expect("is there from the start").id
}

/// Opens a stream of the default project.
pub(super) async fn open(store: &impl Store, agent: &str, instance: &str) -> OpenedStream {
    let stream = StreamToOpen {
        project: default_project(store).await,
        agent_name: agent.to_owned(),
        instance_id: instance.to_owned(),
        profile: AgentProfile {
            framework: Some("django".into()),
            engines: vec![ENGINE.into()],
            ..AgentProfile::default()
        },
    };
    store.open_stream(stream, NOW).await.expect("opens")
}

/// A batch of the default project; its digest follows from stream and number.
pub(super) fn batch(project: u64, stream: OpenedStream, seq: u64, tasks: Vec<TaskDelta>) -> BatchToStore {
    BatchToStore {
        project,
        agent: stream.agent,
        stream: stream.stream,
        seq,
        digest: stream.stream << 32 | seq,
        received_at: NOW,
        events: tasks.len() as u32,
        compressed: format!("body {} {seq}", stream.stream).into_bytes(),
        tasks,
        workers: Vec::new(),
        queues: Vec::new(),
        quarantined: Vec::new(),
    }
}

/// Stores one batch and expects that it is new.
pub(super) async fn store_batch(store: &impl Store, batch: BatchToStore) {
    let recorded = store.record_batches(vec![batch], false).await.expect("is stored");
    assert!(matches!(recorded.batches[..], [(Verdict::Stored { lost: 0 }, _)]), "{:?}", recorded.batches);
}

/// One event of one task, with text of its own.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) engine: &'static str,
    pub(super) task_id: String,
    pub(super) kind: TaskEventKind,
    pub(super) ts: Timestamp,
    pub(super) attempt: Option<u32>,
    pub(super) name: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) worker: Option<String>,
    pub(super) kwargs: Option<String>,
    pub(super) exception: Option<String>,
    pub(super) runtime_us: Option<u64>,
    pub(super) root: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) group: Option<String>,
}

impl Told {
    /// An event of the first attempt that says nothing but what happened.
    pub(super) fn new(task_id: &str, kind: TaskEventKind, ts: Timestamp) -> Self {
        Self {
            engine: ENGINE,
            task_id: task_id.to_owned(),
            kind,
            ts,
            attempt: Some(0),
            name: None,
            queue: None,
            worker: None,
            kwargs: None,
            exception: None,
            runtime_us: None,
            root: None,
            parent: None,
            group: None,
        }
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds what this event tells to `record`.
    pub(super) fn apply(&self, record: &mut TaskRecord) {
        let event = TaskEvent {
            kind: self.kind,
            ts: self.ts,
            attempt: self.attempt,
            name: self.name.as_deref(),
            queue: self.queue.as_deref(),
            worker: self.worker.as_deref(),
            kwargs: self.kwargs.as_deref(),
            exception: self.exception.as_deref(),
            exception_message: self.exception.as_deref(),
            runtime_us: self.runtime_us,
            root_id: self.root.as_deref(),
            parent_id: self.parent.as_deref(),
            group_id: self.group.as_deref(),
            ..TaskEvent::default()
        };
        record.apply(&self.task_id, &event);
    }
}

/// Events folded straight, without any store.
pub(super) fn fold<'a>(events: impl IntoIterator<Item = &'a Told>) -> BTreeMap<(String, String), TaskRecord> {
    let mut records: BTreeMap<(String, String), TaskRecord> = BTreeMap::new();
    for event in events {
        event.apply(records.entry((event.engine.to_owned(), event.task_id.clone())).or_default());
    }
    records
}

/// Events as the deltas of one batch.
pub(super) fn deltas<'a>(events: impl IntoIterator<Item = &'a Told>) -> Vec<TaskDelta> {
    let delta = |((engine, task_id), record)| TaskDelta { engine: Arc::from(engine), task_id, record };
    fold(events).into_iter().map(delta).collect()
}

/// A record without what depends on how it came: batches and agents.
pub(super) fn bare(mut record: TaskRecord) -> TaskRecord {
    record.batches.clear();
    record.agents.clear();
    record
}

/// An entry for the audit.
pub(super) fn audit(action: &str) -> NewAudit {
    NewAudit { actor: "tester".into(), action: action.into(), target: Some("it".into()), detail: None }
}

/// Numbers that look random and are the same every time.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    pub(super) fn task_id(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
    }
}

/// Lives of `count` tasks: most succeed, some fail, are retried, are only sent, or have ids that are no UUIDs.
pub(super) fn lives(random: &mut Random, count: usize) -> Vec<Told> {
    let mut events = Vec::new();
    for number in 0..count {
        let id = if number % 10 == 9 { format!("job:{number}") } else { random.task_id() };
        life(random, &id, number, &mut events);
    }
    events
}

fn life(random: &mut Random, id: &str, number: usize, events: &mut Vec<Told>) {
    let name = format!("shop.task{}", random.below(5));
    let queue = format!("queue{}", random.below(3));
    let worker = format!("worker{}@host", random.below(4));
    let mut ts = NOW.plus(-(random.below(600_000_000).cast_signed()));
    let mut at = |random: &mut Random| {
        ts = ts.plus(random.below(5_000_000).cast_signed() + 1);
        ts
    };
    let sent = Told::new(id, TaskEventKind::Sent, at(random)).named(&name);
    let kwargs = Some(format!(r#"{{"order_id":{number}}}"#));
    events.push(Told { queue: Some(queue), kwargs, ..sent });
    let attempts = if random.below(8) == 0 { 2 } else { 1 };
    for attempt in 0..attempts {
        let on = |kind, ts| Told { attempt: Some(attempt), worker: Some(worker.clone()), ..Told::new(id, kind, ts) };
        if random.below(10) == 0 {
            return;
        }
        events.push(on(TaskEventKind::Received, at(random)));
        events.push(on(TaskEventKind::Started, at(random)));
        let kind = match random.below(10) {
            _ if attempt + 1 < attempts => TaskEventKind::Retry,
            0 => TaskEventKind::Failed,
            1 => TaskEventKind::Revoked,
            2 => return,
            _ => TaskEventKind::Succeeded,
        };
        let exception = (kind == TaskEventKind::Failed).then(|| "Card Declined".to_owned());
        let runtime_us = (random.below(2) == 0).then(|| random.below(1_000_000));
        events.push(Told { exception, runtime_us, ..on(kind, at(random)) });
    }
}
