//! The writer's side: finds ids, and enters new ones into the newest generation.

use rusqlite::{Connection, OptionalExtension, Statement};

use super::filter::Filter;
use super::{FIND, GENERATION, HASH_MASK, MAX_PROBES, newest_generation, no_place, search_generation, slot};
use crate::errors::Done;

/// Row of `settings` that says which run of the program has entered ids last. A run that finds another one there does not
/// know all ids.
const WRITER: &str = "task_id_writer";

/// What the writer knows of the ids.
#[derive(Debug)]
pub(crate) struct TaskIds {
    /// Names this run in [`WRITER`].
    run: i64,
    filter: Filter,
    /// The filter has every id that this run or one before it has entered.
    loaded: bool,
    /// Generation and count are those of the table.
    checked: bool,
    newest: i64,
    in_newest: i64,
}

impl TaskIds {
    /// `run` is a random number.
    pub(crate) fn new(run: i64) -> Self {
        Self { run, filter: Filter::default(), loaded: false, checked: false, newest: -1, in_newest: 0 }
    }

    /// To be called when a transaction has failed, or another process has written. What is in the filter stays: an id too
    /// many does no harm.
    pub(crate) fn doubt(&mut self) {
        self.checked = false;
    }

    /// Calls `found` with the key of every task that may have the id with this hash, until it returns a value.
    pub(crate) fn search<T>(
        &mut self,
        db: &Connection,
        hash: i64,
        mut found: impl FnMut(i64) -> Done<Option<T>>,
    ) -> Done<Option<T>> {
        self.check(db)?;
        if !self.filter.may_have(hash & HASH_MASK) {
            return Ok(None);
        }
        let mut find = db.prepare_cached(FIND)?;
        for generation in (0..=self.newest).rev() {
            if let Some(value) = search_generation(&mut find, generation, hash, &mut found)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Enters an id that has been searched for in vain; `insert` is [`super::ENTER`]. Returns its slot.
    pub(crate) fn enter(&mut self, insert: &mut Statement<'_>, hash: i64, key: i64) -> Done<i64> {
        if self.newest < 0 || self.in_newest >= GENERATION {
            self.newest += 1;
            self.in_newest = 0;
        }
        for step in 0..MAX_PROBES {
            let slot = slot(self.newest, hash, step);
            if insert.execute([slot, key])? == 1 {
                self.in_newest += 1;
                self.filter.add(hash & HASH_MASK);
                return Ok(slot);
            }
        }
        Err(no_place(hash).into())
    }

    /// Corrects the key of an id.
    pub(crate) fn correct(&self, db: &Connection, slot: i64, key: i64) -> Done<()> {
        db.prepare_cached("UPDATE task_ids SET key = ?2 WHERE slot = ?1")?.execute([slot, key])?;
        Ok(())
    }

    fn check(&mut self, db: &Connection) -> Done<()> {
        if self.checked {
            return Ok(());
        }
        let sql = "SELECT value FROM settings WHERE name = ?1";
        let writer: Option<i64> = db.prepare_cached(sql)?.query_row([WRITER], |row| row.get(0)).optional()?;
        if writer != Some(self.run) {
            let sql = "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)";
            db.prepare_cached(sql)?.execute(rusqlite::params![WRITER, self.run])?;
            self.loaded = false;
        }
        if !self.loaded {
            self.filter = load(db)?;
            self.loaded = true;
        }
        self.newest = newest_generation(db)?;
        let sql = "SELECT count(*) FROM task_ids WHERE slot >= ?1";
        self.in_newest = db.prepare_cached(sql)?.query_row([slot(self.newest.max(0), 0, 0)], |row| row.get(0))?;
        self.checked = true;
        Ok(())
    }
}

/// Reads all ids: five million a second.
fn load(db: &Connection) -> Done<Filter> {
    let mut filter = Filter::default();
    let mut select = db.prepare("SELECT slot FROM task_ids")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        filter.add(row.get::<_, i64>(0)? & HASH_MASK);
    }
    Ok(filter)
}
