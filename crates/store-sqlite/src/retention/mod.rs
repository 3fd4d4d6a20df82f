//! What is kept for how long: dropping in small pieces, and giving space back.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use taskplane_model::Timestamp;
use taskplane_model::time::MINUTE;
use taskplane_store::retention::{Dropped, Kept, StorageReport, YOUNGEST};
use taskplane_store::{Result, RetentionStore};

use crate::SqliteStore;
use crate::census;
use crate::errors::Done;
use crate::ids;
use crate::search;
use crate::task_ids;
use crate::writer::Tx;

mod links;
mod others;
mod space;
mod tasks;

/// Rows of `settings`: below this key no task is kept that is not kept longer than others …
const TASKS_BELOW: &str = "tasks_dropped_below";
/// … and up to where what pointed to dropped tasks has been forgotten.
const LINKS_BELOW: &str = "links_forgotten_below";
const IDS_BELOW: &str = "ids_forgotten_below";
const SEARCH_BELOW: &str = "search_forgotten_below";

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn storage(&self) -> Result<StorageReport> {
        let file = self.file.clone();
        self.read(move |view| space::report(view, &file)).await
    }

    async fn drop_before(&self, what: Kept, horizon: Timestamp, limit: usize) -> Result<Dropped> {
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        self.write(move |tx| match what {
            Kept::Events => others::drop_batches(tx, horizon, limit),
            Kept::Tasks => tasks::drop_tasks(tx, horizon, limit),
            Kept::Failures => tasks::drop_failures(tx, horizon, limit),
            Kept::Minutes | Kept::Hours | Kept::Days => others::drop_statistics(tx, what, horizon, limit),
            Kept::Records => others::drop_records(tx, horizon, limit),
            Kept::SignIns => others::drop_signins(tx, horizon, limit),
        })
        .await
    }

    async fn forget_dropped(&self, limit: usize) -> Result<bool> {
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let forget = move |tx: &mut Tx<'_>| {
            let more = forget_ids(tx, limit)? || links::forget(tx, limit)?;
            if !more {
                forget_in_search(tx)?;
            }
            Ok(more)
        };
        self.write(forget).await
    }

    async fn give_back_space(&self) -> Result<bool> {
        let (gave, more) = self.write(|tx| space::give_back(tx)).await?;
        if gave && !more {
            // The file becomes shorter when the log has been copied into it.
            self.wal.copy_now();
        }
        Ok(more)
    }
}

/// True for a new task that would have been dropped already. Nobody can know whether it was: it is not entered, so that it is
/// not counted twice.
pub(crate) fn comes_too_late(tx: &Tx<'_>, key: i64, received_at: Timestamp) -> Done<bool> {
    Ok(key < ids::least_key(received_at.plus(-YOUNGEST)) && key < tasks_below(tx.db)?)
}

/// Below this key no task is kept that is not kept longer than others.
pub(crate) fn tasks_below(db: &Connection) -> Done<i64> {
    Ok(setting(db, TASKS_BELOW)?.unwrap_or(0))
}

fn setting(db: &Connection, name: &str) -> Done<Option<i64>> {
    let sql = "SELECT value FROM settings WHERE name = ?1";
    Ok(db.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
}

fn set(db: &Connection, name: &str, value: i64) -> Done<()> {
    let sql =
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    db.prepare_cached(sql)?.execute(rusqlite::params![name, value])?;
    Ok(())
}

fn unset(db: &Connection, name: &str) -> Done<()> {
    db.prepare_cached("DELETE FROM settings WHERE name = ?1")?.execute([name])?;
    Ok(())
}

/// Forgets ids of dropped tasks; true when there is more.
fn forget_ids(tx: &mut Tx<'_>, limit: i64) -> Done<bool> {
    let below = tasks_below(tx.db)?;
    if !is_worth_it(tx.db, IDS_BELOW, below)? {
        return Ok(false);
    }
    let seed = tx.seed()?;
    if task_ids::tidy::forget(tx.db, &mut tx.caches.task_ids, seed, below, limit)? {
        return Ok(true);
    }
    set(tx.db, IDS_BELOW, below)?;
    Ok(false)
}

/// Forgets in the search index what lies before the first task.
fn forget_in_search(tx: &Tx<'_>) -> Done<()> {
    let first: Option<i64> = tx.db.prepare_cached("SELECT min(key) FROM tasks")?.query_row([], |row| row.get(0))?;
    let below = first.unwrap_or(tasks_below(tx.db)?);
    if is_worth_it(tx.db, SEARCH_BELOW, below)? {
        search::forget_below(tx, below)?;
        census::forget_below(tx, below)?;
        set(tx.db, SEARCH_BELOW, below)?;
    }
    Ok(())
}

/// True when more than a minute's tasks have been dropped since what pointed to them was last forgotten.
fn is_worth_it(db: &Connection, name: &str, below: i64) -> Done<bool> {
    Ok(below >= setting(db, name)?.unwrap_or(0).saturating_add(ids::least_key(Timestamp(MINUTE))))
}
