//! What is made from other rows is looked at, and what is wrong with it is said.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::sync::Arc;

use taskplane_model::agent::AgentProfile;
use taskplane_model::time::DAY;
use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::checkup::{Check, Finding, Health};
use taskplane_store::ingest::{BatchToStore, StreamToOpen, TaskDelta};
use taskplane_store::{IngestStore, SearchStore, StatisticsStore};
use taskplane_store_postgres::PostgresStore;
use taskplane_store_postgres::checkup::examine;
use taskplane_testkit::PostgresDatabase;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

/// A database with some tasks, whose statistics are folded, and which are in the search index.
async fn sound() -> PostgresDatabase {
    let database = PostgresDatabase::create().expect("a database");
    let store = PostgresStore::connect(&database.url()).await.expect("opens");
    let profile = AgentProfile::default();
    let stream = StreamToOpen { project: 1, agent_name: "a".into(), instance_id: String::new(), profile };
    let stream = store.open_stream(stream, NOW).await.expect("opens");
    let task = |number: i64| {
        let (task_id, ts) = (format!("t{number}"), NOW.plus(number * 1_000));
        let event = TaskEvent { kind: TaskEventKind::Sent, ts, name: Some("a.task"), ..TaskEvent::default() };
        let mut record = TaskRecord::default();
        record.apply(&task_id, &event);
        TaskDelta { engine: Arc::from("celery"), task_id, record }
    };
    let batch = BatchToStore {
        project: 1,
        agent: stream.agent,
        stream: stream.stream,
        seq: 1,
        digest: 1,
        received_at: NOW,
        events: 100,
        compressed: vec![7; 1_000],
        tasks: (0..100).map(task).collect(),
        workers: Vec::new(),
        queues: Vec::new(),
        quarantined: Vec::new(),
    };
    store.record_batches(vec![batch], false).await.expect("is stored");
    let later = NOW.plus(2 * DAY);
    while store.fold_statistics(later).await.expect("folds") {}
    while store.index_tasks(later).await.expect("indexes") {}
    database
}

async fn problems(database: &PostgresDatabase) -> Vec<Finding> {
    let checkup = examine(&database.url(), true, NOW.plus(DAY)).await;
    checkup.findings().iter().filter(|finding| finding.health == Health::Problem).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_from_other_rows_is_looked_at() {
    let database = sound().await;
    assert_eq!(problems(&database).await, []);
    for (change, back, check, words) in [
        (
            "UPDATE search_segments SET id = id + 7",
            "UPDATE search_segments SET id = id - 7",
            Check::Search,
            "1 of 1 segments of the search index are not whole, 1 are left over",
        ),
        (
            "UPDATE search_state SET indexed_until = indexing_until + 1",
            "UPDATE search_state SET indexed_until = indexing_until",
            Check::Search,
            "makes no sense",
        ),
        (
            "INSERT INTO censuses VALUES (1, 0, 10, 5)",
            "DELETE FROM censuses",
            Check::Search,
            "1 of 1 censuses, from which tasks are counted, are not whole",
        ),
        (
            "INSERT INTO settings VALUES ('tasks_dropped_below_1', 9000000000000000000)",
            "DELETE FROM settings WHERE name = 'tasks_dropped_below_1'",
            Check::Retention,
            "make no sense",
        ),
        (
            "INSERT INTO rollup_horizons VALUES (1, 60, 1440, 0)",
            "DELETE FROM rollup_horizons",
            Check::Retention,
            "make no sense",
        ),
        (r"UPDATE rollup_sums SET data = '\xff'", "SELECT 1", Check::Statistics, "rollup_sums cannot be read"),
    ] {
        database.sql(change).expect("is done");
        let found = problems(&database).await;
        assert!(found.len() == 1 && found[0].check == check && found[0].found.contains(words), "{found:#?}");
        database.sql(back).expect("is done");
    }
}
