//! Statistics: read over windows, folded into longer spans, and dropped when they are old. What counts them is part of ingest.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_store::stats::{StatsPoint, StatsQuery, TaskTypeStats};
use taskplane_store::{Result, StatisticsStore};

use crate::SqliteStore;

mod drop;
mod fold;
mod read;
mod state;

pub(crate) use drop::{drop_days_below, drop_hours_below, drop_minutes_below};
pub(crate) use fold::is_exact;
pub(crate) use state::mark_minute;

#[async_trait]
impl StatisticsStore for SqliteStore {
    async fn stats(&self, query: StatsQuery) -> Result<Vec<StatsPoint>> {
        self.read(move |view| read::points(view, &query)).await
    }

    async fn task_types(&self, project: u64, since: Timestamp, until: Timestamp) -> Result<Vec<TaskTypeStats>> {
        self.read(move |view| read::task_types(view, project, since, until)).await
    }

    async fn fold_statistics(&self, now: Timestamp) -> Result<bool> {
        fold::fold(self, now).await
    }
}
