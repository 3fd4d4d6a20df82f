//! Schedules: what a scheduler enqueues, and when.

mod crontab;
mod duration;
mod solar;
mod timing;

pub use crontab::{Crontab, CrontabError, Field};
pub use duration::{format_duration, parse_duration};
pub use solar::{Solar, SolarError, SolarEvent};
pub use timing::{Kind, Timing, TimingError, time_zone};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// One entry of a scheduler, as its agent told it. Absent fields are not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Stable within its scheduler.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// Task type that it enqueues.
    pub task: Option<String>,
    /// Engine that the task goes to.
    pub engine: Option<String>,
    /// `crontab`, `interval`, `clocked` or `solar`; others are kept as they are.
    pub kind: Option<String>,
    /// Five crontab fields, a duration (`30s`, `1d`), an RFC 3339 instant, or a solar event with latitude and longitude.
    pub expression: Option<String>,
    /// IANA name of the zone that `expression` is read in.
    pub timezone: Option<String>,
    /// Positional arguments, redacted by the agent.
    pub args_redacted: Option<Value>,
    /// Keyword arguments, redacted by the agent.
    pub kwargs_redacted: Option<Value>,
    /// Queue that the task goes to.
    pub queue: Option<String>,
    /// False while it is paused.
    pub enabled: Option<bool>,
    /// It runs once, and is then disabled.
    pub one_off: Option<bool>,
    /// It does not run before.
    pub starts_at: Option<Timestamp>,
    /// It does not run after.
    pub expires_at: Option<Timestamp>,
    /// Its tasks expire so many seconds after they were enqueued.
    pub expire_seconds: Option<u64>,
    /// Priority of its tasks, in the engine's own sense.
    pub priority: Option<u8>,
    /// When it last enqueued its task.
    pub last_run_at: Option<Timestamp>,
    /// When it will next.
    pub next_run_at: Option<Timestamp>,
    /// How often it did, ever.
    pub total_run_count: Option<u64>,
    /// It is defined in code and cannot be changed by commands.
    pub read_only: Option<bool>,
    /// For people.
    pub description: Option<String>,
}
