//! Windows of statistics, their stored rows, and how minutes are folded into longer spans.
//!
//! One row per minute, task type and queue is what ingest writes. Behind it, minutes are folded: each span of [`SPANS`] has
//! sums, of which one stands for many rows. What changes a minute leaves a [`Mark`] on it, and while there is one, neither
//! the minute's sums nor those of any span around it are used. So every answer is what the minutes add up to.

use std::collections::HashMap;

use taskplane_model::Timestamp;
use taskplane_model::rollup::{Rollup, RollupSum};

use super::corrupt;
use super::hashing::FastHash;
use crate::Result;
use crate::stats::TaskTypeStats;

mod cover;
mod grid;
mod kept;
mod sums;

pub use cover::{Cover, Reading, Span};
pub use grid::Grid;
pub use kept::{KeptFrom, Kind};
pub use sums::{Changes, Row, Stored, Sums};

/// Spans that have sums, in minutes, ascending; each is a part of the next.
pub const SPANS: [i64; 4] = [1, 10, HOUR, DAY];
/// Minutes of an hour.
pub const HOUR: i64 = 60;
/// Minutes of a day.
pub const DAY: i64 = 24 * HOUR;
/// In the place of a name or a queue: all of them.
pub const ANY: i64 = -1;
/// Minutes that are likely to change again: they are folded later.
const YOUNG: i64 = 2;
/// Most task types of one answer.
const MAX_TYPES: usize = 1_000;

/// The span of `span` minutes from `start` on has changed below, and has to be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Minutes.
    pub span: i64,
    /// Its first minute.
    pub start: i64,
}

/// What a reader has to know of a project before it reads statistics.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What is kept.
    pub kept: KeptFrom,
    /// The first and last minute of which anything is stored, about: nothing lies outside. `None` when nothing is stored.
    pub extent: Option<(i64, i64)>,
    /// Marks within the window, in any order.
    pub marks: Vec<Mark>,
}

/// Where the span of `span` minutes begins that `minute` lies in.
pub fn begin_of(minute: i64, span: i64) -> i64 {
    minute - minute.rem_euclid(span)
}

/// The span around one of `span` minutes.
pub fn above(span: i64) -> Option<i64> {
    SPANS.into_iter().find(|longer| *longer > span)
}

/// The span from whose sums those of `span` minutes are made.
pub fn below(span: i64) -> Option<i64> {
    SPANS.into_iter().rev().find(|shorter| *shorter < span)
}

/// Spans that end at this minute or before it are folded at `now`; later ones are likely to change again.
pub fn folded_until(now: Timestamp) -> i64 {
    now.minute() - YOUNG
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

/// Adds a stored row's statistics to `sum`.
///
/// # Errors
/// When the bytes make no sense; `sum` is then of no use any more.
pub(crate) fn add(sum: &mut Rollup, bytes: &[u8]) -> Result<()> {
    sum.merge_encoded(bytes).map_err(|error| corrupt(format!("statistics do not parse ({error})")))
}

/// Statistics by the number of a task type, added up from stored rows.
#[derive(Debug, Default)]
pub struct ByName(HashMap<i64, RollupSum, FastHash>);

impl ByName {
    /// Adds a row's statistics.
    ///
    /// # Errors
    /// When the bytes make no sense.
    pub fn add(&mut self, name: i64, bytes: &[u8]) -> Result<()> {
        let added = self.0.entry(name).or_default().add_encoded(bytes);
        added.map_err(|error| corrupt(format!("statistics do not parse ({error})")))
    }

    /// What is not empty.
    pub fn into_rollups(self) -> Vec<(i64, Rollup)> {
        let rollups = self.0.into_iter().map(|(name, sum)| (name, sum.into_rollup()));
        rollups.filter(|(_, rollup)| !rollup.is_empty()).collect()
    }
}

/// Writes statistics to `bytes`, which are cleared first.
///
/// # Errors
/// None in practice: writing to memory cannot fail.
pub fn encode(rollup: &Rollup, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.clear();
    minicbor::encode(rollup, &mut *bytes).map_err(|error| corrupt(error.to_string()))
}
