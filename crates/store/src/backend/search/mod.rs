//! Where not to look: an index that says of blocks of tasks that nothing in them can be what a filter means. What it leaves is
//! read, and the record decides; so the index never has to be told that something is gone, only what has come.
//!
//! * A *term* ([`terms`]) is a hash of something that a filter may ask for: a few bytes of text in a row, one keyword argument
//!   with its value, an engine, a queue, a worker.
//! * A *segment* ([`build`]) covers the tasks of a range of keys, in blocks of [`BLOCK`]; for every term it has the blocks in
//!   which the term is. It never changes. Small segments of the newest tasks are made within seconds, and made anew as large
//!   ones a little later. A *patch* is a segment of single tasks that have changed after theirs was built.
//! * Terms are spread over *buckets* ([`bucket`]), each a row, so that a look-up ([`lookup`]) reads little.
//! * What is to be done next is said by [`steps`].

pub mod bucket;
pub mod build;
pub mod lookup;
pub(super) mod places;
pub mod steps;
pub mod terms;

#[cfg(test)]
mod tests;

pub use build::{Builder, Built};
pub use lookup::{Lookup, Outline, Range};
pub use steps::{State, Step};
pub use terms::{Clause, Document, grew};

/// Tasks of a block.
pub const BLOCK: usize = 64;
/// Tasks of a segment at most.
pub const SEGMENT_TASKS: usize = 32_768;
/// Terms in blocks of a segment, at which no more tasks are added: 16 MB while it is built.
pub const SEGMENT_POSTINGS: usize = 2_000_000;
/// Bytes of texts of one task that are taken apart. A task with more may hold anything.
pub const TASK_TEXT: usize = 16 << 10;

/// Bits of a bucket's number in the number of its row.
const PLACE_BITS: u32 = 12;
/// The bucket that holds the keys.
const KEYS: i64 = (1 << PLACE_BITS) - 1;

/// A segment, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number; what was built later has a greater one.
    pub id: i64,
    /// True for single tasks that have changed, false for all tasks of a range.
    pub is_patch: bool,
    /// Least key.
    pub low: i64,
    /// Key behind the greatest.
    pub high: i64,
    /// How many tasks it had when it was built.
    pub tasks: u32,
    /// How many pairs of a term and a block.
    pub postings: u32,
    /// It has two to the power of so many buckets.
    pub bucket_bits: u32,
    /// Blocks that may hold anything, two bytes each, the lower one first.
    pub opaque: Vec<u8>,
}

impl Segment {
    fn blocks(&self) -> usize {
        (self.tasks as usize).div_ceil(BLOCK)
    }
}

/// The number of the row of a segment's bucket.
pub fn place(segment: i64, bucket: i64) -> i64 {
    segment << PLACE_BITS | bucket
}

/// The numbers of all rows of a segment: from, and behind the last.
pub fn places_of(segment: i64) -> (i64, i64) {
    (place(segment, 0), place(segment + 1, 0))
}

/// The number of the row of a segment's keys.
pub fn keys_place(segment: i64) -> i64 {
    place(segment, KEYS)
}
