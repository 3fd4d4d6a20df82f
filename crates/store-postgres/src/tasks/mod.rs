//! What the API reads of tasks.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_store::tasks::{LostTask, RawBatch, StateCounts, StoredTask, TaskPage, TaskQuery, TaskTree};
use taskplane_store::{Result, TaskStore};

use crate::PostgresStore;
use crate::session::Tx;

mod count;
pub(crate) mod get;
mod list;
mod lost;
mod plan;
pub(crate) mod row;
mod scan;
mod tree;

use get::load;
pub(crate) use row::{TaskRow, id_column, name_agents, stored_tasks, task_columns};

#[async_trait]
impl TaskStore for PostgresStore {
    async fn list_tasks(&self, query: TaskQuery) -> Result<TaskPage> {
        list::list(self.names(), &self.reading().await?, &query).await
    }

    async fn count_tasks(&self, query: TaskQuery) -> Result<StateCounts> {
        // All of one instant: censuses, what has changed since, and the rows.
        let tx = Tx::begin_reading(self.reading().await?).await?;
        let counts = count::count(self.names(), &tx, &query).await?;
        tx.commit().await?;
        Ok(counts)
    }

    async fn task(&self, project: u64, engine: &str, task_id: &str) -> Result<Option<StoredTask>> {
        get::task(self.names(), &self.reading().await?, project, engine, task_id).await
    }

    async fn task_batches(&self, project: u64, engine: &str, task_id: &str) -> Result<Vec<RawBatch>> {
        get::batches(self.names(), &self.reading().await?, project, engine, task_id).await
    }

    async fn mark_lost(&self, project: u64, lost: Vec<LostTask>, now: Timestamp) -> Result<Vec<StoredTask>> {
        self.to_the_end(async move |store| lost::mark(&store, project, lost, now).await).await
    }

    async fn task_tree(&self, project: u64, engine: &str, task_id: &str, limit: usize) -> Result<Option<TaskTree>> {
        tree::tree(self.names(), &self.reading().await?, project, engine, task_id, limit).await
    }
}
