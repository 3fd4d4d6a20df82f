//! The file shrinks when much of it is free.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::path::Path;
use std::time::Duration;

use taskplane_model::Timestamp;
use taskplane_model::agent::AgentProfile;
use taskplane_model::time::DAY;
use taskplane_store::ingest::{BatchToStore, StreamToOpen};
use taskplane_store::retention::Kept;
use taskplane_store::{IngestStore, RetentionStore};
use taskplane_store_sqlite::SqliteStore;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);
const MIB: usize = 1 << 20;
const BATCHES: u64 = 90;

/// A store with batches of a megabyte each.
async fn filled(folder: &Path) -> SqliteStore {
    let store = SqliteStore::open(folder).expect("opens");
    let profile = AgentProfile::default();
    let stream = StreamToOpen { project: 1, agent_name: "a".into(), instance_id: String::new(), profile };
    let stream = store.open_stream(stream, NOW).await.expect("opens");
    for seq in 1..=BATCHES {
        let batch = BatchToStore {
            project: 1,
            agent: stream.agent,
            stream: stream.stream,
            seq,
            digest: seq,
            received_at: NOW,
            events: 1,
            compressed: vec![7; MIB],
            tasks: Vec::new(),
            workers: Vec::new(),
            queues: Vec::new(),
            quarantined: Vec::new(),
        };
        store.record_batches(vec![batch], false).await.expect("is stored");
    }
    store
}

async fn drop_all(store: &SqliteStore) {
    while store.drop_before(Kept::Events, NOW.plus(DAY), 160).await.expect("is dropped").more {}
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_given_back_when_much_was_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    assert!(!store.give_back_space().await.expect("is answered"), "little is free");
    drop_all(&store).await;
    let full = store.storage().await.expect("can be read");
    assert!(full.gives_back && full.free_bytes > (BATCHES - 2) * MIB as u64, "{full:?}");
    while store.give_back_space().await.expect("is given back") {}
    let report = store.storage().await.expect("can be read");
    assert!(report.free_bytes <= 64 * MIB as u64, "{report:?}");
    // The log is copied into the file by another thread.
    while store.storage().await.expect("can be read").file_bytes > 70 * MIB as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_older_version_stays_as_large_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(SqliteStore::open(folder.path()).expect("opens"));
    let file = rusqlite::Connection::open(folder.path().join("taskplane.db")).expect("opens");
    file.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").expect("is made as it was");
    drop(file);
    let store = filled(folder.path()).await;
    drop_all(&store).await;
    assert!(!store.give_back_space().await.expect("is answered"));
    let report = store.storage().await.expect("can be read");
    assert!(!report.gives_back && report.free_bytes > (BATCHES - 2) * MIB as u64, "{report:?}");
}
