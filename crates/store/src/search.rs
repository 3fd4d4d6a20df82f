//! Keeping search fast.

use async_trait::async_trait;
use taskplane_model::Timestamp;

use crate::Result;

/// What keeps the search index up to date. Lists and counts are the same with and without it, but not as fast.
#[async_trait]
pub trait SearchStore: Send + Sync {
    /// Takes one step: indexes new or changed tasks, tens of thousands at most, or puts together what earlier steps have made.
    /// True when there is more to do. What is written meanwhile does not wait for it. Steps may be taken by several at once;
    /// then all but one count for nothing.
    async fn index_tasks(&self, now: Timestamp) -> Result<bool>;
}
