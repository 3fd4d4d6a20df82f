//! Dropping old statistics, the finer before the coarser. One call drops about `limit` rows; an hour's minutes or a day's hours
//! go together.

use rusqlite::Connection;
use taskplane_store::backend::stats::Kind;
use taskplane_store::retention::Dropped;

use super::state::{is_marked, keep, kept};
use crate::errors::Done;
use crate::writer::Tx;

/// Drops statistics of minutes before `minute`, rounded down to an hour; hours stay. What is not folded yet stays, with all
/// behind it, and is no reason to call again at once.
pub(crate) fn drop_minutes_below(tx: &mut Tx<'_>, minute: i64, limit: u64) -> Done<Dropped> {
    let dropped = drop_below(tx.db, Kind::Minutes, minute, limit)?;
    tx.caches.rollups.forget();
    Ok(dropped)
}

/// Drops statistics of hours before `minute`, rounded down to a day, as far as their minutes are dropped; days stay. As
/// above.
pub(crate) fn drop_hours_below(tx: &mut Tx<'_>, minute: i64, limit: u64) -> Done<Dropped> {
    drop_below(tx.db, Kind::Hours, minute, limit)
}

/// Drops statistics of days before `minute`, as far as their hours are dropped. What happens late to such a day is not counted
/// any more. As above.
pub(crate) fn drop_days_below(tx: &mut Tx<'_>, minute: i64, limit: u64) -> Done<Dropped> {
    drop_below(tx.db, Kind::Days, minute, limit)
}

fn drop_below(db: &Connection, kind: Kind, minute: i64, limit: u64) -> Done<Dropped> {
    let mut select = db.prepare_cached("SELECT id FROM projects")?;
    let projects: Vec<i64> = select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut count = 0;
    for project in projects {
        let mut kept = kept(db, project)?;
        let until = kept.may_drop(kind, minute);
        while kept.from(kind) < until {
            if count >= limit {
                return Ok(Dropped { count, more: true });
            }
            let since = kept.from(kind);
            let end = kind.piece(first(db, kind, project, since)?, until);
            if let Some(span) = kind.needed_by()
                && is_marked(db, project, span, since, end)?
            {
                break;
            }
            count += delete(db, kind, project, since, end)?;
            kept = kept.with(kind, end);
            keep(db, project, kept)?;
        }
    }
    Ok(Dropped { count, more: false })
}

/// Where the first of what is left begins.
fn first(db: &Connection, kind: Kind, project: i64, since: i64) -> Done<Option<i64>> {
    let sql = if kind == Kind::Minutes {
        "SELECT min(minute) FROM rollups WHERE project = ?1 AND minute >= ?2 AND ?3 > 0"
    } else {
        "SELECT min(start) FROM rollup_sums WHERE project = ?1 AND start >= ?2 AND span = ?3"
    };
    let span = kind.spans().first().copied().unwrap_or(1);
    Ok(db.prepare_cached(sql)?.query_row([project, since, span], |row| row.get(0))?)
}

fn delete(db: &Connection, kind: Kind, project: i64, since: i64, until: i64) -> Done<u64> {
    let mut count = 0;
    if kind == Kind::Minutes {
        let sql = "DELETE FROM rollups WHERE project = ?1 AND minute >= ?2 AND minute < ?3";
        count += db.prepare_cached(sql)?.execute([project, since, until])?;
    }
    let sql = "DELETE FROM rollup_sums WHERE project = ?1 AND span = ?2 AND start >= ?3 AND start < ?4";
    let mut delete = db.prepare_cached(sql)?;
    for span in kind.spans() {
        count += delete.execute([project, *span, since, until])?;
    }
    Ok(count as u64)
}
