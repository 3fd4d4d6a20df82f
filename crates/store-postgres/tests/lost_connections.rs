//! A server that kills connections, or goes away and comes back: nothing acknowledged is lost, nothing counts twice, and work
//! goes on by itself.

#![expect(clippy::expect_used, reason = "these are tests")]

mod samples;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use samples::{batch, counted, deliver, open};
use taskplane_model::TaskEventKind::Sent;
use taskplane_store::{AccessStore, TaskStore};
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::{PostgresDatabase, PostgresServer};

const AGENTS: u64 = 4;
const TASKS: usize = 10;

/// Agents deliver batches until `stop`; returns how many each delivered, and how often that failed.
async fn load(store: &Arc<PostgresStore>, stop: &Arc<AtomicBool>) -> (u64, usize) {
    let mut agents = Vec::new();
    for agent in 0..AGENTS {
        let (store, stop) = (Arc::clone(store), Arc::clone(stop));
        let stream = open(&*store, 1, &format!("agent{agent}")).await;
        agents.push(tokio::spawn(async move {
            let (mut delivered, mut failures) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                delivered += 1;
                let told: Vec<_> = (0..TASKS).map(|n| (format!("{agent}-{delivered}-{n}"), Sent)).collect();
                failures += deliver(&*store, &batch(1, stream, delivered, &told)).await;
            }
            (delivered, failures)
        }));
    }
    let mut sum = (0, 0);
    for agent in agents {
        let (delivered, failures) = agent.await.expect("does not panic");
        sum = (sum.0 + delivered, sum.1 + failures);
    }
    sum
}

async fn everything_counts_once(store: &PostgresStore, delivered: u64) {
    assert_eq!(counted(store, 1).await.0, delivered.cast_signed() * TASKS as i64);
    let task = store.task(1, "celery", "0-1-0").await.expect("can be read");
    assert_eq!(task.expect("is stored").record.batches.len(), 1);
}

/// Takes a few seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_connections_lose_nothing_and_count_nothing_twice() {
    let database = PostgresDatabase::create().expect("a database");
    let store = Arc::new(PostgresStore::connect(&database.url()).await.expect("opens"));
    let stop = Arc::new(AtomicBool::new(false));
    let under_load = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::spawn(async move { load(&store, &stop).await })
    };
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'taskplane'";
    let mut killed = 0;
    for _ in 0..30 {
        killed += database.sql(kill).expect("can be run").parse::<usize>().expect("a number");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (delivered, failures) = under_load.await.expect("does not panic");
    assert!(killed >= 30, "{killed} connections were killed");
    assert!(delivered > 30 && failures > 0, "{delivered} batches, {failures} failures");
    everything_counts_once(&store, delivered).await;
    let batches = database.sql("SELECT count(*), count(DISTINCT (stream, seq)) FROM batches").expect("can be read");
    assert_eq!(batches, format!("{delivered}|{delivered}"));
}

/// Takes some seconds: a server of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_crashes_and_comes_back_is_used_again() {
    let server = PostgresServer::start(None).expect("a server");
    let store = Arc::new(PostgresStore::connect(&server.url()).await.expect("opens"));
    let stop = Arc::new(AtomicBool::new(false));
    let under_load = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::spawn(async move { load(&store, &stop).await })
    };
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.crash().expect("ends");
        let away = Instant::now();
        assert!(store.projects().await.expect_err("cannot be read").is_retryable());
        assert!(away.elapsed() < Duration::from_secs(5), "reads do not wait");
        server.go_on().expect("comes back");
    }
    let until = Instant::now() + Duration::from_secs(60);
    while store.projects().await.is_err() {
        assert!(Instant::now() < until, "the store does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (delivered, _) = under_load.await.expect("does not panic");
    everything_counts_once(&store, delivered).await;
}
