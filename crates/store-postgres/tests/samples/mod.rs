//! Batches to hammer a store with.

use std::sync::Arc;
use std::time::Duration;

use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::ingest::{BatchToStore, OpenedStream, StreamToOpen, TaskDelta};
use taskplane_store::stats::StatsQuery;
use taskplane_store::{IngestStore, StatisticsStore, StoreError};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);
pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

pub(crate) async fn open(store: &impl IngestStore, project: u64, agent: &str) -> OpenedStream {
    let stream =
        StreamToOpen { project, agent_name: agent.to_owned(), instance_id: String::new(), profile: Default::default() };
    for _ in 0..10_000 {
        match store.open_stream(stream.clone(), NOW).await {
            Ok(opened) => return opened,
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the stream was never opened");
}

/// A batch that tells what happened to tasks.
pub(crate) fn batch(project: u64, stream: OpenedStream, seq: u64, told: &[(String, TaskEventKind)]) -> BatchToStore {
    let task = |(task_id, kind): &(String, TaskEventKind)| {
        let mut record = TaskRecord::default();
        let (name, queue) = (format!("shop.task{}", task_id.len() % 3), format!("queue{}", task_id.len() % 2));
        let event = TaskEvent {
            kind: *kind,
            ts: NOW.plus(*kind as i64 * 1_000),
            attempt: Some(0),
            name: Some(&name),
            queue: Some(&queue),
            ..TaskEvent::default()
        };
        record.apply(task_id, &event);
        TaskDelta { engine: Arc::from("celery"), task_id: task_id.clone(), record }
    };
    BatchToStore {
        project,
        agent: stream.agent,
        stream: stream.stream,
        seq,
        digest: stream.stream << 32 | seq,
        received_at: NOW,
        events: told.len() as u32,
        compressed: vec![7; 2_000],
        tasks: told.iter().map(task).collect(),
        workers: Vec::new(),
        queues: Vec::new(),
        quarantined: Vec::new(),
    }
}

/// Tasks that were sent and that began, as the statistics have them.
pub(crate) async fn counted(store: &impl StatisticsStore, project: u64) -> (i64, i64) {
    let (since, until) = (NOW.plus(-60_000_000), NOW.plus(120_000_000));
    let query = StatsQuery { project, since, until, step_minutes: 10, name: None, queue: None };
    let points = store.stats(query).await.expect("can be read");
    points.iter().fold((0, 0), |sum, point| (sum.0 + point.rollup.sent, sum.1 + point.rollup.started))
}

/// Hands a batch over again and again, as an agent does, until it is acknowledged. Returns how often that failed.
pub(crate) async fn deliver(store: &impl IngestStore, batch: &BatchToStore) -> usize {
    for failures in 0..10_000 {
        match store.record_batches(vec![batch.clone()], failures % 2 == 0).await {
            Ok(recorded) => {
                assert!(recorded.batches[0].1 >= batch.seq, "{:?}", recorded.batches);
                return failures;
            }
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("batch {} was never acknowledged", batch.seq);
}
