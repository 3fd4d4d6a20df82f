//! Workers and queues, merged with what is stored.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use taskplane_model::fleet::{Queue, Worker};

use crate::errors::Done;
use crate::writer::Tx;

/// Project, name, engine.
type Key = (u64, String, String);

/// What a group of batches tells of workers and queues.
#[derive(Debug, Default)]
pub(super) struct Signs {
    workers: BTreeMap<Key, Worker>,
    queues: BTreeMap<Key, Queue>,
}

impl Signs {
    /// Adds what one batch tells.
    pub(super) fn take(&mut self, project: u64, workers: Vec<Worker>, queues: Vec<Queue>) {
        for worker in workers {
            let key = (project, worker.name.clone(), worker.engine.clone());
            add(&mut self.workers, key, worker, Worker::merge);
        }
        for queue in queues {
            let key = (project, queue.name.clone(), queue.engine.clone());
            add(&mut self.queues, key, queue, Queue::merge);
        }
    }

    /// Writes it down.
    pub(super) fn store(self, tx: &mut Tx<'_>) -> Done<()> {
        let find = "SELECT data FROM workers WHERE project = ?1 AND name = ?2 AND engine = ?3";
        let put = "INSERT OR REPLACE INTO workers (project, name, engine, data) VALUES (?1, ?2, ?3, ?4)";
        store(tx, self.workers, find, put, Worker::merge)?;
        let find = "SELECT data FROM queues WHERE project = ?1 AND name = ?2 AND engine = ?3";
        let put = "INSERT OR REPLACE INTO queues (project, name, engine, data) VALUES (?1, ?2, ?3, ?4)";
        store(tx, self.queues, find, put, Queue::merge)
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

fn store<T>(tx: &Tx<'_>, told: BTreeMap<Key, T>, find: &str, put: &str, merge: fn(&mut T, T)) -> Done<()>
where
    T: Serialize + DeserializeOwned + PartialEq + Clone,
{
    if told.is_empty() {
        return Ok(());
    }
    let mut find = tx.db.prepare_cached(find)?;
    let mut put = tx.db.prepare_cached(put)?;
    for ((project, name, engine), new) in told {
        let project = project.cast_signed();
        let stored: Option<String> = find.query_row(params![project, name, engine], |row| row.get(0)).optional()?;
        let merged = match stored {
            None => new,
            Some(stored) => {
                let known: T = serde_json::from_str(&stored)?;
                let mut merged = known.clone();
                merge(&mut merged, new);
                if merged == known {
                    continue;
                }
                merged
            }
        };
        put.execute(params![project, name, engine, serde_json::to_string(&merged)?])?;
    }
    Ok(())
}
