//! The steps of a window.

use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;
use taskplane_model::time::MINUTE;

use super::{Cover, DAY, KeptFrom, Reading, SPANS, State, add, begin_of, end_minute};
use crate::Result;
use crate::stats::{MAX_POINTS, StatsPoint, StatsQuery};

/// Minutes of the longest step: about two thousand years.
const LONGEST_STEP: i64 = 750_000 * DAY;

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
    /// The steps that `query` means, empty; at most [`MAX_POINTS`], and one more where the first begins earlier than asked.
    pub fn new(query: &StatsQuery, kept: KeptFrom) -> Self {
        let asked = query.since.minute();
        let unit = kept.shortest(asked);
        let step = (query.step_minutes.clamp(1, LONGEST_STEP) + unit - 1) / unit * unit;
        // Steps that are whole hours begin with an hour: each is then read at once, and so are days.
        let since = SPANS.into_iter().rev().find(|span| step % span == 0).map_or(asked, |span| begin_of(asked, span));
        let until = end_minute(query.until);
        let is_empty = until <= asked;
        let count = if is_empty { 0 } else { until.saturating_sub(since).saturating_add(step - 1) / step };
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_POINTS + 1);
        let at = |index: usize| since.saturating_add(step.saturating_mul(index as i64)).saturating_mul(MINUTE);
        let point = |index| StatsPoint { ts: Timestamp(at(index)), rollup: Rollup::default() };
        let points = (0..count).map(point).collect();
        Self { since, until: until.min(since.saturating_add(step.saturating_mul(count as i64))), step, points }
    }

    /// What to read to fill it; with `has_minutes`, sums of single minutes can be read too.
    pub fn reading(&self, state: &State, has_minutes: bool) -> Reading {
        let cover = Cover::new(state, has_minutes);
        let mut reading = Reading::default();
        let (first, last) = cover.clamp(self.since, self.until);
        let step_of = |minute: i64| (minute - self.since).div_euclid(self.step);
        for index in step_of(first)..=step_of(last) {
            let begin = self.since.saturating_add(self.step.saturating_mul(index));
            let end = begin.saturating_add(self.step).min(self.until);
            cover.add(begin, end, usize::try_from(index).unwrap_or(usize::MAX), &mut reading);
        }
        reading
    }

    /// Adds what happened in a step, from a stored row.
    ///
    /// # Errors
    /// When the bytes make no sense.
    pub fn add(&mut self, step: usize, row: &[u8]) -> Result<()> {
        self.points.get_mut(step).map_or(Ok(()), |point| add(&mut point.rollup, row))
    }

    /// The steps, ascending.
    pub fn into_points(self) -> Vec<StatsPoint> {
        self.points
    }
}
