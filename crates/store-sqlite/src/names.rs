//! Texts behind numbers, for readers. A number's text never changes, so what was once read stays true.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension};

use crate::errors::Done;

/// Texts kept; beyond it all are forgotten and read again.
const KEPT: usize = 50_000;

/// Texts of terms and names of agents, read once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    terms: Known,
    agents: Known,
    seed: OnceLock<u64>,
}

#[derive(Debug, Default)]
struct Known(RwLock<HashMap<i64, Arc<str>>>);

impl Names {
    /// The text of a term; `None` for 0, which means: not known.
    pub(crate) fn term(&self, db: &Connection, number: i64) -> Done<Option<Arc<str>>> {
        if number == 0 {
            return Ok(None);
        }
        self.terms.get(db, number, "SELECT text FROM terms WHERE id = ?1")
    }

    /// What keys the hash of ids.
    pub(crate) fn seed(&self, db: &Connection) -> Done<u64> {
        if let Some(seed) = self.seed.get() {
            return Ok(*seed);
        }
        let sql = "SELECT value FROM settings WHERE name = 'task_id_seed'";
        let seed: i64 = db.query_row(sql, [], |row| row.get(0))?;
        Ok(*self.seed.get_or_init(|| seed.cast_unsigned()))
    }

    /// The name of an agent.
    pub(crate) fn agent(&self, db: &Connection, number: u64) -> Done<Option<Arc<str>>> {
        self.agents.get(db, number.cast_signed(), "SELECT name FROM agents WHERE id = ?1")
    }
}

impl Known {
    fn get(&self, db: &Connection, number: i64, sql: &str) -> Done<Option<Arc<str>>> {
        if let Some(text) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Ok(Some(Arc::clone(text)));
        }
        let text: Option<Arc<str>> = db.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
        if let Some(text) = &text {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(number, Arc::clone(text));
        }
        Ok(text)
    }
}
