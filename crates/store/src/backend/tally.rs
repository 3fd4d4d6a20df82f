//! Counts by state, exact up to a bound.

use taskplane_model::TaskState;

use crate::tasks::{COUNT_BOUND, StateCounts};

/// Counts that are being made.
#[derive(Debug)]
pub struct Tally(Vec<(TaskState, u64, bool)>);

impl Tally {
    /// Nothing is counted yet.
    pub fn new(states: &[TaskState]) -> Self {
        Self(states.iter().map(|state| (*state, 0, false)).collect())
    }

    /// Counts one more.
    pub fn add(&mut self, state: u8) {
        self.add_many(state, 1);
    }

    /// Counts so many more.
    pub fn add_many(&mut self, state: u8, count: u64) {
        if let Some(entry) = self.entry(state) {
            let count = entry.1.saturating_add(count);
            (entry.1, entry.2) = (count.min(COUNT_BOUND), entry.2 || count > COUNT_BOUND);
        }
    }

    /// There are `count` of a state, or more if it was left open.
    pub fn set(&mut self, state: TaskState, count: u64) {
        if let Some(entry) = self.entry(state as u8) {
            (entry.1, entry.2) = (count.min(COUNT_BOUND), entry.2 || count > COUNT_BOUND);
        }
    }

    /// Counting ended early: there may be more of `states`.
    pub fn leave_open(&mut self, states: &[TaskState]) {
        for entry in self.0.iter_mut().filter(|entry| states.contains(&entry.0)) {
            entry.2 = true;
        }
    }

    /// True while one of `states` is not known to go beyond the bound.
    pub fn is_open(&self, states: &[TaskState]) -> bool {
        self.0.iter().any(|(state, _, more)| !more && states.contains(state))
    }

    /// What was counted.
    pub fn into_counts(self) -> StateCounts {
        StateCounts { by_state: self.0 }
    }

    fn entry(&mut self, state: u8) -> Option<&mut (TaskState, u64, bool)> {
        self.0.iter_mut().find(|entry| entry.0 as u8 == state)
    }
}
