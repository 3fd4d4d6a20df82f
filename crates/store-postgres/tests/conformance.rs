//! The statements that every store has to make true, on PostgreSQL.

#![expect(clippy::expect_used, reason = "these are tests")]

use async_trait::async_trait;
use taskplane_store::conformance::Subject;
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::PostgresDatabase;

struct Database(PostgresDatabase);

impl Database {
    fn new() -> Self {
        Self(PostgresDatabase::create().expect("a database"))
    }
}

#[async_trait]
impl Subject for Database {
    type Store = PostgresStore;

    async fn open(&self) -> PostgresStore {
        PostgresStore::connect(&self.0.url()).await.expect("opens")
    }
}

taskplane_store::conformance_tests!(Database::new());
