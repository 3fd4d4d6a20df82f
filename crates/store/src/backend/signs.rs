//! Workers and queues: what a group of batches tells, one word on each.

use std::collections::BTreeMap;

use taskplane_model::fleet::{Queue, Worker};

/// Project, name, engine.
pub type Key = (u64, String, String);

/// What a group of batches tells of workers and queues.
#[derive(Debug, Default)]
pub struct Signs {
    /// Workers.
    pub workers: BTreeMap<Key, Worker>,
    /// Queues.
    pub queues: BTreeMap<Key, Queue>,
}

impl Signs {
    /// Adds what one batch tells.
    pub fn take(&mut self, project: u64, workers: Vec<Worker>, queues: Vec<Queue>) {
        for worker in workers {
            let key = (project, worker.name.clone(), worker.engine.clone());
            add(&mut self.workers, key, worker, Worker::merge);
        }
        for queue in queues {
            let key = (project, queue.name.clone(), queue.engine.clone());
            add(&mut self.queues, key, queue, Queue::merge);
        }
    }
}

fn add<T>(into: &mut BTreeMap<Key, T>, key: Key, one: T, merge: fn(&mut T, T)) {
    use std::collections::btree_map::Entry;
    match into.entry(key) {
        Entry::Occupied(mut known) => merge(known.get_mut(), one),
        Entry::Vacant(place) => {
            place.insert(one);
        }
    }
}
