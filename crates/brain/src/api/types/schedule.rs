//! Schedules.

use serde::Serialize;
use serde_json::Value;
use taskplane_model::Timestamp;
use taskplane_store::fleet::StoredSchedule;
use utoipa::ToSchema;

use super::page;

/// A schedule, as its agent last told it. What is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Schedule {
    /// Scheduler that has it, such as `celery-beat`.
    pub scheduler: String,
    /// Stable within its scheduler.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// Task type that it enqueues.
    pub task: Option<String>,
    /// Engine that the task goes to.
    pub engine: Option<String>,
    /// `crontab`, `interval`, `clocked`, `solar`, or what the scheduler calls it.
    pub kind: Option<String>,
    /// Five crontab fields, a duration, an RFC 3339 instant, or a solar event with latitude and longitude.
    pub expression: Option<String>,
    /// IANA name of the zone that `expression` is read in.
    pub timezone: Option<String>,
    /// Positional arguments, redacted.
    pub args_redacted: Option<Value>,
    /// Keyword arguments, redacted.
    pub kwargs_redacted: Option<Value>,
    /// Queue that the task goes to.
    pub queue: Option<String>,
    /// False while it is paused.
    pub enabled: Option<bool>,
    /// It runs once, and is then disabled.
    pub one_off: Option<bool>,
    /// When it last enqueued its task.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_run_at: Option<Timestamp>,
    /// When it will next.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_run_at: Option<Timestamp>,
    /// How often it did, ever.
    pub total_run_count: Option<u64>,
    /// It is defined in code and cannot be changed from here.
    pub read_only: Option<bool>,
    /// For people.
    pub description: Option<String>,
    /// Agent that told.
    pub agent: String,
    /// When the agent last told of it.
    #[schema(value_type = String, format = DateTime)]
    pub synced_at: Timestamp,
}

impl From<StoredSchedule> for Schedule {
    fn from(stored: StoredSchedule) -> Self {
        let StoredSchedule { scheduler, agent, synced_at, schedule } = stored;
        Self {
            scheduler,
            id: schedule.id,
            name: schedule.name,
            task: schedule.task,
            engine: schedule.engine,
            kind: schedule.kind,
            expression: schedule.expression,
            timezone: schedule.timezone,
            args_redacted: schedule.args_redacted,
            kwargs_redacted: schedule.kwargs_redacted,
            queue: schedule.queue,
            enabled: schedule.enabled,
            one_off: schedule.one_off,
            last_run_at: schedule.last_run_at,
            next_run_at: schedule.next_run_at,
            total_run_count: schedule.total_run_count,
            read_only: schedule.read_only,
            description: schedule.description,
            agent,
            synced_at,
        }
    }
}

page!(SchedulePage, Schedule, "All schedules, by scheduler and id.");
