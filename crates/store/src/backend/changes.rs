//! What a group of batches tells of tasks, one change per task.

use std::collections::HashMap;
use std::sync::Arc;

use taskplane_model::{TaskRecord, Timestamp};

use crate::backend::hashing::FastHash;
use crate::backend::ids;
use crate::ingest::BatchToStore;

/// What is new of one task.
#[derive(Clone, Debug)]
pub struct Change {
    /// Project.
    pub project: u64,
    /// Engine.
    pub engine: Arc<str>,
    /// The engine's id.
    pub task_id: String,
    /// Hash of project and id.
    pub hash: i64,
    /// What is told.
    pub record: TaskRecord,
    /// When it was told.
    pub received_at: Timestamp,
    /// Do nothing when the task is not known yet.
    pub only_known: bool,
}

/// Collects changes.
#[derive(Debug)]
pub struct Changes {
    seed: u64,
    list: Vec<Change>,
    /// The latest change with a hash.
    latest: HashMap<i64, usize, FastHash>,
    /// For each change, the one before it with the same hash: another engine's task of that id, or an accident.
    before: Vec<Option<usize>>,
}

impl Changes {
    /// `seed` keys the hash of ids.
    pub fn new(seed: u64) -> Self {
        Self { seed, list: Vec::new(), latest: HashMap::default(), before: Vec::new() }
    }

    /// Adds what stored batch `number` tells.
    pub fn take(&mut self, batch: BatchToStore, number: u64) {
        self.list.reserve(batch.tasks.len());
        self.latest.reserve(batch.tasks.len());
        for mut delta in batch.tasks {
            delta.record.note_batch(number);
            delta.record.note_agent(batch.agent);
            self.add(Change {
                project: batch.project,
                hash: ids::hash(self.seed, batch.project, &delta.task_id),
                engine: delta.engine,
                task_id: delta.task_id,
                record: delta.record,
                received_at: batch.received_at,
                only_known: false,
            });
        }
    }

    /// Adds a change.
    pub fn add(&mut self, change: Change) {
        let latest = self.latest.get(&change.hash).copied();
        let mut at = latest;
        while let Some(place) = at {
            let known = &mut self.list[place];
            if known.is_same_task(&change) {
                known.record.merge(change.record);
                known.only_known &= change.only_known;
                return;
            }
            at = self.before[place];
        }
        self.latest.insert(change.hash, self.list.len());
        self.before.push(latest);
        self.list.push(change);
    }

    /// The changes, one per task.
    pub fn into_vec(self) -> Vec<Change> {
        self.list
    }
}

impl Change {
    fn is_same_task(&self, other: &Self) -> bool {
        self.project == other.project && self.engine == other.engine && self.task_id == other.task_id
    }
}
