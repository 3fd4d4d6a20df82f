//! Bulk jobs, their tasks, and who has one of them in hand.

use async_trait::async_trait;
use taskplane_model::bulk::{BulkChange, BulkEnd, BulkItem, BulkItemState, BulkJob, BulkOutcome};
use taskplane_model::{TaskState, Timestamp};

use crate::Result;
use crate::access::NewAudit;
use crate::tasks::Page;

/// A task to note for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBulkItem {
    /// The task's key.
    pub key: i64,
    /// Which of the job's lanes it is in.
    pub lane: u32,
    /// Engine.
    pub engine: String,
    /// The engine's id.
    pub task_id: String,
    /// Task type.
    pub name: Option<String>,
}

/// Which tasks of a job to take in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkClaimRequest {
    /// Those of this lane.
    pub lane: u32,
    /// For the command with this id.
    pub command: String,
}

/// A retried task whose end is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitedItem {
    /// Key of the task that was retried.
    pub key: i64,
    /// State of the task that it was published as; `None` when that is not known.
    pub state: Option<TaskState>,
}

/// Most rows that one call of [`BulkStore::claim_bulk_items`] looks at.
pub const MAX_LOOKED_AT: usize = 500;

/// Codes of tasks that a job does not send.
pub mod codes {
    /// Retention has dropped it.
    pub const DROPPED: &str = "dropped";
    /// It was retried before.
    pub const ALREADY_RETRIED: &str = "already_retried";
    /// It is in another state than when the job was made.
    pub const STATE_CHANGED: &str = "state_changed";
    /// Another job has it in hand, has retried it, or may have.
    pub const IN_ANOTHER_JOB: &str = "in_another_job";
    /// A retry of it by itself is under way, or nobody knows how it ended.
    pub const MAYBE_RETRIED: &str = "maybe_retried";
}

/// Jobs. What a verb changes of a job is decided by [`BulkJob`]; every verb concludes with [`BulkJob::judge`].
#[async_trait]
pub trait BulkStore: Send + Sync {
    /// Records a job that has no tasks yet, and its audit entry; the second value is true. When a job with the same idempotency
    /// key exists already, nothing is recorded, and that one comes back with false.
    async fn create_bulk_job(
        &self,
        job: BulkJob,
        idempotency_key: Option<String>,
        audit: NewAudit,
    ) -> Result<(BulkJob, bool)>;

    /// Notes more tasks for a job that is being prepared. False, and nothing is noted, when it is not any more.
    async fn add_bulk_items(&self, project: u64, id: &str, items: Vec<NewBulkItem>) -> Result<bool>;

    /// Changes a job; an entry in the audit is made when that changes anything. Returns it as it then stands, and whether
    /// anything changed; `None` when there is no such job.
    async fn change_bulk_job(
        &self,
        project: u64,
        id: &str,
        change: BulkChange,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<Option<(BulkJob, bool)>>;

    /// One job.
    async fn bulk_job(&self, project: u64, id: &str) -> Result<Option<BulkJob>>;

    /// The job that was made with an idempotency key.
    async fn bulk_job_with_key(&self, project: u64, key: &str) -> Result<Option<BulkJob>>;

    /// Jobs, newest first.
    async fn bulk_jobs(&self, project: u64, page: Page) -> Result<(Vec<BulkJob>, Option<String>)>;

    /// Jobs of all projects that something is to be done for, oldest first, at most 1,000.
    async fn open_bulk_jobs(&self) -> Result<Vec<BulkJob>>;

    /// Takes the oldest waiting tasks of a lane in hand, as many as the job may send now. Each is looked at again: what was
    /// retried in the meantime, or changed, or another job has in hand, is refused instead. From then on, no job takes one of
    /// them again, unless it is settled as [`BulkEnd::Again`] or refused. Returns the tasks to send, and the job as it then
    /// stands.
    async fn claim_bulk_items(
        &self,
        project: u64,
        id: &str,
        request: BulkClaimRequest,
        now: Timestamp,
    ) -> Result<Option<(BulkJob, Vec<BulkItem>)>>;

    /// Notes what became of the tasks of a command, by their ids; those that are not named are unknown. Nothing happens when the
    /// job does not wait for that command.
    async fn settle_bulk_claim(
        &self,
        project: u64,
        id: &str,
        command: &str,
        ends: Vec<(String, BulkEnd)>,
        now: Timestamp,
    ) -> Result<Option<BulkJob>>;

    /// Retried tasks whose ends are waited for, by key, above `after`, at most `limit`.
    async fn awaited_bulk_items(&self, project: u64, id: &str, after: i64, limit: usize) -> Result<Vec<AwaitedItem>>;

    /// Notes how retried tasks have ended.
    async fn note_bulk_outcomes(
        &self,
        project: u64,
        id: &str,
        outcomes: Vec<(i64, BulkOutcome)>,
        now: Timestamp,
    ) -> Result<Option<BulkJob>>;

    /// Tasks of a job, oldest first, optionally those that stand so.
    async fn bulk_items(
        &self,
        project: u64,
        id: &str,
        state: Option<BulkItemState>,
        page: Page,
    ) -> Result<(Vec<BulkItem>, Option<String>)>;

    /// Which of the tasks with these keys a job has in hand, has retried, or may have, or will retry ([`BulkJob::will_send`]). In
    /// no order.
    async fn in_bulk_jobs(&self, project: u64, keys: Vec<i64>) -> Result<Vec<i64>>;
}
