//! What the indexer does next.
//!
//! New tasks get small segments at once, so that few are outside of the index at any rate. When those have settled they are made
//! anew, from what the tasks have become, as large ones. Changes that come later go into patches, which are put together, too,
//! and given up where everything in them has been indexed anew.

use taskplane_model::Timestamp;
use taskplane_model::time::{MINUTE, SECOND};

use super::{Built, SEGMENT_POSTINGS, SEGMENT_TASKS, Segment};
use crate::backend::ids::least_key;

/// Younger tasks are still told of.
const YOUNGEST: i64 = SECOND;
/// New tasks, and changed ones, that are worth a segment …
const WORTH_TASKS: usize = 1_024;
const WORTH_CHANGES: usize = 256;
/// … or any, when they have waited for so long.
const PATIENCE: i64 = 10 * MINUTE;
/// Segments of younger tasks are not put together: many of them will still change.
const SETTLED: i64 = 20 * SECOND;
/// Small segments that are put together even if they do not make a large one.
const MANY: usize = 32;
/// Patches of one size that are put together.
const MANY_PATCHES: usize = 8;
/// Tasks of patches of the smallest size, and of the next one.
const PATCH_SIZES: [usize; 2] = [SEGMENT_TASKS / 8, SEGMENT_TASKS / 2];

/// Where the indexer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Tasks below this key are in the index.
    pub indexed_until: i64,
    /// Changes of tasks below this key are noted. Never less than the former.
    pub indexing_until: i64,
    /// Another one after every step: of two indexers at work, the slower one's step counts for nothing.
    pub version: i64,
    /// When changed tasks were last indexed.
    pub folded_at: Timestamp,
}

/// New tasks, as far as they are old enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many; no more than [`SEGMENT_TASKS`] are counted.
    pub tasks: usize,
    /// The least key of those that were counted.
    pub first: i64,
    /// The greatest.
    pub last: i64,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do.
    Rest,
    /// Index the tasks that are not in the index yet, below this key.
    Advance(i64),
    /// Index changed tasks.
    Fold,
    /// Make these segments, which are neighbours, into one, from their tasks.
    Join(Vec<Segment>),
    /// Make these patches into one, or into none.
    JoinPatches(Vec<Segment>),
}

/// What a step has come to, to be stored in one transaction.
#[derive(Debug, Default)]
pub struct Publication {
    /// Segments that are replaced.
    pub remove: Vec<i64>,
    /// The segment in their place.
    pub add: Option<Built>,
    /// Up to where tasks are now in the index.
    pub indexed_until: Option<i64>,
    /// Numbers of the noted changes that are now in the index.
    pub folded: Vec<i64>,
}

/// Keys from here on are of tasks that are too young.
pub fn young(now: Timestamp) -> i64 {
    least_key(now.plus(-YOUNGEST))
}

/// The next step; `changes` is how many are noted.
pub fn next(state: &State, segments: &[Segment], waiting: Waiting, changes: usize, now: Timestamp) -> Step {
    let (patches, mut segments): (Vec<&Segment>, Vec<&Segment>) = segments.iter().partition(|s| s.is_patch);
    segments.sort_unstable_by_key(|segment| segment.low);
    let given_up: Vec<Segment> =
        patches.iter().filter(|patch| is_replaced(patch, &segments)).copied().cloned().collect();
    if !given_up.is_empty() {
        return Step::JoinPatches(given_up);
    }
    if let Some(neighbours) = neighbours(&segments, least_key(now.plus(-SETTLED))) {
        return Step::Join(neighbours);
    }
    if let Some(patches) = similar(&patches) {
        return Step::JoinPatches(patches);
    }
    if waiting.tasks >= WORTH_TASKS || (waiting.tasks > 0 && waiting.first < least_key(now.plus(-PATIENCE))) {
        return Step::Advance(if waiting.tasks < SEGMENT_TASKS { young(now) } else { waiting.last + 1 });
    }
    if changes >= WORTH_CHANGES || (changes > 0 && state.folded_at.0 < now.0 - PATIENCE) {
        return Step::Fold;
    }
    Step::Rest
}

/// True when the task with `key`, which patch `patch` has, has been indexed anew since.
pub fn is_indexed_since(key: i64, patch: &Segment, segments: &[Segment]) -> bool {
    segments
        .iter()
        .any(|segment| !segment.is_patch && segment.id > patch.id && segment.low <= key && key < segment.high)
}

/// True when all tasks of `patch` have been indexed anew. `segments` are sorted.
fn is_replaced(patch: &Segment, segments: &[&Segment]) -> bool {
    let mut until = patch.low;
    for segment in segments.iter().filter(|segment| segment.high > patch.low && segment.low < patch.high) {
        if segment.low > until || segment.id < patch.id {
            return false;
        }
        until = segment.high;
    }
    until >= patch.high
}

/// The oldest neighbours that together make a large segment, or are many.
fn neighbours(segments: &[&Segment], settled: i64) -> Option<Vec<Segment>> {
    let is_small = |s: &Segment| s.tasks as usize <= SEGMENT_TASKS / 2 && s.postings as usize <= SEGMENT_POSTINGS / 2;
    let mut run: Vec<Segment> = Vec::new();
    let (mut tasks, mut postings) = (0, 0);
    for segment in segments {
        if segment.high > settled {
            break;
        }
        (tasks, postings) = (tasks + segment.tasks as usize, postings + segment.postings as usize);
        if is_small(segment) && tasks <= SEGMENT_TASKS && postings <= SEGMENT_POSTINGS {
            run.push((*segment).clone());
            continue;
        }
        if run.len() > 1 {
            return Some(run);
        }
        run.clear();
        (tasks, postings) = (0, 0);
        if is_small(segment) {
            (tasks, postings) = (segment.tasks as usize, segment.postings as usize);
            run.push((*segment).clone());
        }
    }
    (run.len() >= MANY).then_some(run)
}

/// Patches of one size, when they are many.
fn similar(patches: &[&Segment]) -> Option<Vec<Segment>> {
    PATCH_SIZES.into_iter().find_map(|size| {
        let small: Vec<_> = patches.iter().filter(|patch| (patch.tasks as usize) < size).collect();
        if small.len() < MANY_PATCHES {
            return None;
        }
        let mut tasks = 0;
        let fitting = small.into_iter().take_while(|patch| {
            tasks += patch.tasks as usize;
            tasks <= SEGMENT_TASKS
        });
        Some(fitting.map(|patch| (**patch).clone()).collect())
    })
}
