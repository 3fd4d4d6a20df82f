//! What is kept for how long: dropping in small pieces. The space of what was dropped is used again for what comes.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::time::MINUTE;
use taskplane_store::backend::ids;
use taskplane_store::retention::{Dropped, Kept, StorageReport};
use taskplane_store::{Result, RetentionStore};

use crate::PostgresStore;
use crate::census;
use crate::locks;
use crate::search;
use crate::session::{Session, Tx, column};

mod others;
mod space;
mod tasks;

pub(crate) use tasks::{TooLate, dropped_below, dropped_below_in_any};

/// Up to where the search index has forgotten what was dropped.
const SEARCH_BELOW: &str = "search_forgotten_below";

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn storage(&self) -> Result<StorageReport> {
        space::report(&self.reading().await?).await
    }

    async fn drop_before(&self, what: Kept, horizon: Timestamp, limit: usize) -> Result<Dropped> {
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        self.to_the_end(async move |store| match what {
            Kept::Events => others::drop_batches(&store, horizon, limit).await,
            Kept::Tasks | Kept::Failures => tasks::drop_tasks(&store, what, horizon, limit).await,
            Kept::Minutes | Kept::Hours | Kept::Days => others::drop_statistics(&store, what, horizon, limit).await,
            Kept::Records => others::drop_records(&store, horizon, limit).await,
            Kept::SignIns => others::drop_signins(&store, horizon, limit).await,
        })
        .await
    }

    /// Ids and links go with their tasks; what is left is the search index.
    async fn forget_dropped(&self, _limit: usize) -> Result<bool> {
        self.to_the_end(async move |store| forget_in_search(&store).await).await?;
        Ok(false)
    }

    /// The server's autovacuum sees to it.
    async fn give_back_space(&self) -> Result<bool> {
        Ok(false)
    }
}

/// Forgets in the search index what lies before the first task, once that is more than a minute's tasks.
async fn forget_in_search(store: &PostgresStore) -> Result<()> {
    let session = store.reading().await?;
    let (Some(first), forgotten) = (tasks::first_key(&session).await?, position(&session, SEARCH_BELOW).await?) else {
        return Ok(());
    };
    if first < forgotten.saturating_add(ids::least_key(Timestamp(MINUTE))) {
        return Ok(());
    }
    let tx = store.begin().await?;
    tx.query(locks::SEARCH, &[]).await?;
    search::forget_below(&tx, first).await?;
    census::forget_below(&tx, first).await?;
    set_position(&tx, SEARCH_BELOW, first).await?;
    tx.commit().await
}

/// Numbers of all projects.
async fn projects(session: &Session) -> Result<Vec<i32>> {
    let rows = session.query("SELECT id FROM projects ORDER BY id", &[]).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// Up to where something has been dropped. Entries of an index that point to dropped rows stay until the next vacuum: whoever
/// began at the beginning would read all of them each time.
async fn position(session: &Session, name: &str) -> Result<i64> {
    let row = session.query_first("SELECT value FROM settings WHERE name = $1", &[&name]).await?;
    row.map_or(Ok(0), |row| column(&row, 0))
}

/// Remembers it; a position never goes back.
async fn set_position(tx: &Tx, name: &str, value: i64) -> Result<()> {
    let sql = "INSERT INTO settings AS s (name, value) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET value = greatest(s.value, excluded.value)";
    tx.execute(sql, &[&name, &value]).await?;
    Ok(())
}
