//! What goes over the wire. Each type is made from what the model or the store knows, and knows nothing of requests.

pub mod access;
pub mod agent;
pub mod audit;
pub mod bulk;
pub mod command;
pub mod found_problem;
pub mod quarantined_event;
pub mod queue;
pub mod schedule;
pub mod stats;
pub mod storage;
pub mod task;
pub mod task_detail;
pub mod task_event;
pub mod why;
pub mod worker;

pub use access::{AgentToken, AgentTokenPage, CreatedAgentToken, NewAgentToken, Role, Session};
pub use agent::{Agent, AgentBuffer, AgentPage, AgentState};
pub use audit::{AuditEntry, AuditEntryPage};
pub use bulk::{
    BulkDryRun, BulkFilter, BulkItem, BulkItemPage, BulkJob, BulkJobPage, BulkPreview, BulkReason, BulkShare,
    BulkSource, NewBulkJob, explain,
};
pub use command::{Command, CommandPage, CommandStatus, NewCommand};
pub use found_problem::{
    FoundProblem, FoundProblemKind, FoundProblemPage, FoundProblemSeverity, FoundProblemSubject,
    FoundProblemSubjectType,
};
pub use quarantined_event::{QuarantinedEvent, QuarantinedEventPage};
pub use queue::{Queue, QueuePage};
pub(crate) use schedule::Known;
pub use schedule::{
    NewSchedulePreview, RunEvidence, RunState, Schedule, SchedulePage, SchedulePreview, ScheduleProblem,
    ScheduleProblemKind, ScheduleRun, Scheduler, SchedulerPage,
};
pub use stats::{StatsPoint, StatsPointPage, TaskType, TaskTypePage};
pub use storage::{KeptFor, KeptKind, Storage};
pub use task::{Count, EdgeKind, Progress, Task, TaskCounts, TaskPage, TaskState, TaskTree, TreeEdge};
pub use task_detail::{Attempt, TaskDetail, TimelineEntry};
pub use task_event::{TaskEvent, TaskEventPage};
pub use why::{Inquiry, Why, WhyCode, WhyKnownBy, WhyReason, WhyRole};
pub use worker::{Worker, WorkerPage, WorkerState};

use serde_json::{Map, Value};

/// Microseconds as milliseconds.
fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// A JSON text as the value it stands for; text that is not JSON (cut off by an agent, say) as a string.
fn json_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// What should be an object. Agents send these; one that sent something else is shown nothing rather than broken.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A list that is always given whole.
macro_rules! page {
    ($page:ident, $item:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
        pub struct $page {
            /// The items.
            pub items: Vec<$item>,
            /// Where the next page begins; null on the last one.
            pub next_cursor: Option<String>,
        }
    };
}
use page;
