//! How much is kept, and for how long.

use serde::Serialize;
use taskplane_model::Timestamp;
use taskplane_store::retention::{Kept, StorageReport};
use utoipa::ToSchema;

use crate::retention::Retention;

/// Size of the database, and what it keeps for how long.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Storage {
    /// Bytes that data takes up. Counted on SQLite, estimated on PostgreSQL.
    pub used_bytes: u64,
    /// Bytes of the database on disk, without its write-ahead log.
    pub file_bytes: u64,
    /// Bytes inside of it that are free, and are used before it grows.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log; null where it is not Taskplane's own.
    pub log_bytes: Option<u64>,
    /// True when free space is given back to the file system by itself.
    pub gives_back: bool,
    /// Bytes that data may take up, if that is limited: then the oldest raw events go first, then tasks, failures last.
    pub max_bytes: Option<u64>,
    /// True when the size is the limit in force: what is kept does not reach as far back as its age allows.
    pub limited_by_size: bool,
    /// What is kept for a time of its own.
    pub kept: Vec<KeptFor>,
}

/// How long something is kept, and how far back it reaches.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct KeptFor {
    /// What: raw events; tasks that succeeded or were revoked; all other tasks; statistics by the minute, hour and day.
    pub what: KeptKind,
    /// For how long.
    pub keep_seconds: u64,
    /// Before this, nothing is kept.
    #[schema(value_type = String, format = DateTime)]
    pub horizon: Timestamp,
    /// The oldest that is there; null when nothing is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest: Option<Timestamp>,
}

/// What is kept for a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptKind {
    /// Raw events.
    Events,
    /// Tasks that succeeded or were revoked.
    Tasks,
    /// Tasks that failed, were rejected or lost, or have not ended.
    Failures,
    /// Statistics by the minute.
    Minutes,
    /// Statistics by the hour.
    Hours,
    /// Statistics by the day.
    Days,
}

impl Storage {
    /// What `report` says, under `retention`.
    pub fn new(report: &StorageReport, retention: &Retention, now: Timestamp) -> Self {
        let (oldest, ages) = (&report.oldest, retention.ages());
        let kept = |what: KeptKind, of: Kept, age: std::time::Duration, oldest: Option<Timestamp>| KeptFor {
            what,
            keep_seconds: age.as_secs(),
            horizon: retention.horizon(of, now),
            oldest,
        };
        Self {
            used_bytes: report.used_bytes,
            file_bytes: report.file_bytes,
            free_bytes: report.free_bytes,
            log_bytes: report.log_bytes,
            gives_back: report.gives_back,
            max_bytes: retention.size(),
            limited_by_size: retention.is_reached_by(report.used_bytes),
            kept: vec![
                kept(KeptKind::Events, Kept::Events, ages.events, oldest.events),
                kept(KeptKind::Tasks, Kept::Tasks, ages.tasks, oldest.tasks),
                kept(KeptKind::Failures, Kept::Failures, ages.failures, oldest.failures),
                kept(KeptKind::Minutes, Kept::Minutes, ages.minutes, oldest.minutes),
                kept(KeptKind::Hours, Kept::Hours, ages.hours, oldest.hours),
                kept(KeptKind::Days, Kept::Days, ages.days, oldest.days),
            ],
        }
    }
}
