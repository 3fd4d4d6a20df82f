//! Durable state behind a few small traits of domain verbs.
//!
//! One verb is one transaction; what must commit together is one verb. Lookups of one thing return `Option`. Time is an
//! argument. Nothing here knows HTTP, WebSockets or frames, and nothing outside an implementation knows SQL.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_model::agent::Agent;
use taskplane_model::command::{Command, CommandOutcome};
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::schedule_run::{ScheduleKey, ScheduleRun, ScheduleWatch};

pub mod access;
pub mod backend;
pub mod bulk;
pub mod checkup;
pub mod commands;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
pub mod fleet;
pub mod ingest;
pub mod replicas;
pub mod retention;
mod search;
pub mod stats;
pub mod tasks;

pub use bulk::BulkStore;
pub use error::StoreError;
pub use replicas::{ReplicaStore, SharedStore};
pub use search::SearchStore;

use access::{AgentToken, ApiKey, AuditEntry, NewAudit, Project, SecretHash, SessionGrant, TokenGrant};
use commands::CommandQuery;
use fleet::{Heard, QuarantinedEvent, ScheduleNews, SchedulesTold, StoredSchedule};
use ingest::{BatchToStore, OpenedStream, Recorded, StreamToOpen};
use retention::{Dropped, Kept, StorageReport};
use stats::{StatsPoint, StatsQuery, TaskTypeStats};
use tasks::{LostTask, Page, RawBatch, StateCounts, StoredTask, TaskPage, TaskQuery, TaskTree};

/// What a store function returns.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Everything a brain needs of its database.
pub trait Store:
    IngestStore
    + TaskStore
    + StatisticsStore
    + FleetStore
    + ScheduleStore
    + CommandStore
    + BulkStore
    + AccessStore
    + RetentionStore
    + SearchStore
    + SharedStore
{
}
impl<
    T: IngestStore
        + TaskStore
        + StatisticsStore
        + FleetStore
        + ScheduleStore
        + CommandStore
        + BulkStore
        + AccessStore
        + RetentionStore
        + SearchStore
        + SharedStore,
> Store for T
{
}

/// What the gateway writes.
#[async_trait]
pub trait IngestStore: Send + Sync {
    /// Registers an agent and its stream (creating either on first sight), and says where the stream stands.
    async fn open_stream(&self, stream: StreamToOpen, now: Timestamp) -> Result<OpenedStream>;

    /// Stores batches of any streams in one transaction that is on disk when this returns. Sequence numbers are checked and
    /// advanced inside it; task records are merged with what is stored; statistics change by the difference.
    ///
    /// `batches` of one stream come in ascending order of their sequence numbers. With `want_tasks`, the tasks that changed
    /// come back as they are now stored.
    async fn record_batches(&self, batches: Vec<BatchToStore>, want_tasks: bool) -> Result<Recorded>;

    /// Notes when agents were last heard, and what they said of themselves.
    async fn note_heard(&self, heard: Vec<Heard>) -> Result<()>;

    /// Keeps what an agent told of a scheduler: with `full` in place of all that it told before, else as a change of it.
    async fn keep_schedules(&self, told: SchedulesTold, now: Timestamp) -> Result<()>;
}

/// What the API reads of tasks.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// One page of the tasks that a filter means, newest first. A page may be short and still have a cursor: a search that
    /// reads a lot stops at its bound and goes on at the cursor.
    async fn list_tasks(&self, query: TaskQuery) -> Result<TaskPage>;

    /// How many tasks the filter of `query` means, by state; cursor and limit are ignored. Exact up to
    /// [`tasks::COUNT_BOUND`]. Says that there are more before that where the tasks that the indexes leave are too many to look
    /// at in time: with words that are in many tasks, or with less than three letters.
    async fn count_tasks(&self, query: TaskQuery) -> Result<StateCounts>;

    /// One task.
    async fn task(&self, project: u64, engine: &str, task_id: &str) -> Result<Option<StoredTask>>;

    /// The raw batches that told of a task, oldest first, as far as they are still kept.
    async fn task_batches(&self, project: u64, engine: &str, task_id: &str) -> Result<Vec<RawBatch>>;

    /// Calls tasks lost, on disk when this returns; each only if nothing has become known of it since it was judged. Returns those
    /// that were changed, as they are now stored. What is unknown stays so.
    async fn mark_lost(&self, project: u64, lost: Vec<LostTask>, now: Timestamp) -> Result<Vec<StoredTask>>;

    /// The workflow around a task: everything reachable by root, parent, group, chord and retry, up to `limit` tasks. `None`
    /// when the task is not known.
    async fn task_tree(&self, project: u64, engine: &str, task_id: &str, limit: usize) -> Result<Option<TaskTree>>;
}

/// Statistics over time.
#[async_trait]
pub trait StatisticsStore: Send + Sync {
    /// Statistics over a window, one item per step, ascending; steps in which nothing happened are there, empty. What was
    /// never folded is counted like what was.
    async fn stats(&self, query: StatsQuery) -> Result<Vec<StatsPoint>>;

    /// Statistics over a window by task type, busiest first, at most 1,000.
    async fn task_types(&self, project: u64, since: Timestamp, until: Timestamp) -> Result<Vec<TaskTypeStats>>;

    /// Adds a piece of what has changed, and is old enough not to change again at once, up to longer spans, which makes long
    /// windows cheap to read; true when there may be more. Changes no answer.
    async fn fold_statistics(&self, now: Timestamp) -> Result<bool>;
}

/// What the API reads of agents and of what they tell of workers, queues and schedules.
#[async_trait]
pub trait FleetStore: Send + Sync {
    /// All agents of a project, by name.
    async fn agents(&self, project: u64) -> Result<Vec<Agent>>;

    /// All workers of a project, by name, with the names of the agents that told of them.
    async fn workers(&self, project: u64) -> Result<Vec<(Worker, String)>>;

    /// All queues of a project, by name, with the names of the agents that told of them.
    async fn queues(&self, project: u64) -> Result<Vec<(Queue, String)>>;

    /// All schedules of a project, by scheduler, id and agent's name.
    async fn schedules(&self, project: u64) -> Result<Vec<StoredSchedule>>;

    /// Events that were not understood, newest first, as far as they are kept.
    async fn quarantine(&self, project: u64, page: Page) -> Result<(Vec<QuarantinedEvent>, Option<String>)>;
}

/// Runs of schedules: expected, and seen or not.
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// How far each schedule of a project has been judged, by scheduler and id.
    async fn schedule_watches(&self, project: u64) -> Result<Vec<(ScheduleKey, ScheduleWatch)>>;

    /// The latest runs of each of `keys`, in their order; of each at most `limit`, newest first.
    async fn schedule_runs(&self, project: u64, keys: Vec<ScheduleKey>, limit: usize) -> Result<Vec<Vec<ScheduleRun>>>;

    /// Keeps what has become known of runs. A run with the due time of a stored one takes its place, so that the same may be
    /// noted twice. Of each schedule the latest `keep` runs stay.
    async fn note_schedule_runs(&self, project: u64, news: Vec<ScheduleNews>, keep: usize) -> Result<()>;
}

/// Commands and their ends.
#[async_trait]
pub trait CommandStore: Send + Sync {
    /// Records a command and, unless the brain asks by itself, its audit entry; the second value is true. When a command with the same idempotency key exists
    /// already, nothing is recorded, and that command comes back with false.
    async fn create_command(
        &self,
        project: u64,
        command: Command,
        idempotency_key: Option<String>,
    ) -> Result<(Command, bool)>;

    /// Notes that a command is about to be handed to an agent's connection by this brain. False, and nothing is noted, when
    /// it was sent before or has ended: then it must not be sent.
    async fn command_sent(&self, project: u64, id: &str, agent: &str) -> Result<bool>;

    /// Ends a command, unless it has ended, and links retried tasks (`(engine, old id, new id)`) both ways. Returns the
    /// command as it now stands, or `None` when there is no such command.
    async fn finish_command(
        &self,
        project: u64,
        id: &str,
        outcome: CommandOutcome,
        retried: Vec<(String, String, String)>,
        now: Timestamp,
    ) -> Result<Option<Command>>;

    /// Ends what a former run of the brain left open: pending ones as failed, sent ones as unknown. Returns how many. What
    /// belongs to other brains on the database that are here is theirs.
    async fn abandon_open_commands(&self, now: Timestamp) -> Result<u64>;

    /// One command.
    async fn command(&self, project: u64, id: &str) -> Result<Option<Command>>;

    /// Commands, newest first.
    async fn commands(&self, project: u64, query: CommandQuery, page: Page) -> Result<(Vec<Command>, Option<String>)>;

    /// Forgets a question that the brain asked by itself, when it has ended. Other commands stay.
    async fn forget_inquiry(&self, project: u64, id: &str) -> Result<()>;
}

/// Who may come in.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// A project by name.
    async fn project(&self, name: &str) -> Result<Option<Project>>;

    /// All projects, by name.
    async fn projects(&self) -> Result<Vec<Project>>;

    /// Keeps a new agent token, bound to an agent's name or open. Returns its public id.
    async fn create_agent_token(
        &self,
        project: u64,
        agent: Option<&str>,
        hash: SecretHash,
        audit: NewAudit,
        now: Timestamp,
    ) -> Result<AgentToken>;

    /// What an agent token opens; `None` when it is unknown or revoked.
    async fn agent_token(&self, hash: SecretHash) -> Result<Option<TokenGrant>>;

    /// Agent tokens that are not revoked, newest first.
    async fn agent_tokens(&self, project: u64) -> Result<Vec<AgentToken>>;

    /// Revokes an agent token; false when there is none with that id.
    async fn revoke_agent_token(&self, project: u64, id: &str, audit: NewAudit, now: Timestamp) -> Result<bool>;

    /// Which of the agent tokens with these public ids open nothing any more: revoked, or never made. In no order.
    async fn revoked_agent_tokens(&self, ids: Vec<String>) -> Result<Vec<String>>;

    /// Keeps a new API key.
    async fn create_api_key(
        &self,
        project: u64,
        role: Role,
        hash: SecretHash,
        audit: NewAudit,
        now: Timestamp,
    ) -> Result<ApiKey>;

    /// What an API key opens; `None` when it is unknown.
    async fn api_key(&self, hash: SecretHash) -> Result<Option<ApiKey>>;

    /// True when no API key, session or sign-in link was ever made: this is a first start.
    async fn is_unclaimed(&self) -> Result<bool>;

    /// Keeps a one-time sign-in link until `expires`.
    async fn create_signin_link(&self, hash: SecretHash, role: Role, expires: Timestamp, now: Timestamp) -> Result<()>;

    /// Uses a sign-in link up, and opens a session in its stead; `None` when the link is unknown, used or expired.
    async fn redeem_signin_link(
        &self,
        link: SecretHash,
        session: SecretHash,
        session_expires: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionGrant>>;

    /// What a session opens; `None` when it is unknown or has expired.
    async fn session(&self, hash: SecretHash, now: Timestamp) -> Result<Option<SessionGrant>>;

    /// Ends a session.
    async fn end_session(&self, hash: SecretHash, now: Timestamp) -> Result<()>;

    /// Audit entries, newest first.
    async fn audit(&self, project: u64, page: Page) -> Result<(Vec<AuditEntry>, Option<String>)>;
}

/// What is kept for how long. Every verb does a bounded piece, so that nothing else waits for long.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// How much room the store takes, and how far back it reaches. Cheap, however much is stored.
    async fn storage(&self) -> Result<StorageReport>;

    /// Drops what is older than `horizon`, oldest first, looking at about `limit` tasks or as many bytes of other things.
    /// Statistics keep what dropped tasks have contributed. From then on, an event that comes later than
    /// [`retention::YOUNGEST`], for a task that is not stored and would have been dropped, is kept as a raw event and
    /// nothing else: it makes no task, and is not counted again.
    async fn drop_before(&self, what: Kept, horizon: Timestamp, limit: usize) -> Result<Dropped>;

    /// Forgets a piece of what still points to dropped tasks; true when there is more.
    async fn forget_dropped(&self, limit: usize) -> Result<bool>;

    /// Gives a piece of the free space inside the database back to the file system, when there is much; true when there is
    /// more. Where the database does this by itself or not at all, it is false at once.
    async fn give_back_space(&self) -> Result<bool>;
}
