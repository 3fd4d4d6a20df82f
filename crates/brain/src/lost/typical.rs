//! How long tasks of a type usually take, from the statistics of the last days.

use std::collections::HashMap;

use taskplane_model::Timestamp;
use taskplane_model::time::{DAY, MINUTE};
use taskplane_store::StoreError;

use crate::brain::Brain;

/// How far back is looked.
const WINDOW: i64 = 3 * DAY;
/// How often.
const EVERY: i64 = 5 * MINUTE;
/// Fewer runs say little of the next one.
const LEAST_RUNS: i64 = 10;

/// Run times of the busiest types of a project.
#[derive(Debug, Default)]
pub(super) struct Typical {
    p99: HashMap<String, i64>,
    read_at: Option<Timestamp>,
}

impl Typical {
    /// Reads them again if that is due.
    pub(super) async fn refresh(&mut self, brain: &Brain, project: u64, now: Timestamp) -> Result<(), StoreError> {
        if self.read_at.is_some_and(|at| now.0.saturating_sub(at.0) < EVERY) {
            return Ok(());
        }
        let types = brain.store.task_types(project, now.plus(-WINDOW), now).await?;
        let known = types.into_iter().filter(|of| of.rollup.runtime.count() >= LEAST_RUNS);
        self.p99 =
            known.filter_map(|of| Some((of.name, (of.rollup.runtime.quantile_ms(0.99)? * 1_000.0) as i64))).collect();
        self.read_at = Some(now);
        Ok(())
    }

    /// Run time of 99 % of a type's attempts, in microseconds, where that is known.
    pub(super) fn p99(&self, name: Option<&str>) -> Option<i64> {
        self.p99.get(name?).copied()
    }
}
