//! What a queue engine must offer: observe, and act.
//!
//! Everything here is as the engine has it, **not redacted**. The only way from here to the disk or the network is
//! [`crate::redact`], which turns an [`Observation`] into a wire event.

mod handed_over;
mod preview;
mod state;
mod worker_control;

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::Value;
use taskplane_model::{TaskEventKind, Timestamp, fleet::WorkerSign};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use handed_over::HandedOver;
pub use preview::{ArgumentSource, RetryPreview};
pub use state::{FoundIn, FoundState, FoundTask, FoundTasks};
pub use taskplane_model::KnownBy;
pub use worker_control::{WorkerAction, WorkerControlRequest, WorkerReplies};

/// A queue engine beside which the agent runs: one broker of one kind.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The engine's name on the wire, such as `celery`.
    fn name(&self) -> &'static str;

    /// What it can do, as `hello.capabilities.<name>` says it.
    fn capabilities(&self) -> Value;

    /// Observes until `stop`. A broker that is away is reported through [`Observer::health`] and awaited; this returns only
    /// when stopped.
    async fn observe(&self, observer: Observer, stop: CancellationToken);

    /// Publishes the task again with its original arguments (or those of `request`) under a new id, which is returned.
    async fn retry_task(&self, request: &RetryRequest) -> Result<RetriedTask, CommandError>;

    /// Cancels a task.
    async fn cancel_task(&self, request: &CancelRequest) -> Result<CancelledTask, CommandError>;

    /// Drops all waiting messages of a queue and returns how many there were.
    async fn purge_queue(&self, queue: &str) -> Result<u64, CommandError>;

    /// Publishes a new task.
    async fn enqueue_task(&self, _request: &EnqueueRequest) -> Result<EnqueuedTask, CommandError> {
        Err(CommandError::Unsupported(format!("this agent cannot enqueue tasks of {}", self.name())))
    }

    /// Says what each retry would publish, and publishes nothing: an answer for each request, in their order. The same way
    /// as [`Self::retry_task`] finds it.
    async fn preview_retry(
        &self,
        _requests: &[RetryRequest],
    ) -> Result<Vec<Result<RetryPreview, CommandError>>, CommandError> {
        Err(CommandError::Unsupported(format!(
            "this agent cannot say in advance what a retry of {} sends",
            self.name()
        )))
    }

    /// Asks the engine itself how tasks stand. What it finds that no event told is observed as well.
    async fn query_state(&self, _task_ids: &[String]) -> Result<FoundTasks, CommandError> {
        Err(CommandError::Unsupported(format!("this agent cannot ask {} how tasks stand", self.name())))
    }

    /// Gives an order to workers, and collects what they reply.
    async fn worker_control(&self, _request: &WorkerControlRequest) -> Result<WorkerReplies, CommandError> {
        Err(CommandError::Unsupported(format!("workers of {} take no orders from this agent", self.name())))
    }
}

/// Where an engine puts what it sees. Cheap to clone.
#[derive(Clone)]
pub struct Observer {
    observations: mpsc::Sender<Observation>,
    health: mpsc::Sender<(&'static str, Health)>,
    /// For events that are encoded already; `None` where nobody takes them.
    handed_over: Option<mpsc::Sender<HandedOver>>,
    engine: &'static str,
}

/// How an engine's connection to its broker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Observing.
    Ok,
    /// Not observing; the text says what is wrong, for people, without secrets.
    Down(String),
}

impl Observer {
    /// An observer for `engine` that writes into the given channels.
    pub fn new(
        engine: &'static str,
        observations: mpsc::Sender<Observation>,
        health: mpsc::Sender<(&'static str, Health)>,
    ) -> Self {
        Self { observations, health, handed_over: None, engine }
    }

    /// The same, for an engine that also [hands over](Self::hand_over) events.
    #[must_use]
    pub fn with_hand_over(self, handed_over: mpsc::Sender<HandedOver>) -> Self {
        Self { handed_over: Some(handed_over), ..self }
    }

    /// Hands over what was seen. Waits while the buffer is behind; the channel is bounded. Silent when the agent stops.
    pub async fn record(&self, observation: Observation) {
        let _ = self.observations.send(observation).await;
    }

    /// Hands over wire events that are redacted and encoded already, with their times, and how many were lost before they came
    /// here. Returns when all of it is in the buffer's file; false when it is not, since the agent stops.
    pub async fn hand_over(&self, events: Vec<(Timestamp, String)>, lost: u64) -> bool {
        let Some(handed_over) = &self.handed_over else { return false };
        let (handing, taken) = HandedOver::new(events, lost);
        handed_over.send(handing).await.is_ok() && taken.await.is_ok()
    }

    /// Says how the connection to the broker stands. Call it on every change.
    pub async fn health(&self, health: Health) {
        let _ = self.health.send((self.engine, health)).await;
    }
}

/// Something an engine saw. Values are **not redacted**.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Engine's name.
    pub engine: &'static str,
    /// When, by the observed process's clock.
    pub ts: Timestamp,
    /// What.
    pub subject: Subject,
}

/// What an observation is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A task event.
    Task(Box<TaskObservation>),
    /// A sign of a worker.
    Worker(Box<WorkerObservation>),
    /// A sample of a queue.
    Queue(QueueObservation),
}

/// A task event as the engine has it. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskObservation {
    /// What happened.
    pub kind: TaskEventKind,
    /// The engine's id.
    pub task_id: String,
    /// Task type.
    pub name: Option<String>,
    /// Positional arguments.
    pub args: Option<Value>,
    /// Keyword arguments.
    pub kwargs: Option<Value>,
    /// Queue.
    pub queue: Option<String>,
    /// Routing key.
    pub routing_key: Option<String>,
    /// Exchange.
    pub exchange: Option<String>,
    /// Worker.
    pub worker: Option<String>,
    /// Host of the process that told.
    pub hostname: Option<String>,
    /// Process that told.
    pub pid: Option<u64>,
    /// Attempt number, 0-based.
    pub retries: Option<u32>,
    /// Earliest time to run.
    pub eta: Option<Timestamp>,
    /// Time after which it must not run.
    pub expires: Option<Timestamp>,
    /// Priority.
    pub priority: Option<i64>,
    /// First task of the workflow.
    pub root_id: Option<String>,
    /// Task that sent this one.
    pub parent_id: Option<String>,
    /// Group.
    pub group_id: Option<String>,
    /// Chord body.
    pub chord_id: Option<String>,
    /// Run time in milliseconds.
    pub runtime_ms: Option<f64>,
    /// Result.
    pub result: Option<Value>,
    /// Exception type, such as `ValueError`.
    pub exception: Option<String>,
    /// Exception message.
    pub exception_message: Option<String>,
    /// Traceback.
    pub traceback: Option<String>,
    /// Signal that killed it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// It was running and was killed.
    pub terminated: Option<bool>,
    /// It had expired.
    pub expired: Option<bool>,
    /// It went back to the queue.
    pub requeue: Option<bool>,
    /// How it is known, when no event of the engine's own told it.
    pub known_by: Option<KnownBy>,
    /// Progress: units done.
    pub done: Option<f64>,
    /// Progress: units in all.
    pub total: Option<f64>,
    /// Progress: what it is doing.
    pub note: Option<String>,
}

/// A sign of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerObservation {
    /// What kind of sign.
    pub sign: WorkerSign,
    /// Worker's name, such as `celery@host`.
    pub worker: String,
    /// What is known.
    pub facts: taskplane_model::fleet::WorkerFacts,
}

/// A sample of a queue. What cannot be known is `None`, never zero.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueObservation {
    /// Name.
    pub queue: String,
    /// Messages ready.
    pub depth: Option<u64>,
    /// Messages delivered and not acknowledged.
    pub unacked: Option<u64>,
    /// Workers that consume it.
    pub consumers: Option<u64>,
    /// Age of the oldest message, in milliseconds.
    pub oldest_age_ms: Option<f64>,
}

/// What to retry, and with what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryRequest {
    /// The task to publish again.
    pub task_id: String,
    /// Arguments given by the operator instead of the original ones.
    pub args: Option<Vec<Value>>,
    /// Keyword arguments given by the operator instead of the original ones.
    pub kwargs: Option<serde_json::Map<String, Value>>,
    /// Another queue.
    pub queue: Option<String>,
    /// Not before.
    pub eta: Option<Timestamp>,
    /// What the brain knows of the task, for where the engine has forgotten it.
    pub known: KnownTask,
}

/// What the brain knows of a task that is to run again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownTask {
    /// Its type.
    pub name: Option<String>,
    /// Queue it went to.
    pub queue: Option<String>,
    /// As what it, and other tasks of its workflow, were published again: new ids by old ones.
    pub copies: HashMap<String, String>,
}

/// What a retry led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetriedTask {
    /// Id of the new task.
    pub new_task_id: String,
    /// Where the arguments came from and what was left behind, for people; `None` when there is nothing to say.
    pub message: Option<String>,
}

/// What to enqueue, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnqueueRequest {
    /// Task type.
    pub name: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: serde_json::Map<String, Value>,
    /// Queue; without it, the one that the engine sends such tasks to.
    pub queue: Option<String>,
    /// Not before.
    pub eta: Option<Timestamp>,
    /// Not after.
    pub expires: Option<Timestamp>,
    /// Priority, in the engine's own sense.
    pub priority: Option<u8>,
    /// Headers of the message besides the engine's own.
    pub headers: serde_json::Map<String, Value>,
}

/// What an enqueuing led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnqueuedTask {
    /// Id of the new task.
    pub new_task_id: String,
    /// What to know about it, for people; `None` when there is nothing to say.
    pub message: Option<String>,
}

/// What to cancel, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// The task.
    pub task_id: String,
    /// Also kill it when it is running.
    pub terminate: bool,
    /// With this signal; `SIGTERM` by default.
    pub signal: Option<String>,
}

/// What a cancel led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelledTask {
    /// State that the engine now gives it, such as `revoked`.
    pub state: String,
    /// What to know about it, for people.
    pub message: Option<String>,
}

/// Why a command was not carried out. The code is stable (`PROTOCOL.md` section 3, `command_result`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// This engine cannot do that.
    #[error("{0}")]
    Unsupported(String),
    /// There is no such task, queue or schedule.
    #[error("{0}")]
    NotFound(String),
    /// The original arguments are nowhere to be had.
    #[error("{0}")]
    NoOriginalPayload(String),
    /// The broker or a worker refused, or could not be reached.
    #[error("{0}")]
    Engine(String),
    /// The request makes no sense.
    #[error("{0}")]
    InvalidArgs(String),
    /// It cannot be changed from here.
    #[error("{0}")]
    ReadOnly(String),
    /// Too much at once.
    #[error("{0}")]
    Busy(String),
}

impl CommandError {
    /// The stable code on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "unsupported_command",
            Self::NotFound(_) => "not_found",
            Self::NoOriginalPayload(_) => "no_original_payload",
            Self::Engine(_) => "engine_error",
            Self::InvalidArgs(_) => "invalid_args",
            Self::ReadOnly(_) => "read_only",
            Self::Busy(_) => "busy",
        }
    }
}
