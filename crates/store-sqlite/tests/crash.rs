//! What was acknowledged is there after the process has died without a word.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "these are tests, and the child speaks to its parent")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::ingest::{BatchToStore, OpenedStream, StreamToOpen, TaskDelta};
use taskplane_store::stats::StatsQuery;
use taskplane_store::{IngestStore, StatisticsStore, TaskStore};
use taskplane_store_sqlite::SqliteStore;
use tempfile::tempdir;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);
/// Tells the test, started again as a process of its own, where to write until it is killed.
const FOLDER: &str = "TASKPLANE_TEST_CRASH_FOLDER";

fn batch(stream: OpenedStream, seq: u64) -> BatchToStore {
    let task = |n: u64| {
        let mut record = TaskRecord::default();
        let task_id = format!("t{seq}-{n}");
        record.apply(&task_id, &TaskEvent { kind: TaskEventKind::Sent, ts: NOW, ..TaskEvent::default() });
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
        tasks: (0..10).map(task).collect(),
        workers: Vec::new(),
        queues: Vec::new(),
        quarantined: Vec::new(),
    }
}

async fn open(folder: &Path) -> (SqliteStore, OpenedStream) {
    let store = SqliteStore::open(folder).expect("opens");
    let stream =
        StreamToOpen { project: 1, agent_name: "a".into(), instance_id: String::new(), profile: Default::default() };
    let stream = store.open_stream(stream, NOW).await.expect("opens");
    (store, stream)
}

/// Stores batches and says each number once it is acknowledged.
async fn write_until_killed(folder: &Path) {
    let (store, stream) = open(folder).await;
    for seq in stream.last_seq + 1.. {
        store.record_batches(vec![batch(stream, seq)], false).await.expect("is stored");
        println!("acknowledged {seq}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_batches_survive_a_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempdir().expect("a folder");
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().expect("has a path"))
            .args(["--exact", "acknowledged_batches_survive_a_kill", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("is piped")));
        let mut acknowledged = 0;
        for (count, line) in lines.map_while(Result::ok).filter(|line| line.contains("acknowledged")).enumerate() {
            acknowledged = line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            if count == 150 + round * 40 {
                child.kill().expect("is killed");
            }
        }
        child.wait().expect("ends");
        let (store, stream) = open(folder.path()).await;
        assert!(stream.last_seq >= acknowledged, "{} < {acknowledged}", stream.last_seq);
        let query = StatsQuery {
            project: 1,
            since: NOW,
            until: NOW.plus(60_000_000),
            step_minutes: 1,
            name: None,
            queue: None,
        };
        let sent: i64 = store.stats(query).await.expect("can be read").iter().map(|p| p.rollup.sent).sum();
        assert_eq!(sent.cast_unsigned(), stream.last_seq * 10, "every batch counts once");
        for seq in [1, stream.last_seq] {
            let task = store.task(1, "celery", &format!("t{seq}-9")).await.expect("can be read");
            assert!(task.is_some(), "{seq}");
        }
    }
}
