//! Batches on their way to the disk.
//!
//! Each connection reads, folds and compresses its own batches ([`fold()`]); one loop collects what all connections have for a
//! few milliseconds and stores it in one transaction ([`Ingest`]). Only then are they acked, and only then shown.

mod again;
mod fold;
mod group;
mod inlet;
mod lanes;
mod memory;
mod schedules;
mod store_trouble;

pub use fold::{BatchOrigin, FoldedBatch, fold};
pub(crate) use group::IngestOptions;
pub use group::{Answer, Ingest, IngestError};
pub use inlet::Inlet;
pub(crate) use schedules::keep_schedules;
