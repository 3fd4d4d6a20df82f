//! Statistics: read over windows, folded into longer spans, and dropped when they are old. What counts them is part of ingest.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_store::stats::{StatsPoint, StatsQuery, TaskTypeStats};
use taskplane_store::{Result, StatisticsStore};

use crate::PostgresStore;

mod drop;
mod fold;
mod read;
mod state;

pub(crate) use drop::{drop_days_below, drop_hours_below, drop_minutes_below};

#[async_trait]
impl StatisticsStore for PostgresStore {
    async fn stats(&self, query: StatsQuery) -> Result<Vec<StatsPoint>> {
        read::points(self.names(), self.reading().await?, &query).await
    }

    async fn task_types(&self, project: u64, since: Timestamp, until: Timestamp) -> Result<Vec<TaskTypeStats>> {
        read::task_types(self.names(), self.reading().await?, project, since, until).await
    }

    async fn fold_statistics(&self, now: Timestamp) -> Result<bool> {
        self.to_the_end(async move |store| fold::fold(&store, now).await).await
    }
}
