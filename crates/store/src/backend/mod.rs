//! What every implementation needs besides SQL: how records are written, how ids become keys, what a group of batches adds up
//! to, which rows a filter means. Only implementations use it.

use taskplane_model::TaskRecord;

use crate::StoreError;

pub mod access;
pub mod agent_notes;
pub mod census;
pub mod changes;
pub mod codec;
pub mod hashing;
pub mod ids;
pub mod paging;
pub mod part_file;
pub mod plan;
pub mod search;
pub mod sieve;
pub mod signs;
pub mod stats;
pub mod tally;

/// A stored value that makes no sense.
pub fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt(what.into())
}

/// Every id that a record names: root, parent, group, chord, and retries both ways.
pub fn named(record: &TaskRecord) -> impl Iterator<Item = &str> {
    // An empty root means the task itself: a workflow of one needs no entry.
    [
        record.root_id.as_deref().filter(|root| !root.is_empty()),
        record.parent_id.as_deref(),
        record.group_id.as_deref(),
        record.chord_id.as_deref(),
        record.retry_of.as_deref(),
        record.retried_as.as_ref().map(|new| new.value.as_str()),
    ]
    .into_iter()
    .flatten()
}
