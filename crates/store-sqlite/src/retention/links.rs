//! Forgetting links of dropped tasks.
//!
//! Links lie in the order of hashes: those of the tasks of one day are everywhere. To remove each with its task would touch a
//! page for each. So all links are looked at, page after page, whenever a good part of the tasks has been dropped.

use rusqlite::params;
use taskplane_model::Timestamp;
use taskplane_model::time::MINUTE;

use super::{LINKS_BELOW, set, setting, tasks_below, unset};
use crate::errors::Done;
use crate::ids;
use crate::writer::Tx;

/// Where the round under way stands: hash and key of the last link that was looked at.
const AT_LINK: &str = "links_looked_at";
const AT_KEY: &str = "links_looked_at_key";
/// A round begins when the keys dropped since the last one are this part of those that are kept.
const PART: i64 = 8;

/// Looks at some links; true when there are more.
pub(super) fn forget(tx: &Tx<'_>, limit: i64) -> Done<bool> {
    let db = tx.db;
    let (link, key) = match (setting(db, AT_LINK)?, setting(db, AT_KEY)?) {
        (Some(link), Some(key)) => (link, key),
        _ if begins(tx)? => (i64::MIN, 0),
        _ => return Ok(false),
    };
    let below = setting(db, LINKS_BELOW)?.unwrap_or(0);
    let sql = "SELECT link, key FROM task_links WHERE (link, key) > (?1, ?2) ORDER BY link, key LIMIT ?3";
    let mut select = db.prepare_cached(sql)?;
    let rows = select.query_map([link, key, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut is_kept = db.prepare_cached("SELECT 1 FROM tasks WHERE key = ?1")?;
    let mut delete = db.prepare_cached("DELETE FROM task_links WHERE link = ?1 AND key = ?2")?;
    for (link, key) in rows.iter().filter(|(_, key)| *key < below) {
        if !is_kept.exists([key])? {
            delete.execute(params![link, key])?;
        }
    }
    match rows.last() {
        Some((link, key)) if rows.len() as i64 == limit => {
            set(db, AT_LINK, *link)?;
            set(db, AT_KEY, *key)?;
            Ok(true)
        }
        _ => {
            unset(db, AT_LINK)?;
            unset(db, AT_KEY)?;
            Ok(false)
        }
    }
}

/// Begins a round, if it is worth it.
fn begins(tx: &Tx<'_>) -> Done<bool> {
    let (below, last) = (tasks_below(tx.db)?, setting(tx.db, LINKS_BELOW)?.unwrap_or(0));
    let newest: Option<i64> = tx.db.prepare_cached("SELECT max(key) FROM tasks")?.query_row([], |row| row.get(0))?;
    let kept = newest.unwrap_or(below).saturating_sub(below).max(0);
    let worth = (kept / PART).max(ids::least_key(Timestamp(MINUTE)));
    let begins = below.saturating_sub(last) >= worth;
    if begins {
        set(tx.db, LINKS_BELOW, below)?;
    }
    Ok(begins)
}
