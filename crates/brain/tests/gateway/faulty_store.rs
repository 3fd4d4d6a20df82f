//! A store that is slow, full or broken when a test wants it to be, and else is the store it wraps.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_model::agent::Agent;
use taskplane_model::bulk::{BulkChange, BulkEnd, BulkItem, BulkItemState, BulkJob, BulkOutcome};
use taskplane_model::command::{Command, CommandOutcome};
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::schedule_run::{ScheduleKey, ScheduleRun, ScheduleWatch};
use taskplane_store::access::{
    AgentToken, ApiKey, AuditEntry, NewAudit, Project, SecretHash, SessionGrant, TokenGrant,
};
use taskplane_store::bulk::{AwaitedItem, BulkClaimRequest, NewBulkItem};
use taskplane_store::commands::CommandQuery;
use taskplane_store::fleet::{Heard, QuarantinedEvent, ScheduleNews, SchedulesTold, StoredSchedule};
use taskplane_store::ingest::{BatchToStore, OpenedStream, Recorded, StreamToOpen};
use taskplane_store::retention::{Dropped, Kept, StorageReport};
use taskplane_store::stats::{StatsPoint, StatsQuery, TaskTypeStats};
use taskplane_store::tasks::{LostTask, Page, RawBatch, StateCounts, StoredTask, TaskPage, TaskQuery, TaskTree};
use taskplane_store::{
    AccessStore, BulkStore, CommandStore, FleetStore, IngestStore, Result, RetentionStore, ScheduleStore, SearchStore,
    SharedStore, StatisticsStore, StoreError, TaskStore,
};
use taskplane_store_sqlite::SqliteStore;
use tokio::sync::Semaphore;

const MANY: usize = 1 << 20;

pub(crate) struct FaultyStore {
    inner: SqliteStore,
    faults: Arc<Faults>,
}

/// What is wrong with the store.
pub(crate) struct Faults {
    /// Each is one commit that may go on.
    turns: Semaphore,
    failure: Mutex<Option<StoreError>>,
    /// A batch with this number makes the store fail.
    poison: Mutex<Option<u64>>,
    commits: Mutex<usize>,
}

impl FaultyStore {
    pub(crate) fn new(inner: SqliteStore) -> (Self, Arc<Faults>) {
        let faults = Faults {
            turns: Semaphore::new(MANY),
            failure: Mutex::default(),
            poison: Mutex::default(),
            commits: Mutex::default(),
        };
        let faults = Arc::new(faults);
        (Self { inner, faults: Arc::clone(&faults) }, faults)
    }
}

impl Faults {
    /// No commit goes on from now on.
    pub(crate) fn hold(&self) {
        self.turns.forget_permits(MANY);
    }

    /// So many commits may go on.
    pub(crate) fn let_through(&self, commits: usize) {
        self.turns.add_permits(commits);
    }

    /// All may go on again.
    pub(crate) fn release(&self) {
        self.turns.add_permits(MANY);
    }

    /// Nothing can be written.
    pub(crate) fn fill_disk(&self) {
        *self.failure.lock().expect("a lock") = Some(StoreError::Unavailable("no space is left".into()));
    }

    /// Everything can be written again.
    pub(crate) fn free_disk(&self) {
        *self.failure.lock().expect("a lock") = None;
    }

    /// A batch with this number cannot be stored, nor can what would be stored with it.
    pub(crate) fn poison(&self, seq: u64) {
        *self.poison.lock().expect("a lock") = Some(seq);
    }

    /// Commits that were tried.
    pub(crate) fn commits(&self) -> usize {
        *self.commits.lock().expect("a lock")
    }

    fn check(&self) -> Result<()> {
        self.failure.lock().expect("a lock").clone().map_or(Ok(()), Err)
    }

    async fn before_storing(&self, batches: &[BatchToStore]) -> Result<()> {
        self.turns.acquire().await.expect("is never closed").forget();
        *self.commits.lock().expect("a lock") += 1;
        self.check()?;
        let poison = *self.poison.lock().expect("a lock");
        if batches.iter().any(|batch| Some(batch.seq) == poison) {
            return Err(StoreError::Internal("a batch that cannot be stored".into()));
        }
        Ok(())
    }
}

impl SharedStore for FaultyStore {}

#[async_trait]
impl SearchStore for FaultyStore {
    async fn index_tasks(&self, now: Timestamp) -> Result<bool> {
        self.inner.index_tasks(now).await
    }
}

#[async_trait]
impl RetentionStore for FaultyStore {
    async fn storage(&self) -> Result<StorageReport> {
        self.inner.storage().await
    }
    async fn drop_before(&self, what: Kept, horizon: Timestamp, limit: usize) -> Result<Dropped> {
        self.inner.drop_before(what, horizon, limit).await
    }
    async fn forget_dropped(&self, limit: usize) -> Result<bool> {
        self.inner.forget_dropped(limit).await
    }
    async fn give_back_space(&self) -> Result<bool> {
        self.inner.give_back_space().await
    }
}

#[async_trait]
impl IngestStore for FaultyStore {
    async fn open_stream(&self, stream: StreamToOpen, now: Timestamp) -> Result<OpenedStream> {
        self.faults.check()?;
        self.inner.open_stream(stream, now).await
    }
    async fn record_batches(&self, batches: Vec<BatchToStore>, want_tasks: bool) -> Result<Recorded> {
        self.faults.before_storing(&batches).await?;
        self.inner.record_batches(batches, want_tasks).await
    }
    async fn note_heard(&self, heard: Vec<Heard>) -> Result<()> {
        self.inner.note_heard(heard).await
    }
    async fn keep_schedules(&self, told: SchedulesTold, now: Timestamp) -> Result<()> {
        self.inner.keep_schedules(told, now).await
    }
}

#[async_trait]
impl TaskStore for FaultyStore {
    async fn list_tasks(&self, query: TaskQuery) -> Result<TaskPage> {
        self.inner.list_tasks(query).await
    }
    async fn count_tasks(&self, query: TaskQuery) -> Result<StateCounts> {
        self.inner.count_tasks(query).await
    }
    async fn task(&self, project: u64, engine: &str, task_id: &str) -> Result<Option<StoredTask>> {
        self.inner.task(project, engine, task_id).await
    }
    async fn task_batches(&self, project: u64, engine: &str, task_id: &str) -> Result<Vec<RawBatch>> {
        self.inner.task_batches(project, engine, task_id).await
    }
    async fn mark_lost(&self, project: u64, lost: Vec<LostTask>, now: Timestamp) -> Result<Vec<StoredTask>> {
        self.faults.check()?;
        self.inner.mark_lost(project, lost, now).await
    }
    async fn task_tree(&self, project: u64, engine: &str, task_id: &str, limit: usize) -> Result<Option<TaskTree>> {
        self.inner.task_tree(project, engine, task_id, limit).await
    }
}

#[async_trait]
impl StatisticsStore for FaultyStore {
    async fn stats(&self, query: StatsQuery) -> Result<Vec<StatsPoint>> {
        self.inner.stats(query).await
    }
    async fn task_types(&self, project: u64, since: Timestamp, until: Timestamp) -> Result<Vec<TaskTypeStats>> {
        self.inner.task_types(project, since, until).await
    }
    async fn fold_statistics(&self, now: Timestamp) -> Result<bool> {
        self.inner.fold_statistics(now).await
    }
}

#[async_trait]
impl FleetStore for FaultyStore {
    async fn agents(&self, project: u64) -> Result<Vec<Agent>> {
        self.inner.agents(project).await
    }
    async fn workers(&self, project: u64) -> Result<Vec<(Worker, String)>> {
        self.inner.workers(project).await
    }
    async fn queues(&self, project: u64) -> Result<Vec<(Queue, String)>> {
        self.inner.queues(project).await
    }
    async fn schedules(&self, project: u64) -> Result<Vec<StoredSchedule>> {
        self.inner.schedules(project).await
    }
    async fn quarantine(&self, project: u64, page: Page) -> Result<(Vec<QuarantinedEvent>, Option<String>)> {
        self.inner.quarantine(project, page).await
    }
}

#[async_trait]
impl ScheduleStore for FaultyStore {
    async fn schedule_watches(&self, project: u64) -> Result<Vec<(ScheduleKey, ScheduleWatch)>> {
        self.inner.schedule_watches(project).await
    }
    async fn schedule_runs(&self, project: u64, keys: Vec<ScheduleKey>, limit: usize) -> Result<Vec<Vec<ScheduleRun>>> {
        self.inner.schedule_runs(project, keys, limit).await
    }
    async fn note_schedule_runs(&self, project: u64, news: Vec<ScheduleNews>, keep: usize) -> Result<()> {
        self.inner.note_schedule_runs(project, news, keep).await
    }
}

#[async_trait]
impl CommandStore for FaultyStore {
    async fn create_command(
        &self,
        project: u64,
        command: Command,
        idempotency_key: Option<String>,
    ) -> Result<(Command, bool)> {
        self.faults.check()?;
        self.inner.create_command(project, command, idempotency_key).await
    }
    async fn command_sent(&self, project: u64, id: &str, agent: &str) -> Result<bool> {
        self.faults.check()?;
        self.inner.command_sent(project, id, agent).await
    }
    async fn finish_command(
        &self,
        project: u64,
        id: &str,
        outcome: CommandOutcome,
        retried: Vec<(String, String, String)>,
        now: Timestamp,
    ) -> Result<Option<Command>> {
        self.faults.check()?;
        self.inner.finish_command(project, id, outcome, retried, now).await
    }
    async fn abandon_open_commands(&self, now: Timestamp) -> Result<u64> {
        self.inner.abandon_open_commands(now).await
    }
    async fn command(&self, project: u64, id: &str) -> Result<Option<Command>> {
        self.inner.command(project, id).await
    }
    async fn commands(&self, project: u64, query: CommandQuery, page: Page) -> Result<(Vec<Command>, Option<String>)> {
        self.inner.commands(project, query, page).await
    }
    async fn forget_inquiry(&self, project: u64, id: &str) -> Result<()> {
        self.inner.forget_inquiry(project, id).await
    }
}

#[async_trait]
impl AccessStore for FaultyStore {
    async fn project(&self, name: &str) -> Result<Option<Project>> {
        self.inner.project(name).await
    }
    async fn projects(&self) -> Result<Vec<Project>> {
        self.inner.projects().await
    }
    async fn create_agent_token(
        &self,
        project: u64,
        agent: Option<&str>,
        hash: SecretHash,
        audit: NewAudit,
        now: Timestamp,
    ) -> Result<AgentToken> {
        self.inner.create_agent_token(project, agent, hash, audit, now).await
    }
    async fn agent_token(&self, hash: SecretHash) -> Result<Option<TokenGrant>> {
        self.inner.agent_token(hash).await
    }
    async fn agent_tokens(&self, project: u64) -> Result<Vec<AgentToken>> {
        self.inner.agent_tokens(project).await
    }
    async fn revoke_agent_token(&self, project: u64, id: &str, audit: NewAudit, now: Timestamp) -> Result<bool> {
        self.inner.revoke_agent_token(project, id, audit, now).await
    }
    async fn revoked_agent_tokens(&self, ids: Vec<String>) -> Result<Vec<String>> {
        self.inner.revoked_agent_tokens(ids).await
    }
    async fn create_api_key(
        &self,
        project: u64,
        role: Role,
        hash: SecretHash,
        audit: NewAudit,
        now: Timestamp,
    ) -> Result<ApiKey> {
        self.inner.create_api_key(project, role, hash, audit, now).await
    }
    async fn api_key(&self, hash: SecretHash) -> Result<Option<ApiKey>> {
        self.inner.api_key(hash).await
    }
    async fn is_unclaimed(&self) -> Result<bool> {
        self.inner.is_unclaimed().await
    }
    async fn create_signin_link(&self, hash: SecretHash, role: Role, expires: Timestamp, now: Timestamp) -> Result<()> {
        self.inner.create_signin_link(hash, role, expires, now).await
    }
    async fn redeem_signin_link(
        &self,
        link: SecretHash,
        session: SecretHash,
        session_expires: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionGrant>> {
        self.inner.redeem_signin_link(link, session, session_expires, now).await
    }
    async fn session(&self, hash: SecretHash, now: Timestamp) -> Result<Option<SessionGrant>> {
        self.inner.session(hash, now).await
    }
    async fn end_session(&self, hash: SecretHash, now: Timestamp) -> Result<()> {
        self.inner.end_session(hash, now).await
    }
    async fn audit(&self, project: u64, page: Page) -> Result<(Vec<AuditEntry>, Option<String>)> {
        self.inner.audit(project, page).await
    }
}

#[async_trait]
impl BulkStore for FaultyStore {
    async fn create_bulk_job(
        &self,
        job: BulkJob,
        idempotency_key: Option<String>,
        audit: NewAudit,
    ) -> Result<(BulkJob, bool)> {
        self.faults.check()?;
        self.inner.create_bulk_job(job, idempotency_key, audit).await
    }

    async fn add_bulk_items(&self, project: u64, id: &str, items: Vec<NewBulkItem>) -> Result<bool> {
        self.faults.check()?;
        self.inner.add_bulk_items(project, id, items).await
    }

    async fn change_bulk_job(
        &self,
        project: u64,
        id: &str,
        change: BulkChange,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<Option<(BulkJob, bool)>> {
        self.faults.check()?;
        self.inner.change_bulk_job(project, id, change, audit, now).await
    }

    async fn bulk_job(&self, project: u64, id: &str) -> Result<Option<BulkJob>> {
        self.inner.bulk_job(project, id).await
    }

    async fn bulk_job_with_key(&self, project: u64, key: &str) -> Result<Option<BulkJob>> {
        self.inner.bulk_job_with_key(project, key).await
    }

    async fn bulk_jobs(&self, project: u64, page: Page) -> Result<(Vec<BulkJob>, Option<String>)> {
        self.inner.bulk_jobs(project, page).await
    }

    async fn open_bulk_jobs(&self) -> Result<Vec<BulkJob>> {
        self.inner.open_bulk_jobs().await
    }

    async fn claim_bulk_items(
        &self,
        project: u64,
        id: &str,
        request: BulkClaimRequest,
        now: Timestamp,
    ) -> Result<Option<(BulkJob, Vec<BulkItem>)>> {
        self.faults.check()?;
        self.inner.claim_bulk_items(project, id, request, now).await
    }

    async fn settle_bulk_claim(
        &self,
        project: u64,
        id: &str,
        command: &str,
        ends: Vec<(String, BulkEnd)>,
        now: Timestamp,
    ) -> Result<Option<BulkJob>> {
        self.faults.check()?;
        self.inner.settle_bulk_claim(project, id, command, ends, now).await
    }

    async fn awaited_bulk_items(&self, project: u64, id: &str, after: i64, limit: usize) -> Result<Vec<AwaitedItem>> {
        self.inner.awaited_bulk_items(project, id, after, limit).await
    }

    async fn note_bulk_outcomes(
        &self,
        project: u64,
        id: &str,
        outcomes: Vec<(i64, BulkOutcome)>,
        now: Timestamp,
    ) -> Result<Option<BulkJob>> {
        self.faults.check()?;
        self.inner.note_bulk_outcomes(project, id, outcomes, now).await
    }

    async fn bulk_items(
        &self,
        project: u64,
        id: &str,
        state: Option<BulkItemState>,
        page: Page,
    ) -> Result<(Vec<BulkItem>, Option<String>)> {
        self.inner.bulk_items(project, id, state, page).await
    }

    async fn in_bulk_jobs(&self, project: u64, keys: Vec<i64>) -> Result<Vec<i64>> {
        self.inner.in_bulk_jobs(project, keys).await
    }
}
