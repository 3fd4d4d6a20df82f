//! Goes over the tasks that are under way, page by page, newest first.

use taskplane_model::Timestamp;
use taskplane_model::filter::TaskFilter;
use taskplane_model::stuck::UNDER_WAY;
use taskplane_model::time::{MINUTE, SECOND};
use taskplane_store::StoreError;
use taskplane_store::tasks::{StoredTask, TaskQuery};

use crate::brain::Brain;

/// Tasks that are read in one step.
const PAGE: usize = 500;
/// Shortest and longest time between two rounds where a round is short.
const EVERY: (i64, i64) = (SECOND, 15 * SECOND);
/// A round that takes long is followed by a pause of so many times that …
const REST: i64 = 4;
/// … but no longer.
const LONGEST_REST: i64 = 5 * MINUTE;

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where the next page begins, while a round is under way.
    cursor: Option<i64>,
    began: Timestamp,
    /// When the next round begins, once this one is over.
    next: Timestamp,
}

/// A page of tasks, and whether it was the last of its round.
pub(super) struct Walked {
    pub(super) tasks: Vec<StoredTask>,
    pub(super) is_last: bool,
}

impl Walk {
    /// True while a round is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.cursor.is_some()
    }

    /// When the next round begins.
    pub(super) fn next(&self) -> Timestamp {
        self.next
    }

    /// The next page of tasks that were first seen before `least` ago; `None` while the next round has to wait.
    pub(super) async fn step(
        &mut self,
        brain: &Brain,
        project: u64,
        least: i64,
        now: Timestamp,
    ) -> Result<Option<Walked>, StoreError> {
        if self.cursor.is_none() {
            if self.next > now {
                return Ok(None);
            }
            self.began = now;
        }
        // What was first seen later cannot be due.
        let filter = TaskFilter { states: UNDER_WAY.to_vec(), until: Some(now.plus(-least)), ..TaskFilter::default() };
        let query = TaskQuery { project, filter, limit: PAGE, cursor: self.cursor };
        let page = brain.store.list_tasks(query).await?;
        self.cursor = page.next;
        if self.cursor.is_none() {
            let took = now.0.saturating_sub(self.began.0).saturating_mul(REST).min(LONGEST_REST);
            self.next = now.plus(took.max((least / 4).clamp(EVERY.0, EVERY.1)));
        }
        Ok(Some(Walked { tasks: page.items, is_last: self.cursor.is_none() }))
    }
}
