//! A full disk changes nothing, is told in a sentence, and work goes on when there is space again.

use std::sync::Arc;

use rusqlite::Connection;
use taskplane_model::time::MINUTE;
use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::ingest::{BatchToStore, OpenedStream, StreamToOpen, TaskDelta, Verdict};
use taskplane_store::stats::StatsQuery;
use taskplane_store::{FleetStore, IngestStore, StatisticsStore, StoreError, TaskStore};

use crate::SqliteStore;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn batch(stream: OpenedStream, seq: u64) -> BatchToStore {
    let task = |n: u64| {
        let mut record = TaskRecord::default();
        let task_id = format!("t{seq}-{n}");
        let event = TaskEvent { kind: TaskEventKind::Sent, ts: NOW, name: Some("shop.pay"), ..TaskEvent::default() };
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
        events: 50,
        compressed: vec![7; 100_000],
        tasks: (0..50).map(task).collect(),
        workers: Vec::new(),
        queues: Vec::new(),
        quarantined: Vec::new(),
    }
}

/// Limits the file as a full disk would; 0 asks how large it is.
async fn limit_pages(store: &SqliteStore, pages: i64) -> i64 {
    let set = move |db: &Connection| -> rusqlite::Result<i64> {
        db.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))?;
        db.pragma_query_value(None, "page_count", |row| row.get(0))
    };
    store.write(move |tx| Ok(set(tx.db)?)).await.expect("is set")
}

async fn sent(store: &SqliteStore) -> i64 {
    let query =
        StatsQuery { project: 1, since: NOW, until: NOW.plus(MINUTE), step_minutes: 1, name: None, queue: None };
    store.stats(query).await.expect("can be read").iter().map(|point| point.rollup.sent).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_changes_nothing_and_work_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path()).expect("opens");
    let stream = StreamToOpen {
        project: 1,
        agent_name: "a".into(),
        instance_id: String::new(),
        profile: taskplane_model::agent::AgentProfile::default(),
    };
    let stream = store.open_stream(stream, NOW).await.expect("opens");
    store.record_batches(vec![batch(stream, 1)], false).await.expect("is stored");
    let pages = limit_pages(&store, 0).await;
    limit_pages(&store, pages + 20).await;
    let mut seq = 1;
    let error = loop {
        match store.record_batches(vec![batch(stream, seq + 1)], true).await {
            Ok(recorded) => {
                assert_eq!(recorded.batches, [(Verdict::Stored { lost: 0 }, seq + 1)]);
                seq += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("taskplane.db")), "{error}");
    assert!(error.is_retryable());
    let agents = store.agents(1).await.expect("can be read");
    assert_eq!(sent(&store).await, seq.cast_signed() * 50);
    let unstored = store.task(1, "celery", &format!("t{}-0", seq + 1)).await.expect("can be read");
    assert_eq!(unstored, None);
    limit_pages(&store, 1 << 30).await;
    for _ in 0..2 {
        store.record_batches(vec![batch(stream, seq + 1)], false).await.expect("is stored");
    }
    assert_eq!(sent(&store).await, (seq.cast_signed() + 1) * 50);
    assert_eq!(store.agents(1).await.expect("can be read"), agents);
}
