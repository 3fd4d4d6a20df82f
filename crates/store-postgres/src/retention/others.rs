//! Dropping what is not a task: raw events, statistics, records of what people did, sign-ins.

use taskplane_model::Timestamp;
use taskplane_model::time::MINUTE;
use taskplane_store::Result;
use taskplane_store::retention::{Dropped, Kept};

use super::{position, projects, set_position, space};
use crate::PostgresStore;
use crate::locks;
use crate::rollups;
use crate::session::{Session, Tx, Values, column};

/// A batch is so much more work to drop than a task: its body lies in pieces.
const BATCH_WEIGHT: i64 = 16;
/// Up to which number batches have been dropped.
const BATCHES_TO: &str = "batches_dropped_to";

/// Drops raw batches, in the order in which they came. Whoever looks for one that is gone takes what that means.
pub(super) async fn drop_batches(store: &PostgresStore, horizon: Timestamp, limit: i64) -> Result<Dropped> {
    let limit = (limit / BATCH_WEIGHT).max(1);
    let tx = begin(store).await?;
    let from = position(&tx, BATCHES_TO).await?;
    // As on SQLite, the newest stays.
    let sql =
        "SELECT id, received_at FROM batches WHERE id > $1 AND id < (SELECT max(id) FROM batches) ORDER BY id LIMIT $2";
    let old = prefix(&tx, sql, &[&from, &limit], horizon).await?;
    if let Some(last) = old.last() {
        tx.execute("DELETE FROM batches WHERE id = ANY($1)", &[&old]).await?;
        set_position(&tx, BATCHES_TO, *last).await?;
        space::count_now(&tx).await?;
    }
    tx.commit().await?;
    Ok(dropped(old.len(), limit))
}

/// When the oldest raw batch came.
pub(super) async fn oldest_batch(session: &Session) -> Result<Option<Timestamp>> {
    let from = position(session, BATCHES_TO).await?;
    let sql = "SELECT received_at FROM batches WHERE id > $1 ORDER BY id LIMIT 1";
    session.query_first(sql, &[&from]).await?.map(|row| column(&row, 0).map(Timestamp)).transpose()
}

/// Drops statistics of minutes, hours or days.
pub(super) async fn drop_statistics(
    store: &PostgresStore,
    what: Kept,
    horizon: Timestamp,
    limit: i64,
) -> Result<Dropped> {
    let (minute, limit) = (horizon.minute(), limit.cast_unsigned());
    let tx = store.begin().await?;
    let dropped = match what {
        Kept::Minutes => rollups::drop_minutes_below(&tx, minute, limit).await?,
        Kept::Hours => rollups::drop_hours_below(&tx, minute, limit).await?,
        _ => rollups::drop_days_below(&tx, minute, limit).await?,
    };
    tx.commit().await?;
    Ok(dropped)
}

/// The first minute of any project that has statistics; `sql` asks for that of one.
pub(super) async fn oldest_minute(session: &Session, sql: &'static str) -> Result<Option<Timestamp>> {
    let mut oldest = None;
    for project in projects(session).await? {
        let row = session.query_first(sql, &[&project]).await?;
        let minute: Option<i64> = row.map_or(Ok(None), |row| column(&row, 0))?;
        oldest = [oldest, minute].into_iter().flatten().min();
    }
    Ok(oldest.map(|minute| Timestamp(minute.saturating_mul(MINUTE))))
}

/// Drops audit entries, commands that have ended, events that were not understood, and runs of schedules.
pub(super) async fn drop_records(store: &PostgresStore, horizon: Timestamp, limit: i64) -> Result<Dropped> {
    let mut all = Dropped::default();
    for (find, delete) in [
        ("SELECT id, at FROM audit ORDER BY id LIMIT $1", "DELETE FROM audit WHERE id = ANY($1)"),
        ("SELECT id, received_at FROM quarantine ORDER BY id LIMIT $1", "DELETE FROM quarantine WHERE id = ANY($1)"),
        // Those that have not ended stay, and will end.
        (
            "SELECT number, created_at FROM commands WHERE status >= 2 ORDER BY number LIMIT $1",
            "DELETE FROM commands WHERE number = ANY($1)",
        ),
        // So do jobs. The tasks of one that goes are found by what it leaves behind.
        (
            "SELECT number, created_at FROM bulk_jobs WHERE NOT is_open ORDER BY number LIMIT $1",
            "DELETE FROM bulk_jobs WHERE number = ANY($1)",
        ),
        (
            "SELECT number, due FROM schedule_runs ORDER BY number LIMIT $1",
            "DELETE FROM schedule_runs WHERE number = ANY($1)",
        ),
    ] {
        let tx = store.begin().await?;
        // Ingest drops from the quarantine, too.
        let projects = projects(&tx).await?;
        tx.query(locks::PROJECTS, &[&projects]).await?;
        let old = prefix(&tx, find, &[&limit], horizon).await?;
        if !old.is_empty() {
            tx.execute(delete, &[&old]).await?;
        }
        tx.commit().await?;
        let step = dropped(old.len(), limit);
        all = Dropped { count: all.count + step.count, more: all.more || step.more };
        if all.more {
            break;
        }
    }
    if !all.more {
        let tx = begin(store).await?;
        let sql = "DELETE FROM bulk_items WHERE (job, key) IN (SELECT job, key FROM bulk_items
            WHERE job < coalesce((SELECT min(number) FROM bulk_jobs), 9223372036854775807) ORDER BY job, key LIMIT $1)";
        let count = tx.execute(sql, &[&limit]).await?;
        tx.commit().await?;
        all = Dropped { count: all.count + count, more: i64::try_from(count).unwrap_or(i64::MAX) >= limit };
    }
    Ok(all)
}

/// Drops sessions and links that have expired.
pub(super) async fn drop_signins(store: &PostgresStore, horizon: Timestamp, limit: i64) -> Result<Dropped> {
    let mut count = 0;
    for sql in [
        "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires < $1 LIMIT $2)",
        "DELETE FROM signin_links WHERE hash IN (SELECT hash FROM signin_links WHERE expires < $1 LIMIT $2)",
    ] {
        let tx = begin(store).await?;
        count += tx.execute(sql, &[&horizon.0, &limit]).await?;
        tx.commit().await?;
    }
    Ok(Dropped { count, more: i64::try_from(count).unwrap_or(i64::MAX) >= limit })
}

/// Begins a transaction that is alone in dropping these things. Nothing that ingest waits for is locked.
async fn begin(store: &PostgresStore) -> Result<Tx> {
    let tx = store.begin().await?;
    tx.query(locks::SWEEP, &[]).await?;
    Ok(tx)
}

/// The first rows that are older than `horizon`: those of `sql` up to the first that is not.
async fn prefix(tx: &Tx, sql: &'static str, values: Values<'_>, horizon: Timestamp) -> Result<Vec<i64>> {
    let mut old = Vec::new();
    for row in tx.query(sql, values).await? {
        if column::<i64>(&row, 1)? >= horizon.0 {
            break;
        }
        old.push(column(&row, 0)?);
    }
    Ok(old)
}

fn dropped(count: usize, limit: i64) -> Dropped {
    Dropped { count: count as u64, more: count as i64 >= limit }
}
