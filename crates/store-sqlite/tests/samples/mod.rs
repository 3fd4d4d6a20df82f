//! What the tests store.

use std::path::Path;
use std::sync::Arc;

use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::IngestStore;
use taskplane_store::ingest::{BatchToStore, OpenedStream, StreamToOpen, TaskDelta};
use taskplane_store_sqlite::SqliteStore;

pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

/// A store in a folder, and a stream in it.
pub(crate) async fn open(folder: &Path) -> (SqliteStore, OpenedStream) {
    let store = SqliteStore::open(folder).expect("opens");
    let stream =
        StreamToOpen { project: 1, agent_name: "a".into(), instance_id: String::new(), profile: Default::default() };
    let stream = store.open_stream(stream, NOW).await.expect("opens");
    (store, stream)
}

/// The id of task `n` of a batch.
pub(crate) fn task_id(seq: u64, n: u64) -> String {
    format!("{seq:08x}-0000-4000-8000-{n:012x}")
}

/// Batch `seq`, with so many tasks.
pub(crate) fn batch(stream: OpenedStream, seq: u64, tasks: u64) -> BatchToStore {
    let task = |n: u64| {
        let mut record = TaskRecord::default();
        let task_id = task_id(seq, n);
        let ts = NOW.plus((seq * 1_000 + n).cast_signed());
        let event = TaskEvent { kind: TaskEventKind::Sent, ts, name: Some("a.task"), ..TaskEvent::default() };
        record.apply(&task_id, &event);
        TaskDelta { engine: Arc::from("celery"), task_id, record }
    };
    BatchToStore {
        project: 1,
        agent: stream.agent,
        stream: stream.stream,
        seq,
        digest: seq,
        received_at: NOW,
        events: 10,
        compressed: vec![7; 4_000],
        tasks: (0..tasks).map(task).collect(),
        workers: Vec::new(),
        queues: Vec::new(),
        quarantined: Vec::new(),
    }
}

/// Stores batches from `first` on to `last`, ten tasks each.
pub(crate) async fn store_batches(store: &SqliteStore, stream: OpenedStream, first: u64, last: u64) {
    for seq in first..=last {
        store.record_batches(vec![batch(stream, seq, 10)], false).await.expect("is stored");
    }
}
