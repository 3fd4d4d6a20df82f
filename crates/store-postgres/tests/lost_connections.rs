//! A server that kills connections, or goes away and comes back: nothing acknowledged is lost, nothing counts twice, and work
//! goes on by itself.

#![expect(clippy::expect_used, reason = "these are tests")]

mod samples;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use samples::{batch, counted, deliver, open};
use taskplane_model::TaskEventKind::Sent;
use taskplane_store::{AccessStore, TaskStore};
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::{PostgresDatabase, PostgresServer};

const AGENTS: u64 = 4;
const TASKS: usize = 10;

/// Longer than anything takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Agents that deliver batches until `stop`.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    delivered: AtomicU64,
    failures: AtomicU64,
}

/// Agents deliver batches until they are to stop; returns how many they delivered.
async fn deliver_all(store: &Arc<PostgresStore>, load: &Arc<Load>) -> u64 {
    let mut agents = Vec::new();
    for agent in 0..AGENTS {
        let (store, load) = (Arc::clone(store), Arc::clone(load));
        let stream = open(&*store, 1, &format!("agent{agent}")).await;
        agents.push(tokio::spawn(async move {
            let mut delivered = 0;
            while !load.stop.load(Ordering::Relaxed) {
                delivered += 1;
                let told: Vec<_> = (0..TASKS).map(|n| (format!("{agent}-{delivered}-{n}"), Sent)).collect();
                let failures = deliver(&*store, &batch(1, stream, delivered, &told)).await;
                load.failures.fetch_add(failures as u64, Ordering::Relaxed);
                load.delivered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for agent in agents {
        agent.await.expect("does not panic");
    }
    load.delivered.load(Ordering::Relaxed)
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
    let load = Arc::new(Load::default());
    let under_load = {
        let (store, load) = (Arc::clone(&store), Arc::clone(&load));
        tokio::spawn(async move { deliver_all(&store, &load).await })
    };
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'taskplane'";
    let (mut rounds, mut killed) = (0, 0);
    let enough = || load.delivered.load(Ordering::Relaxed) > 30 && load.failures.load(Ordering::Relaxed) > 0;
    let until = Instant::now() + PATIENCE;
    while rounds < 30 || killed < 30 || !enough() {
        assert!(Instant::now() < until, "{killed} connections were killed, {:?} batches delivered", load.delivered);
        killed += database.sql(kill).expect("can be run").parse::<usize>().expect("a number");
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    let delivered = under_load.await.expect("does not panic");
    everything_counts_once(&store, delivered).await;
    let batches = database.sql("SELECT count(*), count(DISTINCT (stream, seq)) FROM batches").expect("can be read");
    assert_eq!(batches, format!("{delivered}|{delivered}"));
}

/// Takes some seconds: a server of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_crashes_and_comes_back_is_used_again() {
    let server = PostgresServer::start(None).expect("a server");
    let store = Arc::new(PostgresStore::connect(&server.url()).await.expect("opens"));
    let load = Arc::new(Load::default());
    let under_load = {
        let (store, load) = (Arc::clone(&store), Arc::clone(&load));
        tokio::spawn(async move { deliver_all(&store, &load).await })
    };
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.crash().expect("ends");
        let away = Instant::now();
        assert!(store.projects().await.expect_err("cannot be read").is_retryable());
        // Ten seconds is how long a connection may take to open, and to be waited for.
        assert!(away.elapsed() < Duration::from_secs(9), "reads do not wait");
        server.go_on().expect("comes back");
    }
    let until = Instant::now() + PATIENCE;
    while store.projects().await.is_err() {
        assert!(Instant::now() < until, "the store does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    let delivered = under_load.await.expect("does not panic");
    everything_counts_once(&store, delivered).await;
}
