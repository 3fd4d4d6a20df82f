//! The live stream: what changed, coalesced, to every open dashboard.
//!
//! Producers note changes at any rate; a ticker turns them into at most [`TICKS_PER_SECOND`] events a second per project and
//! topic. The last events are kept, so that a reader that was away for a moment resumes where it was; one that was away
//! longer, or reads too slowly, is told to fetch everything again. Nothing here can slow ingest down.
//!
//! Of several brains on one database, each tells the others of changes in projects that are read there (`replicas`). Whoever begins
//! to be told has its readers fetch once more, because of what changed before that was known.

mod hub;

pub use hub::{Change, LiveEvent, LiveHub, Next, Subscription, Topic};

/// Events a second, per project and topic, at most.
pub const TICKS_PER_SECOND: u64 = 4;
