//! Taking a census.

use std::collections::BTreeMap;

use super::directory::write;
use super::{BLOCK, Census, Kind, MAX_TASKS};
use crate::backend::plan::Brief;

/// Tasks on their way into a census, in ascending order of their keys.
#[derive(Debug, Default)]
pub struct Taker {
    pub(super) tasks: usize,
    /// Least key and tasks of each block.
    pub(super) blocks: Vec<(i64, usize)>,
    last: Option<i64>,
    /// Places by state, without those of tasks that succeeded.
    pub(super) states: BTreeMap<u8, Vec<u16>>,
    pub(super) kinds: BTreeMap<Kind, Vec<u16>>,
    pub(super) workers: BTreeMap<i64, Vec<u16>>,
}

/// A census with its rows.
#[derive(Debug)]
pub struct Taken {
    /// The census; its number is given when it is stored.
    pub census: Census,
    /// Numbers and contents of its rows.
    pub rows: Vec<(i64, Vec<u8>)>,
}

impl Taker {
    /// Adds a task behind the last one; false when there is no room for it.
    pub fn add(&mut self, task: &Brief) -> bool {
        let is_split = self.last != Some(task.key);
        // Tasks of several projects may have one key, and stay together.
        if is_split && self.tasks >= MAX_TASKS - BLOCK || self.tasks >= MAX_TASKS {
            return false;
        }
        match self.blocks.last_mut() {
            Some((_, tasks)) if *tasks < BLOCK || !is_split => *tasks += 1,
            _ => self.blocks.push((task.key, 1)),
        }
        let place = self.tasks as u16;
        (self.tasks, self.last) = (self.tasks + 1, Some(task.key));
        if task.state != super::directory::SUCCEEDED {
            self.states.entry(task.state).or_default().push(place);
        }
        let Brief { queue, name, project, engine, worker, .. } = *task;
        self.kinds.entry(Kind { queue, name, project, engine }).or_default().push(place);
        self.workers.entry(worker).or_default().push(place);
        true
    }

    /// The census of keys from `low` and before `high`; `None` without a task.
    pub fn finish(self, low: i64, high: i64) -> Option<Taken> {
        if self.tasks == 0 {
            return None;
        }
        let census = Census { id: 0, low, high, tasks: self.tasks as u32 };
        Some(Taken { census, rows: write(&self) })
    }
}
