//! Workers and queues, merged with what is stored.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_store::backend::signs::{Key, Signs};

use crate::errors::Done;
use crate::writer::Tx;

/// Writes down what a group of batches told.
pub(super) fn store(tx: &mut Tx<'_>, signs: Signs) -> Done<()> {
    let find = "SELECT data FROM workers WHERE project = ?1 AND name = ?2 AND engine = ?3";
    let put = "INSERT OR REPLACE INTO workers (project, name, engine, data) VALUES (?1, ?2, ?3, ?4)";
    merge_into(tx, signs.workers, find, put, Worker::merge)?;
    let find = "SELECT data FROM queues WHERE project = ?1 AND name = ?2 AND engine = ?3";
    let put = "INSERT OR REPLACE INTO queues (project, name, engine, data) VALUES (?1, ?2, ?3, ?4)";
    merge_into(tx, signs.queues, find, put, Queue::merge)
}

fn merge_into<T>(tx: &Tx<'_>, told: BTreeMap<Key, T>, find: &str, put: &str, merge: fn(&mut T, T)) -> Done<()>
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
