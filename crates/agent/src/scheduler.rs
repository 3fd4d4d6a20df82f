//! What a scheduler of periodic work must offer: list, and change.
//!
//! Everything here is as the scheduler has it, **not redacted**. The only way from here to the network is
//! [`crate::redact`], which turns a [`ScheduleEntry`] into a schedule of the wire.

use async_trait::async_trait;
use serde_json::{Map, Value};
use taskplane_model::Timestamp;
use taskplane_model::schedule::Schedule;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{CommandError, EnqueueRequest, Health};

/// Most schedules of one scheduler that are told; of more, the first by id.
pub const MAX_SCHEDULES: usize = 10_000;

/// A scheduler: what enqueues tasks of one engine when their time has come.
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// The scheduler's name on the wire, such as `celery-beat`.
    fn name(&self) -> &'static str;

    /// Name of the engine that its tasks go to.
    fn engine(&self) -> &'static str;

    /// True when somebody named it in the configuration: it is shown before it was ever reached. One that is only looked
    /// for is shown once it was found.
    fn is_configured(&self) -> bool;

    /// What it can do, as `hello.capabilities.<name>` says it.
    fn capabilities(&self) -> Value;

    /// Hands over all schedules at first and after every change, until `stop`. What is away is reported through
    /// [`ScheduleObserver::health`] and awaited; this returns only when stopped.
    async fn observe(&self, observer: ScheduleObserver, stop: CancellationToken);

    /// Makes a schedule.
    async fn create(&self, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError>;

    /// Changes what `change` names, and nothing else.
    async fn update(&self, id: &str, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError>;

    /// Removes a schedule. Returns what to know about it, for people.
    async fn delete(&self, id: &str) -> Result<Option<String>, CommandError>;

    /// Pauses a schedule, or resumes it.
    async fn pause(&self, id: &str, paused: bool) -> Result<ChangedSchedule, CommandError>;

    /// What the schedule would enqueue now.
    async fn task_of(&self, id: &str) -> Result<EnqueueRequest, CommandError>;
}

/// A schedule as its scheduler has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduleEntry {
    /// All but its arguments; those of `facts` stay empty.
    pub facts: Schedule,
    /// Positional arguments.
    pub args: Option<Value>,
    /// Keyword arguments.
    pub kwargs: Option<Value>,
}

/// What a command led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangedSchedule {
    /// The schedule as it is now.
    pub entry: ScheduleEntry,
    /// What to know about it, for people; `None` when there is nothing to say.
    pub message: Option<String>,
}

/// What to set. `None` leaves a field as it is; `Some(None)` empties it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduleChange {
    /// Its name.
    pub name: Option<String>,
    /// Task type.
    pub task: Option<String>,
    /// `crontab`, `interval`, `clocked` or `solar`.
    pub kind: Option<String>,
    /// When, in the form of its kind.
    pub expression: Option<String>,
    /// Zone of a crontab.
    pub timezone: Option<Option<String>>,
    /// Positional arguments.
    pub args: Option<Vec<Value>>,
    /// Keyword arguments.
    pub kwargs: Option<Map<String, Value>>,
    /// Queue.
    pub queue: Option<Option<String>>,
    /// False pauses it.
    pub enabled: Option<bool>,
    /// It runs once.
    pub one_off: Option<bool>,
    /// Not before.
    pub starts_at: Option<Option<Timestamp>>,
    /// Not after.
    pub expires_at: Option<Option<Timestamp>>,
    /// Its tasks expire so many seconds after they were enqueued.
    pub expire_seconds: Option<Option<u64>>,
    /// Priority of its tasks.
    pub priority: Option<Option<u8>>,
    /// For people.
    pub description: Option<String>,
}

/// Where a scheduler puts what it has. Cheap to clone.
#[derive(Clone)]
pub struct ScheduleObserver {
    listings: mpsc::Sender<(&'static str, Vec<ScheduleEntry>)>,
    health: mpsc::Sender<(&'static str, Health)>,
    scheduler: &'static str,
}

impl ScheduleObserver {
    /// An observer for `scheduler` that writes into the given channels.
    pub fn new(
        scheduler: &'static str,
        listings: mpsc::Sender<(&'static str, Vec<ScheduleEntry>)>,
        health: mpsc::Sender<(&'static str, Health)>,
    ) -> Self {
        Self { listings, health, scheduler }
    }

    /// Hands over all schedules there are, at most [`MAX_SCHEDULES`]. Silent when the agent stops.
    pub async fn list(&self, schedules: Vec<ScheduleEntry>) {
        let _ = self.listings.send((self.scheduler, schedules)).await;
    }

    /// Says how the connection to the scheduler's storage stands. Call it on every change.
    pub async fn health(&self, health: Health) {
        let _ = self.health.send((self.scheduler, health)).await;
    }
}
