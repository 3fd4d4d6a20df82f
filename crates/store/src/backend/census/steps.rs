//! Which census is taken next.

use taskplane_model::Timestamp;
use taskplane_model::time::{MINUTE, SECOND};

use super::Census;
use crate::backend::ids::least_key;
use crate::backend::search::{SEGMENT_TASKS, Segment};

/// Of younger tasks none is taken: many of them will still change.
const SETTLED: i64 = 20 * SECOND;
/// Nor of tasks of which more than one in so many has not ended, …
const OPEN_ONE_IN: u32 = 16;
/// … unless they have been there for so long.
const PATIENCE: i64 = 60 * MINUTE;
/// Tasks that are worth a census, also of these fewer then. The segment with which they are so many has not more than as many again.
const WORTH_TASKS: u32 = SEGMENT_TASKS as u32 - 1_024;
const WORTH_OLD_TASKS: u32 = WORTH_TASKS / 2;
/// Changes of one census that make it worth while to take it anew, …
const WORTH_CHANGES: usize = 32;
/// … and of all, of which the one with most is.
const MANY_CHANGES: usize = 96;
/// Changes that are looked at at once.
pub const MOST_CHANGES: usize = 10_000;

/// Where the census stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Tasks below this key are in censuses.
    pub taken_until: i64,
    /// Changes of tasks below this key are noted. Never less than the former.
    pub taking_until: i64,
    /// Another one after every step: of two that take censuses, the slower one's step counts for nothing.
    pub version: i64,
}

/// A step: take a census of a range, in the place of those that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Least key.
    pub low: i64,
    /// Key behind the greatest.
    pub high: i64,
    /// The census of this range, if there is one.
    pub replaces: Option<i64>,
    /// No more of these tasks may be open, if they are new to it.
    pub most_open: Option<u32>,
}

/// What a step has come to, to be stored in one transaction.
#[derive(Debug, Default)]
pub struct Publication {
    /// The census that is replaced.
    pub remove: Option<i64>,
    /// The one in its place.
    pub add: Option<super::Taken>,
    /// Up to where censuses have now been taken.
    pub taken_until: i64,
    /// Numbers of the noted changes that it knows.
    pub known: Vec<i64>,
}

/// What is known of censuses when the next step is chosen.
#[derive(Debug)]
pub struct Situation {
    /// Where the census stands.
    pub state: State,
    /// Segments of the search index.
    pub segments: Vec<Segment>,
    /// All censuses.
    pub censuses: Vec<Census>,
    /// Keys of noted changes, at most [`MOST_CHANGES`].
    pub changed: Vec<i64>,
    /// Tasks below this key have been dropped, but for those that are kept longer for their state. A census that knew these
    /// only could not be told from one that knows all: none is taken any more.
    pub dropped_below: i64,
}

/// The next step, if there is one.
pub fn next(situation: &Situation, now: Timestamp) -> Option<Step> {
    let Situation { state, segments, censuses, changed, dropped_below } = situation;
    let begin = state.taken_until.max(*dropped_below);
    new(begin, segments, now)
        .or_else(|| gap(censuses, *dropped_below))
        .or_else(|| again(censuses.iter().filter(|census| census.low >= *dropped_below), changed))
}

/// The oldest tasks without a census, up to the end of a segment of the search index.
fn new(begin: i64, segments: &[Segment], now: Timestamp) -> Option<Step> {
    let mut behind: Vec<&Segment> = segments.iter().filter(|s| !s.is_patch && s.high > begin).collect();
    behind.sort_unstable_by_key(|segment| segment.low);
    let old = least_key(now.plus(-PATIENCE));
    let mut tasks = 0;
    let last = behind.into_iter().find(|segment| {
        tasks += segment.tasks;
        tasks >= WORTH_TASKS || (tasks >= WORTH_OLD_TASKS && segment.high <= old)
    });
    let high = last?.high;
    if high > least_key(now.plus(-SETTLED)) {
        return None;
    }
    let most_open = (high > old).then_some(tasks / OPEN_ONE_IN);
    Some(Step { low: begin, high, replaces: None, most_open })
}

/// What did not fit into a census any more when it was taken anew.
fn gap(censuses: &[Census], dropped_below: i64) -> Option<Step> {
    let mut sorted: Vec<&Census> = censuses.iter().collect();
    sorted.sort_unstable_by_key(|census| census.low);
    let gap = sorted.windows(2).find(|pair| pair[0].high < pair[1].low && pair[1].low > dropped_below)?;
    Some(Step { low: gap[0].high.max(dropped_below), high: gap[1].low, replaces: None, most_open: None })
}

/// The census with most changes.
fn again<'c>(censuses: impl Iterator<Item = &'c Census>, changed: &[i64]) -> Option<Step> {
    let mut sorted = changed.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let below = |key: i64| sorted.partition_point(|changed| *changed < key);
    let changes = |census: &Census| below(census.high) - below(census.low);
    let most = censuses.max_by_key(|census| changes(census))?;
    let is_worth_it = changes(most) >= WORTH_CHANGES || (changes(most) > 0 && sorted.len() >= MANY_CHANGES);
    is_worth_it.then_some(Step { low: most.low, high: most.high, replaces: Some(most.id), most_open: None })
}
