//! The writer's side: finds ids, and enters new ones into the newest generation.

use rusqlite::{Connection, OptionalExtension, Statement};

use super::filter::Filter;
use super::generations::Generations;
use super::loader::{Loading, read_generation};
use super::{FIND, GENERATION, HASH_MASK, MAX_PROBES, generations, no_place, place, search_generation, slot};
use crate::errors::Done;

/// Row of `settings` that says which run of the program has entered ids last. A run that finds another one there does not
/// know all ids.
const WRITER: &str = "task_id_writer";
/// A filter with fewer members than this is not made anew.
const SMALL_FILTER: usize = 1 << 20;
/// Reading an id is so much less work than dropping a task.
const READ_AT_ONCE: i64 = 8;

/// What the writer knows of the ids.
#[derive(Debug)]
pub(crate) struct TaskIds {
    /// Names this run in [`WRITER`].
    run: i64,
    /// Every id that this run or one before it has entered, but for those that are still being read.
    filter: Filter,
    /// Where they may be.
    known: Generations,
    /// What is stored has been read, or is being read.
    loaded: bool,
    /// What is still being read.
    loading: Option<Loading>,
    /// Generation and count are those of the table.
    checked: bool,
    oldest: i64,
    pub(super) newest: i64,
    in_newest: i64,
    /// The filter that is being made anew, and the first slot that it does not have yet.
    renewal: Option<(Filter, i64)>,
    /// The first slot that the round of [`super::tidy`] under way has not looked at.
    pub(super) tidied: i64,
    /// The generation that it is emptying.
    pub(super) emptying: Option<i64>,
}

impl TaskIds {
    /// `run` is a random number.
    pub(crate) fn new(run: i64) -> Self {
        Self {
            run,
            filter: Filter::default(),
            known: Generations::default(),
            loaded: false,
            loading: None,
            checked: false,
            oldest: 0,
            newest: -1,
            in_newest: 0,
            renewal: None,
            tidied: 0,
            emptying: None,
        }
    }

    /// To be called when a transaction has failed, or another process has written. What is in the filter stays: an id too
    /// many does no harm.
    pub(crate) fn doubt(&mut self) {
        self.checked = false;
        self.tidied = 0;
        self.emptying = None;
    }

    /// Calls `found` with the key of every task that may have the id with this hash, until it returns a value.
    pub(crate) fn search<T>(
        &mut self,
        db: &Connection,
        hash: i64,
        mut found: impl FnMut(i64) -> Done<Option<T>>,
    ) -> Done<Option<T>> {
        self.check(db)?;
        if self.loading.is_none() && !self.filter.may_have(place(hash)) {
            return Ok(None);
        }
        let mut find = db.prepare_cached(FIND)?;
        for generation in (self.oldest..=self.newest).rev() {
            if self.known.may_have(generation, place(hash))
                && let Some(value) = search_generation(&mut find, generation, hash, &mut found)?
            {
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
            self.known.begin(self.newest);
        }
        for step in 0..MAX_PROBES {
            let slot = slot(self.newest, hash, step);
            if insert.execute([slot, key])? == 1 {
                self.in_newest += 1;
                self.filter.add(place(hash));
                self.known.add(self.newest, place(hash));
                if let Some((filter, _)) = &mut self.renewal {
                    filter.add(place(hash));
                }
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

    /// Takes over what has been read of the ids since it was last asked.
    fn go_on_loading(&mut self, db: &Connection) -> Done<()> {
        if let Some(loading) = &mut self.loading
            && loading.take(db, &mut self.known, &mut self.filter)?
        {
            self.loading = None;
        }
        Ok(())
    }

    /// True while the filter is being made anew.
    pub(super) fn is_renewing(&self) -> bool {
        self.renewal.is_some()
    }

    /// Makes the filter anew, a piece at a time, when most of its members are gone. True when there is more to read.
    pub(super) fn renew(&mut self, db: &Connection, limit: i64) -> Done<bool> {
        let generations = usize::try_from(self.newest - self.oldest + 1).unwrap_or(0);
        let is_due = self.filter.members() > 2 * generations * GENERATION as usize + SMALL_FILTER;
        if self.renewal.is_none() && !is_due {
            return Ok(false);
        }
        let (filter, next) = self.renewal.get_or_insert_default();
        let limit = limit.saturating_mul(READ_AT_ONCE);
        let mut select = db.prepare_cached("SELECT slot FROM task_ids WHERE slot >= ?1 ORDER BY slot LIMIT ?2")?;
        let mut rows = select.query([*next, limit])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let slot: i64 = row.get(0)?;
            filter.add(slot & HASH_MASK);
            *next = slot + 1;
            read += 1;
        }
        let more = read == limit;
        if !more && let Some((filter, _)) = self.renewal.take() {
            self.filter = filter;
        }
        Ok(more)
    }

    /// Takes note of the oldest generation that there is.
    pub(super) fn find_oldest(&mut self, db: &Connection) -> Done<()> {
        self.oldest = generations(db)?.0;
        self.known.forget_before(self.oldest);
        Ok(())
    }

    /// Makes sure that what is known is true.
    pub(super) fn check(&mut self, db: &Connection) -> Done<()> {
        if self.checked {
            return self.go_on_loading(db);
        }
        let sql = "SELECT value FROM settings WHERE name = ?1";
        let writer: Option<i64> = db.prepare_cached(sql)?.query_row([WRITER], |row| row.get(0)).optional()?;
        if writer != Some(self.run) {
            let sql = "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)";
            db.prepare_cached(sql)?.execute(rusqlite::params![WRITER, self.run])?;
            self.loaded = false;
        }
        (self.oldest, self.newest) = generations(db)?;
        if !self.loaded {
            self.load(db)?;
        }
        let sql = "SELECT count(*) FROM task_ids WHERE slot >= ?1";
        self.in_newest = db.prepare_cached(sql)?.query_row([slot(self.newest.max(0), 0, 0)], |row| row.get(0))?;
        self.checked = true;
        self.go_on_loading(db)
    }

    /// Reads the newest generation, which takes new ids, and begins to read the others.
    fn load(&mut self, db: &Connection) -> Done<()> {
        // A reader that is still at work ends before another one begins.
        self.loading = None;
        self.renewal = None;
        self.filter = Filter::default();
        self.known = Generations::unknown(self.oldest);
        if self.newest >= 0 {
            let hashes = read_generation(db, self.newest, |hash| self.filter.add(hash))?;
            self.known.put(self.newest, hashes);
            self.loading = Some(Loading::begin(db, self.oldest, self.newest));
        }
        self.loaded = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::loader::Read;
    use super::*;
    use crate::task_ids::ENTER;

    fn find(ids: &mut TaskIds, db: &Connection, hash: i64) -> Option<i64> {
        ids.search(db, hash, |key| Ok(Some(key))).expect("can be read")
    }

    #[test]
    fn ids_are_known_before_and_after_all_of_them_were_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Connection::open(folder.path().join("ids.db")).expect("opens");
        db.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE task_ids (slot INTEGER PRIMARY KEY, key INTEGER NOT NULL);
             CREATE TABLE settings (name TEXT PRIMARY KEY, value) WITHOUT ROWID;",
        )
        .expect("is made");
        let stored = 0..40;
        for hash in stored.clone() {
            db.execute(ENTER, [slot(hash / 10, hash * 1_000, 0), hash]).expect("is entered");
        }
        let mut ids = TaskIds::new(7);
        ids.check(&db).expect("can be read");
        // Of four generations, the writer has read the newest, another one has come, and the others take their time.
        ids.loading = None;
        ids.filter = Filter::default();
        ids.known = Generations::unknown(0);
        let newest = read_generation(&db, 3, |hash| ids.filter.add(hash)).expect("can be read");
        ids.known.put(3, newest);
        let second = read_generation(&db, 2, |_| {}).expect("can be read");
        let (loading, more) = Loading::with((0, 3), vec![Read::Generation(2, second)]);
        ids.loading = Some(loading);
        let mut enter = db.prepare(ENTER).expect("is SQL");
        ids.enter(&mut enter, 77_000, 77).expect("is entered");
        for hash in stored.clone() {
            assert_eq!(find(&mut ids, &db, hash * 1_000), Some(hash));
            assert_eq!(find(&mut ids, &db, hash * 1_000 + 500), None);
        }
        assert!(!ids.known.may_have(2, 500) && ids.known.may_have(1, 500));
        assert_eq!((ids.loading.is_some(), find(&mut ids, &db, 77_000)), (true, Some(77)));
        // Its reader ends before it is through: the writer reads the rest.
        drop(more);
        assert_eq!(find(&mut ids, &db, 0), Some(0));
        assert!(ids.loading.is_none() && !ids.known.may_have(1, 500));
        assert!(stored.clone().all(|hash| ids.filter.may_have(hash * 1_000)));
        // The next run begins anew.
        let mut ids = TaskIds::new(8);
        for hash in stored.chain([77]) {
            assert_eq!(find(&mut ids, &db, hash * 1_000), Some(hash));
        }
    }
}
