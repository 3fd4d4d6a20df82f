//! What the API reads of tasks.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_store::tasks::{LostTask, RawBatch, StateCounts, StoredTask, TaskPage, TaskQuery, TaskTree};
use taskplane_store::{Result, TaskStore};

use crate::SqliteStore;

mod count;
pub(crate) mod get;
mod list;
mod lost;
mod plan;
pub(crate) mod row;
mod scan;
mod series;
mod tree;

#[async_trait]
impl TaskStore for SqliteStore {
    async fn list_tasks(&self, query: TaskQuery) -> Result<TaskPage> {
        self.read(move |view| list::list(view, &query)).await
    }

    async fn count_tasks(&self, query: TaskQuery) -> Result<StateCounts> {
        self.read(move |view| count::count(view, &query)).await
    }

    async fn task(&self, project: u64, engine: &str, task_id: &str) -> Result<Option<StoredTask>> {
        let (engine, task_id) = (engine.to_owned(), task_id.to_owned());
        self.read(move |view| get::task(view, project, &engine, &task_id)).await
    }

    async fn task_batches(&self, project: u64, engine: &str, task_id: &str) -> Result<Vec<RawBatch>> {
        let (engine, task_id) = (engine.to_owned(), task_id.to_owned());
        self.read(move |view| get::batches(view, project, &engine, &task_id)).await
    }

    async fn mark_lost(&self, project: u64, lost: Vec<LostTask>, now: Timestamp) -> Result<Vec<StoredTask>> {
        self.write(move |tx| lost::mark(tx, project, lost, now)).await
    }

    async fn task_tree(&self, project: u64, engine: &str, task_id: &str, limit: usize) -> Result<Option<TaskTree>> {
        let (engine, task_id) = (engine.to_owned(), task_id.to_owned());
        self.read(move |view| tree::tree(view, project, &engine, &task_id, limit)).await
    }
}
