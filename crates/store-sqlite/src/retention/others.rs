//! Dropping what is not a task: raw events, statistics, records of what people did, sign-ins.

use rusqlite::params;
use taskplane_model::Timestamp;
use taskplane_store::retention::{Dropped, Kept};

use crate::errors::Done;
use crate::rollups;
use crate::writer::Tx;

/// A batch is so much more work to drop than a task: its body lies on pages of its own.
const BATCH_WEIGHT: i64 = 16;

/// Drops raw batches, in the order in which they came. The newest stays: its number must not be given again.
pub(super) fn drop_batches(tx: &Tx<'_>, horizon: Timestamp, limit: i64) -> Done<Dropped> {
    let limit = (limit / BATCH_WEIGHT).max(1);
    let sql = "SELECT id, received_at FROM batches WHERE id < (SELECT max(id) FROM batches) ORDER BY id LIMIT ?1";
    let old = prefix(tx, sql, horizon, limit)?;
    delete_each(tx, "DELETE FROM batches WHERE id = ?1", &old)?;
    Ok(dropped(old.len(), limit))
}

/// Drops statistics of minutes, hours or days.
pub(super) fn drop_statistics(tx: &mut Tx<'_>, what: Kept, horizon: Timestamp, limit: i64) -> Done<Dropped> {
    let (minute, limit) = (horizon.minute(), limit.cast_unsigned());
    match what {
        Kept::Minutes => rollups::drop_minutes_below(tx, minute, limit),
        Kept::Hours => rollups::drop_hours_below(tx, minute, limit),
        _ => rollups::drop_days_below(tx, minute, limit),
    }
}

/// Drops audit entries, commands that have ended, events that were not understood, and runs of schedules.
pub(super) fn drop_records(tx: &Tx<'_>, horizon: Timestamp, limit: i64) -> Done<Dropped> {
    let mut all = Dropped::default();
    for (find, delete) in [
        ("SELECT id, at FROM audit ORDER BY id LIMIT ?1", "DELETE FROM audit WHERE id = ?1"),
        ("SELECT id, received_at FROM quarantine ORDER BY id LIMIT ?1", "DELETE FROM quarantine WHERE id = ?1"),
        // Those that have not ended stay, and will end.
        (
            "SELECT number, created_at FROM commands WHERE status >= 2 ORDER BY number LIMIT ?1",
            "DELETE FROM commands WHERE number = ?1",
        ),
        // So do jobs. The tasks of one that goes are found by what it leaves behind.
        (
            "SELECT number, created_at FROM bulk_jobs WHERE is_open = 0 ORDER BY number LIMIT ?1",
            "DELETE FROM bulk_jobs WHERE number = ?1",
        ),
        (
            "SELECT number, due FROM schedule_runs ORDER BY number LIMIT ?1",
            "DELETE FROM schedule_runs WHERE number = ?1",
        ),
    ] {
        let old = prefix(tx, find, horizon, limit)?;
        delete_each(tx, delete, &old)?;
        let step = dropped(old.len(), limit);
        all = Dropped { count: all.count + step.count, more: all.more || step.more };
        if all.more {
            break;
        }
    }
    if !all.more {
        let sql = "DELETE FROM bulk_items WHERE (job, key) IN (SELECT job, key FROM bulk_items
            WHERE job < (SELECT ifnull(min(number), 9223372036854775807) FROM bulk_jobs) ORDER BY job, key LIMIT ?1)";
        let step = dropped(tx.db.prepare_cached(sql)?.execute([limit])?, limit);
        all = Dropped { count: all.count + step.count, more: step.more };
    }
    Ok(all)
}

/// Drops sessions and links that have expired.
pub(super) fn drop_signins(tx: &Tx<'_>, horizon: Timestamp, limit: i64) -> Done<Dropped> {
    let mut count = 0;
    for sql in [
        "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires < ?1 LIMIT ?2)",
        "DELETE FROM signin_links WHERE hash IN (SELECT hash FROM signin_links WHERE expires < ?1 LIMIT ?2)",
    ] {
        count += tx.db.prepare_cached(sql)?.execute(params![horizon.0, limit])?;
    }
    Ok(dropped(count, limit))
}

/// The first rows that are older than `horizon`, at most `limit`: those of `sql` up to the first that is not.
fn prefix(tx: &Tx<'_>, sql: &str, horizon: Timestamp, limit: i64) -> Done<Vec<i64>> {
    let mut select = tx.db.prepare_cached(sql)?;
    let mut rows = select.query([limit])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= horizon.0 {
            break;
        }
        old.push(row.get(0)?);
    }
    Ok(old)
}

fn delete_each(tx: &Tx<'_>, sql: &str, ids: &[i64]) -> Done<()> {
    let mut delete = tx.db.prepare_cached(sql)?;
    for id in ids {
        delete.execute([id])?;
    }
    Ok(())
}

fn dropped(count: usize, limit: i64) -> Dropped {
    Dropped { count: count as u64, more: count as i64 >= limit }
}
