//! The file's size, and how it shrinks.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use taskplane_model::Timestamp;
use taskplane_model::time::MINUTE;
use taskplane_store::retention::{Oldest, StorageReport};

use super::tasks_below;
use crate::errors::Done;
use crate::ids;
use crate::open::{INCREMENTAL, PAGE_SIZE};
use crate::readers::View;
use crate::writer::Tx;

/// Space is given back while more than this is free …
const MUCH_PAGES: i64 = ((64 << 20) / PAGE_SIZE).cast_signed();
/// … and more than this part of the file. What is free is used again soon: to give all of it back, and to take it again, would
/// only cost.
const MUCH_PART: i64 = 10;
/// Pages given back at once: 2 MiB, a few milliseconds.
const PIECE: u32 = 256;

/// How much room the store takes, and how far back it reaches.
pub(super) fn report(view: &View<'_>, file: &Path) -> Done<StorageReport> {
    let db = view.db;
    let (pages, free) = (pragma(db, "page_count")?, pragma(db, "freelist_count")?);
    let size = pragma(db, "page_size")?;
    let bytes = |pages: i64| pages.saturating_mul(size).max(0).cast_unsigned();
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    Ok(StorageReport {
        used_bytes: bytes(pages - free),
        file_bytes: length(file),
        free_bytes: bytes(free),
        log_bytes: Some(length(&file.with_extension("db-wal"))),
        gives_back: pragma(db, "auto_vacuum")? == INCREMENTAL,
        oldest: oldest(db)?,
    })
}

fn oldest(db: &Connection) -> Done<Oldest> {
    let first = |sql: &str, from: i64| -> Done<Option<i64>> {
        Ok(db.prepare_cached(sql)?.query_row([from], |row| row.get(0)).optional()?)
    };
    let of_key = |from| {
        let key = first("SELECT key FROM tasks NOT INDEXED WHERE key >= ?1 ORDER BY key LIMIT 1", from);
        key.map(|key| key.map(ids::instant_of))
    };
    let events = first("SELECT received_at FROM batches WHERE id > ?1 ORDER BY id LIMIT 1", i64::MIN)?;
    Ok(Oldest {
        events: events.map(Timestamp),
        tasks: of_key(tasks_below(db)?)?,
        failures: of_key(0)?,
        minutes: oldest_minute(db, "SELECT min(minute) FROM rollups WHERE project = ?1")?,
        hours: oldest_minute(db, "SELECT min(start) FROM rollup_sums WHERE project = ?1 AND span = 60")?,
        days: oldest_minute(db, "SELECT min(start) FROM rollup_sums WHERE project = ?1 AND span = 1440")?,
    })
}

/// The first minute of any project that has statistics in a table.
fn oldest_minute(db: &Connection, sql: &str) -> Done<Option<Timestamp>> {
    let mut projects = db.prepare_cached("SELECT id FROM projects")?;
    let mut first = db.prepare_cached(sql)?;
    let mut oldest = None;
    for project in projects.query_map([], |row| row.get::<_, i64>(0))? {
        let minute: Option<i64> = first.query_row([project?], |row| row.get(0))?;
        oldest = [oldest, minute].into_iter().flatten().min();
    }
    Ok(oldest.map(|minute| Timestamp(minute.saturating_mul(MINUTE))))
}

/// Gives some free space back, when there is much. Says whether it did, and whether there is more.
pub(super) fn give_back(tx: &Tx<'_>) -> Done<(bool, bool)> {
    if pragma(tx.db, "auto_vacuum")? != INCREMENTAL || !has_much(tx.db)? {
        return Ok((false, false));
    }
    tx.db.execute_batch(&format!("PRAGMA incremental_vacuum({PIECE})"))?;
    Ok((true, has_much(tx.db)?))
}

fn has_much(db: &Connection) -> Done<bool> {
    let free = pragma(db, "freelist_count")?;
    Ok(free > MUCH_PAGES && free > pragma(db, "page_count")? / MUCH_PART)
}

fn pragma(db: &Connection, name: &str) -> Done<i64> {
    Ok(db.pragma_query_value(None, name, |row| row.get(0))?)
}
