//! Statistics.

use serde::Serialize;
use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;
use taskplane_store::stats;
use utoipa::ToSchema;

use super::page;

/// What happened in one step of time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StatsPoint {
    /// Where the step begins.
    #[schema(value_type = String, format = DateTime)]
    pub ts: Timestamp,
    /// Attempts published.
    pub sent: i64,
    /// Attempts begun.
    pub started: i64,
    /// Attempts that ended well.
    pub succeeded: i64,
    /// Tasks that failed for good.
    pub failed: i64,
    /// Attempts that failed and run again.
    pub retried: i64,
    /// Tasks cancelled or expired.
    pub revoked: i64,
    /// Half of the attempts that ended ran no longer than this.
    pub runtime_p50_ms: Option<f64>,
    /// 95 % of the attempts that ended ran no longer than this.
    pub runtime_p95_ms: Option<f64>,
    /// 99 % of the attempts that ended ran no longer than this.
    pub runtime_p99_ms: Option<f64>,
    /// Half of the attempts that began waited no longer than this.
    pub wait_p50_ms: Option<f64>,
    /// 95 % of the attempts that began waited no longer than this.
    pub wait_p95_ms: Option<f64>,
    /// 99 % of the attempts that began waited no longer than this.
    pub wait_p99_ms: Option<f64>,
}

impl From<stats::StatsPoint> for StatsPoint {
    fn from(point: stats::StatsPoint) -> Self {
        let Rollup { sent, started, succeeded, failed, retried, revoked, runtime, wait } = point.rollup;
        Self {
            ts: point.ts,
            sent,
            started,
            succeeded,
            failed,
            retried,
            revoked,
            runtime_p50_ms: runtime.quantile_ms(0.5),
            runtime_p95_ms: runtime.quantile_ms(0.95),
            runtime_p99_ms: runtime.quantile_ms(0.99),
            wait_p50_ms: wait.quantile_ms(0.5),
            wait_p95_ms: wait.quantile_ms(0.95),
            wait_p99_ms: wait.quantile_ms(0.99),
        }
    }
}

page!(StatsPointPage, StatsPoint, "Statistics over a window, one item per step, ascending.");

/// What happened to one task type in a window.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TaskType {
    /// Task type.
    pub name: String,
    /// Engine, where there is just one.
    pub engine: Option<String>,
    /// Attempts published.
    pub sent: i64,
    /// Attempts begun.
    pub started: i64,
    /// Attempts that ended well.
    pub succeeded: i64,
    /// Tasks that failed for good.
    pub failed: i64,
    /// Attempts that failed and run again.
    pub retried: i64,
    /// Tasks cancelled or expired.
    pub revoked: i64,
    /// Half of the attempts that ended ran no longer than this.
    pub runtime_p50_ms: Option<f64>,
    /// 95 % of the attempts that ended ran no longer than this.
    pub runtime_p95_ms: Option<f64>,
    /// 99 % of the attempts that ended ran no longer than this.
    pub runtime_p99_ms: Option<f64>,
    /// Half of the attempts that began waited no longer than this.
    pub wait_p50_ms: Option<f64>,
    /// 95 % of the attempts that began waited no longer than this.
    pub wait_p95_ms: Option<f64>,
    /// Run times of all attempts that ended, together.
    pub total_runtime_ms: f64,
}

impl From<stats::TaskTypeStats> for TaskType {
    fn from(stats: stats::TaskTypeStats) -> Self {
        let Rollup { sent, started, succeeded, failed, retried, revoked, runtime, wait } = stats.rollup;
        Self {
            name: stats.name,
            engine: None,
            sent,
            started,
            succeeded,
            failed,
            retried,
            revoked,
            runtime_p50_ms: runtime.quantile_ms(0.5),
            runtime_p95_ms: runtime.quantile_ms(0.95),
            runtime_p99_ms: runtime.quantile_ms(0.99),
            wait_p50_ms: wait.quantile_ms(0.5),
            wait_p95_ms: wait.quantile_ms(0.95),
            total_runtime_ms: runtime.total_ms(),
        }
    }
}

page!(TaskTypePage, TaskType, "Task types that did something in a window, busiest first, at most 1,000.");
