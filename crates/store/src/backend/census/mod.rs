//! Counting without a look at the tasks. A census says of all tasks of a range of keys which of them are in a state, of a kind
//! (task type, queue, engine, project), with a worker: as lists of places, which are put together for a filter.
//!
//! * A census is *taken* ([`take`]) when its tasks have mostly ended, from a snapshot. It never changes.
//! * Tasks that change afterwards are noted, and their *blocks*, of [`BLOCK`] tasks or a few more, are counted by their rows,
//!   until the census is taken anew. [`steps`] says when.
//! * [`count`] reads the lists that a filter needs, newest first, and says which ranges are left to be counted by rows.

pub mod count;
mod directory;
pub mod steps;
pub mod take;

#[cfg(test)]
mod tests;

pub use count::Counting;
pub use take::{Taken, Taker};

/// Tasks of a block, where no two of them have one key.
const BLOCK: usize = 64;
/// Tasks of a census at most: places are two bytes.
const MAX_TASKS: usize = 1 << 16;
/// Bytes of a row of lists: three fill a page of either database.
const ROW_BYTES: usize = 2_650;
/// Bits of a row's number in its place.
const PLACE_BITS: u32 = 12;
/// The row that says where the lists are, and the one that says where the blocks are. Lists follow.
const DIRECTORY: i64 = 0;
const BLOCKS: i64 = 1;
const LISTS: i64 = 2;

/// A census, as its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Number; what was taken later has a greater one.
    pub id: i64,
    /// Least key.
    pub low: i64,
    /// Key behind the greatest.
    pub high: i64,
    /// How many tasks it has.
    pub tasks: u32,
}

/// What most filters ask for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Queue, 0 for not known. First, so that lists of one queue are neighbours.
    pub queue: i64,
    /// Task type, 0 for not known.
    pub name: i64,
    /// Project.
    pub project: i64,
    /// Engine.
    pub engine: i64,
}

/// The number of a row of a census.
pub fn place(census: i64, row: i64) -> i64 {
    census << PLACE_BITS | row
}

/// The numbers of all rows of a census: from, and behind the last.
pub fn places_of(census: i64) -> (i64, i64) {
    (place(census, 0), place(census + 1, 0))
}
