//! The live stream: what changed, coalesced, to every open dashboard.
//!
//! Producers note changes at any rate, in a journal of each project that is read. A reader has a place in it, and is told at most
//! [`TICKS_PER_SECOND`] times a second and topic what changed since then, when it can take it: nothing waits for it, and who reads
//! slowly costs no more than who reads fast. A reader that was away for a moment resumes where it was; one that has not been told
//! for long is told to fetch everything again. Nothing here can slow ingest down.
//!
//! Of several brains on one database, each tells the others of changes in projects that are read there (`replicas`). Whoever begins
//! to be told has its readers fetch once more, because of what changed before that was known.

mod elsewhere;
mod hub;
mod journal;
mod pace;
mod place;
mod subscription;
mod topic;

pub use elsewhere::Change;
pub use hub::LiveHub;
pub use subscription::{LiveEvent, Next, Subscription};
pub use topic::Topic;

/// Events a second, per reader and topic, at most.
pub const TICKS_PER_SECOND: u64 = 4;
/// Items in one event, at most; of more, only the number is told.
pub const MAX_ITEMS: usize = 24;
/// Bytes of items in one event, at most; of those beyond it, too.
const MAX_ITEM_BYTES: usize = 128 << 10;
