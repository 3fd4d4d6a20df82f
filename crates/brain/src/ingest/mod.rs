//! Batches on their way to the disk.
//!
//! Each connection reads, folds and compresses its own batches ([`fold()`]); one loop collects what all connections have for a
//! few milliseconds and stores it in one transaction ([`Ingest`]). Only then are they acked, and only then shown.

mod fold;
mod group;

pub use fold::{BatchOrigin, FoldedBatch, fold};
pub use group::{Answer, Ingest, IngestError};
