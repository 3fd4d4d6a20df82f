//! By size: as much is dropped as has to be, and not much more.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::sync::Arc;
use std::time::Duration;

use taskplane_model::agent::AgentProfile;
use taskplane_model::time::DAY;
use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::ingest::{BatchToStore, StreamToOpen, TaskDelta};
use taskplane_store::retention::Kept;
use taskplane_store::{IngestStore, RetentionStore};
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::PostgresDatabase;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);
const BATCHES: u64 = 160;
const TASKS: u64 = 100;
const KIB: u64 = 1 << 10;

/// A store with [`BATCHES`] batches of 64 KiB, each of [`TASKS`] tasks, which is a little younger than the one before. The server
/// has looked at the tables.
async fn filled(database: &PostgresDatabase) -> PostgresStore {
    let store = PostgresStore::connect(&database.url()).await.expect("opens");
    fill(&store).await;
    // What a connection has done is counted late, but when it ends.
    drop(store);
    let counted = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'tasks'";
    while database.sql(counted).expect("can be read").trim() != (BATCHES * TASKS).to_string() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    database.sql("ANALYZE").expect("is done");
    PostgresStore::connect(&database.url()).await.expect("opens")
}

async fn fill(store: &PostgresStore) {
    let profile = AgentProfile::default();
    let stream = StreamToOpen { project: 1, agent_name: "a".into(), instance_id: String::new(), profile };
    let stream = store.open_stream(stream, NOW).await.expect("opens");
    for seq in 1..=BATCHES {
        let begin = NOW.plus(-DAY).plus(seq.cast_signed() * 1_000_000);
        let batch = BatchToStore {
            project: 1,
            agent: stream.agent,
            stream: stream.stream,
            seq,
            digest: seq,
            received_at: begin,
            events: TASKS as u32,
            // Not to be compressed.
            compressed: (0..64 * KIB).map(|at| (at.wrapping_mul(at ^ seq) >> 7) as u8).collect(),
            tasks: (0..TASKS).map(|number| task(seq, number, begin)).collect(),
            workers: Vec::new(),
            queues: Vec::new(),
            quarantined: Vec::new(),
        };
        store.record_batches(vec![batch], false).await.expect("is stored");
    }
}

fn task(seq: u64, number: u64, begin: Timestamp) -> TaskDelta {
    let task_id = format!("{seq:08x}-0000-4000-8000-{number:012x}");
    let ts = begin.plus(number.cast_signed());
    let event = TaskEvent { kind: TaskEventKind::Succeeded, ts, name: Some("n"), ..TaskEvent::default() };
    let mut record = TaskRecord::default();
    record.apply(&task_id, &event);
    TaskDelta { engine: Arc::from("celery"), task_id, record }
}

/// Drops the oldest as the brain does: a few, for as long as more than `limit` is used.
async fn shrink(store: &PostgresStore, what: Kept, limit: u64) -> u64 {
    let mut dropped = 0;
    while store.storage().await.expect("can be read").used_bytes > limit {
        let step = store.drop_before(what, NOW, 250).await.expect("is dropped");
        dropped += step.count;
        if !step.more {
            break;
        }
    }
    dropped
}

#[tokio::test(flavor = "multi_thread")]
async fn as_much_goes_as_is_too_much() {
    let database = PostgresDatabase::create().expect("a database");
    let store = filled(&database).await;
    let full = store.storage().await.expect("can be read");
    let batches = BATCHES * 64 * KIB;
    assert!(full.used_bytes > batches + BATCHES * TASKS * 100 && full.used_bytes <= full.file_bytes, "{full:?}");
    // A half of the raw events is too much.
    let dropped = shrink(&store, Kept::Events, full.used_bytes - batches / 2).await;
    assert!((BATCHES * 4 / 10..BATCHES * 6 / 10).contains(&dropped), "{dropped} of {BATCHES} batches");
    let some = store.storage().await.expect("can be read");
    assert!(some.free_bytes >= batches * 4 / 10 && some.oldest.events > full.oldest.events, "{some:?}");
    // All of them, and something of the tasks.
    let rest = shrink(&store, Kept::Events, 0).await;
    assert_eq!(dropped + rest, BATCHES - 1);
    let without = store.storage().await.expect("can be read").used_bytes;
    // A task takes a little more than 200 bytes here: about a quarter of them is too much.
    let tasks = BATCHES * TASKS;
    let dropped = shrink(&store, Kept::Tasks, without - tasks * 50).await;
    assert!((tasks / 8..tasks * 3 / 8).contains(&dropped), "{dropped} of {tasks} tasks");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_is_known_when_the_server_has_lost_its_counts() {
    let database = PostgresDatabase::create().expect("a database");
    let store = filled(&database).await;
    let before = store.storage().await.expect("can be read").used_bytes;
    // As it is after a crash.
    database.sql("SELECT pg_stat_reset()").expect("is done");
    let after = store.storage().await.expect("can be read").used_bytes;
    assert!(after.abs_diff(before) < before / 10, "{before} before, {after} after");
}
