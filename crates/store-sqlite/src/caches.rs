//! What the writer knows of the database without asking it. Dropped as a whole whenever it might be wrong.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::OptionalExtension;
use taskplane_store::StoreError;

use crate::errors::Done;
use crate::hashing::FastHash;
use crate::ingest::rollups::RollupCache;
use crate::ingest::streams::StreamCache;
use crate::names::Names;
use crate::task_ids::TaskIds;
use crate::writer::Tx;

/// Terms kept; beyond it all are forgotten and read again.
const KEPT_TERMS: usize = 50_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Caches {
    terms: HashMap<Arc<str>, i64, FastHash>,
    pub(crate) names: Names,
    pub(crate) streams: StreamCache,
    pub(crate) rollups: RollupCache,
    pub(crate) task_ids: TaskIds,
    /// Below which key changes are noted for the search index.
    pub(crate) search_until: Option<i64>,
    /// Below which key changes are noted for the census.
    pub(crate) census_until: Option<i64>,
    /// Reused for every record that is written.
    pub(crate) bytes: Vec<u8>,
}

impl Caches {
    /// Nothing is known yet.
    pub(crate) fn new() -> Result<Self, StoreError> {
        let run = getrandom::u64().map_err(|error| StoreError::CannotOpen(format!("no random numbers ({error})")))?;
        Ok(Self::with(TaskIds::new(run.cast_signed())))
    }

    /// Forgets everything that may be wrong.
    pub(crate) fn clear(&mut self) {
        self.task_ids.doubt();
        let task_ids = std::mem::replace(&mut self.task_ids, TaskIds::new(0));
        *self = Self::with(task_ids);
    }

    fn with(task_ids: TaskIds) -> Self {
        Self {
            terms: HashMap::default(),
            names: Names::default(),
            streams: StreamCache::default(),
            rollups: RollupCache::default(),
            task_ids,
            search_until: None,
            census_until: None,
            bytes: Vec::new(),
        }
    }
}

impl Tx<'_> {
    /// What keys the hash of ids.
    pub(crate) fn seed(&self) -> Done<u64> {
        self.caches.names.seed(self.db)
    }

    /// The number of a term, which is given one if it has none; 0 for none.
    pub(crate) fn term(&mut self, text: Option<&str>) -> Done<i64> {
        let Some(text) = text else { return Ok(0) };
        if let Some(number) = self.caches.terms.get(text) {
            return Ok(*number);
        }
        let find = "SELECT id FROM terms WHERE text = ?1";
        let found: Option<i64> = self.db.prepare_cached(find)?.query_row([text], |row| row.get(0)).optional()?;
        let number = match found {
            Some(number) => number,
            None => self.db.prepare_cached("INSERT INTO terms (text) VALUES (?1)")?.insert([text])?,
        };
        if self.caches.terms.len() >= KEPT_TERMS {
            self.caches.terms.clear();
        }
        self.caches.terms.insert(text.into(), number);
        Ok(number)
    }
}
