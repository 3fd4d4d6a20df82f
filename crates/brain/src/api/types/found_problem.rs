//! What needs someone.

use serde::Serialize;
use taskplane_model::Timestamp;
use utoipa::ToSchema;

use super::page;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundProblemKind {
    /// An agent has no connection.
    AgentOffline,
    /// An agent does not reach a broker.
    EngineUnreached,
    /// An agent has a problem of its own.
    AgentProblem,
    /// Events of an agent never arrived.
    LostBatches,
    /// Events were not understood.
    Quarantine,
    /// Messages wait, and nothing consumes their queue.
    QueueUnconsumed,
    /// A worker said that it goes, or its agent says that it is gone.
    WorkerOffline,
    /// A worker is not heard any more.
    WorkerSilent,
    /// A worker lives and begins nothing, though messages wait for it.
    WorkerIdle,
    /// A worker sends no task events.
    EventsOff,
    /// Tasks wait for an ETA that is further away than their broker waits.
    EtaBeyondVisibility,
    /// A scheduler seems to be dead.
    SchedulerSilent,
    /// Schedules missed their last run.
    SchedulesMissed,
    /// Schedules should have run by now.
    SchedulesOverdue,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundProblemSeverity {
    /// Something does not work.
    Error,
    /// Something may go wrong, or is not seen as it should be.
    Warning,
}

/// What kind of thing has a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundProblemSubjectType {
    /// An agent.
    Agent,
    /// A worker.
    Worker,
    /// A queue.
    Queue,
    /// A scheduler.
    Scheduler,
}

/// What has a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundProblemSubject {
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub kind: FoundProblemSubjectType,
    /// Its name.
    pub name: String,
    /// Its engine, where it has one.
    pub engine: Option<String>,
}

/// Something that needs someone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundProblem {
    /// What is wrong.
    pub kind: FoundProblemKind,
    /// How bad it is.
    pub severity: FoundProblemSeverity,
    /// What has it.
    pub subject: FoundProblemSubject,
    /// What is wrong, in a line.
    #[schema(example = "No worker consumes emails")]
    pub title: String,
    /// How it shows, and how it is known.
    pub cause: String,
    /// What to do about it, where that can be said.
    pub remedy: Option<String>,
    /// Since when it is so, or has been seen to be so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
}

page!(FoundProblemPage, FoundProblem, "All problems that there are now, the worst first.");
