//! The statements that every store has to make true, on SQLite.

#![expect(clippy::expect_used, reason = "these are tests")]

use async_trait::async_trait;
use taskplane_store::conformance::Subject;
use taskplane_store_sqlite::SqliteStore;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

#[async_trait]
impl Subject for Folder {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.0.path().join("data")).expect("opens")
    }

    /// Ids of tasks are kept in pieces of 32,768.
    fn more_than_a_piece(&self) -> usize {
        36_000
    }
}

taskplane_store::conformance_tests!(Folder::new());
