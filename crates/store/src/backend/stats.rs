//! Windows of statistics, and their stored rows.

use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;
use taskplane_model::time::MINUTE;

use super::corrupt;
use crate::Result;
use crate::stats::{MAX_POINTS, StatsPoint, StatsQuery, TaskTypeStats};

/// Most task types of one answer.
const MAX_TYPES: usize = 1_000;

/// The steps of a window, to be filled.
#[derive(Debug)]
pub struct Grid {
    /// The first minute that is asked for.
    pub since: i64,
    /// The minute behind the last one.
    pub until: i64,
    step: i64,
    points: Vec<StatsPoint>,
}

impl Grid {
    /// The steps that `query` means, empty; at most [`MAX_POINTS`].
    pub fn new(query: &StatsQuery) -> Self {
        let step = query.step_minutes.max(1);
        let since = query.since.minute();
        let until = end_minute(query.until);
        let count = until.saturating_sub(since).max(0).saturating_add(step - 1) / step;
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_POINTS);
        let at = |index: usize| since.saturating_add(step.saturating_mul(index as i64)).saturating_mul(MINUTE);
        let point = |index| StatsPoint { ts: Timestamp(at(index)), rollup: Rollup::default() };
        let points = (0..count).map(point).collect();
        Self { since, until: until.min(since.saturating_add(step.saturating_mul(count as i64))), step, points }
    }

    /// Adds what happened in a minute of the window.
    pub fn add(&mut self, minute: i64, rollup: &Rollup) {
        let index = usize::try_from((minute - self.since) / self.step).ok();
        if let Some(point) = index.and_then(|index| self.points.get_mut(index)) {
            point.rollup.merge(rollup);
        }
    }

    /// The steps, ascending.
    pub fn into_points(self) -> Vec<StatsPoint> {
        self.points
    }
}

/// Task types as they are shown: busiest first, a bounded number.
pub fn busiest_first(mut types: Vec<TaskTypeStats>) -> Vec<TaskTypeStats> {
    let busyness = |rollup: &Rollup| (rollup.started, rollup.sent);
    types.sort_by(|a, b| busyness(&b.rollup).cmp(&busyness(&a.rollup)).then_with(|| a.name.cmp(&b.name)));
    types.truncate(MAX_TYPES);
    types
}

/// The minute behind the last one that a window touches.
pub fn end_minute(until: Timestamp) -> i64 {
    Timestamp(until.0.saturating_sub(1)).minute() + 1
}

/// Reads a stored row's statistics.
///
/// # Errors
/// When the bytes make no sense.
pub fn decode(bytes: &[u8]) -> Result<Rollup> {
    minicbor::decode(bytes).map_err(|error| corrupt(format!("statistics do not parse ({error})")))
}

/// Writes statistics to `bytes`, which are cleared first.
///
/// # Errors
/// None in practice: writing to memory cannot fail.
pub fn encode(rollup: &Rollup, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.clear();
    minicbor::encode(rollup, &mut *bytes).map_err(|error| corrupt(error.to_string()))
}
