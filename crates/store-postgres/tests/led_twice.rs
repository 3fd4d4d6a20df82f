//! What only one of several brains should do, done by two at once: a leader that was suspended believes for a moment that it
//! still leads. It does no harm, and none stands in the other's way for good.

#![expect(clippy::expect_used, reason = "these are tests")]

#[expect(dead_code, reason = "other tests use more of it")]
mod samples;

use std::sync::Arc;

use samples::{NOW, batch, deliver, open};
use taskplane_model::TaskEventKind::{Sent, Started};
use taskplane_model::time::{DAY, MINUTE};
use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord};
use taskplane_store::checkup::Health;
use taskplane_store::ingest::{BatchToStore, OpenedStream, TaskDelta};
use taskplane_store::replicas::NewReplica;
use taskplane_store::retention::Kept;
use taskplane_store::stats::StatsQuery;
use taskplane_store::{ReplicaStore, RetentionStore, SearchStore, StatisticsStore};
use taskplane_store_postgres::{PostgresStore, checkup};
use taskplane_testkit::PostgresDatabase;

/// Days of tasks, of which the last two stay.
const DAYS: i64 = 40;
const TASKS: i64 = 30;
const ROUNDS: i64 = 80;

/// What was told on the day so many days ago: the same of each of its tasks.
fn told(stream: OpenedStream, seq: u64, days_ago: i64, kind: TaskEventKind) -> BatchToStore {
    let task = |number: i64| {
        let task_id = format!("{days_ago}-{number}");
        let ts = NOW.plus(-days_ago * DAY + number * MINUTE + i64::from(kind as u8));
        let event = TaskEvent { kind, ts, name: Some("shop.pay"), queue: Some("q"), ..TaskEvent::default() };
        let mut record = TaskRecord::default();
        record.apply(&task_id, &event);
        TaskDelta { engine: Arc::from("celery"), task_id, record }
    };
    let received_at = NOW.plus(-days_ago * DAY + TASKS * MINUTE);
    BatchToStore { tasks: (0..TASKS).map(task).collect(), received_at, ..batch(1, stream, seq, &[]) }
}

/// All that is led, once; more and more is too old.
async fn lead(store: &PostgresStore, round: i64) {
    let now = NOW.plus(round * 11 * MINUTE);
    let horizon = NOW.plus(-DAY * (DAYS - round * (DAYS - 2) / ROUNDS).max(2));
    store.index_tasks(now).await.expect("is indexed");
    store.fold_statistics(now).await.expect("is folded");
    for what in Kept::ALL.into_iter().filter(|what| *what != Kept::Days) {
        store.drop_before(what, horizon, 16).await.expect("is dropped");
    }
    store.forget_dropped(16).await.expect("is forgotten");
    store.bury(now).await.expect("is tidied up");
}

/// Tasks that were sent and that began, by the statistics.
async fn counted(store: &PostgresStore) -> (i64, i64) {
    let (since, until) = (NOW.plus(-(DAYS + 2) * DAY), NOW.plus(2 * DAY));
    let query = StatsQuery { project: 1, since, until, step_minutes: 60 * 24, name: None, queue: None };
    let points = store.stats(query).await.expect("can be read");
    points.iter().fold((0, 0), |sum, point| (sum.0 + point.rollup.sent, sum.1 + point.rollup.started))
}

/// Two brains index, fold, drop and tidy up at once, while agents tell of tasks old and
/// new. Takes a few seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_lead_at_once_do_what_one_does() {
    let database = PostgresDatabase::create().expect("a database");
    let mut brains = Vec::new();
    for _ in 0..3 {
        let store = PostgresStore::connect(&database.url()).await.expect("opens");
        store.join(NewReplica::default()).await.expect("enters");
        brains.push(Arc::new(store));
    }
    let stream = open(&*brains[0], 1, "a").await;
    let mut seq = 0;
    for days_ago in (1..=DAYS).rev() {
        seq += 1;
        deliver(&*brains[0], &told(stream, seq, days_ago, Sent)).await;
        // Many small segments, to be put together while they are forgotten.
        brains[0].index_tasks(NOW.plus(-(days_ago - 1) * DAY)).await.expect("is indexed");
    }
    let agent = Arc::clone(&brains[2]);
    let telling = tokio::spawn(async move {
        for late in 0..20_i64 {
            let days_ago = 1 + late % 2;
            deliver(&*agent, &told(stream, DAYS.unsigned_abs() + 1 + late.unsigned_abs(), days_ago, Started)).await;
        }
    });
    let leading: Vec<_> = brains[..2]
        .iter()
        .cloned()
        .map(|brain| {
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    lead(&brain, round).await;
                }
            })
        })
        .collect();
    for one in leading.into_iter().chain([telling]) {
        one.await.expect("does not panic");
    }
    for round in ROUNDS..2 * ROUNDS {
        lead(&brains[0], round).await;
    }
    while brains[0].fold_statistics(NOW.plus(3 * DAY)).await.expect("is folded") {}
    let sql = |text: &str| database.sql(text).expect("can be read");
    assert_eq!(counted(&brains[1]).await, (DAYS * TASKS, 2 * TASKS), "statistics keep what was dropped");
    assert_eq!(sql("SELECT count(*) FROM tasks"), (2 * TASKS).to_string());
    let outside = "SELECT count(*) FROM tasks t WHERE NOT EXISTS
        (SELECT FROM search_segments s WHERE NOT s.is_patch AND s.low <= t.key AND t.key < s.high)";
    assert_eq!(sql(outside), "0", "all tasks are in the index");
    let overlaps = "SELECT count(*) FROM search_segments a JOIN search_segments b
        ON a.id < b.id AND NOT a.is_patch AND NOT b.is_patch AND a.low < b.high AND b.low < a.high";
    assert_eq!(sql(overlaps), "0", "none is there twice");
    let findings = checkup::examine(&database.url(), true, NOW).await;
    let problems: Vec<_> = findings.findings().iter().filter(|one| one.health == Health::Problem).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let deadlocks =
        "SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(sql(deadlocks), "|0");
}

/// Whoever publishes a step of the indexer holds its state first, and then replaces segments, which may be just those that are
/// being forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn forgetting_what_was_dropped_does_not_deadlock_with_the_indexer() {
    const PUBLISHES: &str = "DO $$ BEGIN
        UPDATE search_state SET version = version;
        WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock') LOOP
            PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
        END LOOP;
        DELETE FROM search_segments;
    END $$";
    let database = Arc::new(PostgresDatabase::create().expect("a database"));
    let store = PostgresStore::connect(&database.url()).await.expect("opens");
    let stream = open(&store, 1, "a").await;
    for (seq, days_ago) in [(1, 3), (2, 1)] {
        deliver(&store, &told(stream, seq, days_ago, Sent)).await;
        while store.index_tasks(NOW.plus(-(days_ago - 1) * DAY)).await.expect("is indexed") {}
    }
    while store.drop_before(Kept::Failures, NOW.plus(-2 * DAY), 1_000).await.expect("is dropped").more {}
    let indexer = Arc::clone(&database);
    let indexer = tokio::task::spawn_blocking(move || indexer.sql(PUBLISHES));
    until_locked(&database, "search_state").await;
    store.forget_dropped(1_000).await.expect("is forgotten");
    indexer.await.expect("does not panic").expect("is published");
    let deadlocks =
        "SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.sql(deadlocks).expect("can be read"), "|0");
}

/// Waits until somebody is about to change rows of a table.
async fn until_locked(database: &PostgresDatabase, table: &str) {
    let sql =
        format!("SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'RowExclusiveLock'");
    while database.sql(&sql).expect("can be read") == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
