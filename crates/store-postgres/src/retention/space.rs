//! How much room the database takes.

use taskplane_store::Result;
use taskplane_store::retention::{Oldest, StorageReport};

use super::{others, tasks};
use crate::session::{Session, Tx, column};

/// The server knows what its files take up, not what of it is free. So the large tables are estimated: rows that are alive, by
/// the server's own count, times the mean size of the newest, with what page, tuple and index add to each. After a crash the server
/// counts from zero: until it looks at a table again, what it knew when it looked last is a part of the count.
const SIZES: &str = "SELECT pg_database_size(current_database()),
    (SELECT sum(pg_total_relation_size(t::regclass))::int8 FROM unnest(ARRAY['batches', 'tasks', 'task_links']) AS t),
    (SELECT avg(octet_length(body))::int8 FROM (SELECT body FROM batches ORDER BY id DESC LIMIT 64) AS newest),
    (SELECT avg(octet_length(record))::int8 FROM
        (SELECT record FROM tasks WHERE project = (SELECT min(id) FROM projects) ORDER BY key DESC LIMIT 256) AS newest)";
const ALIVE: &str = "SELECT CASE
        WHEN coalesce(s.last_vacuum, s.last_autovacuum, s.last_analyze, s.last_autoanalyze) IS NOT NULL THEN s.n_live_tup
        ELSE greatest(greatest(c.reltuples, 0)::int8 + s.n_tup_ins - s.n_tup_del, 0) END
    FROM unnest(ARRAY['batches', 'tasks', 'task_links']) WITH ORDINALITY AS t(name, at)
    JOIN pg_class c ON c.oid = t.name::regclass JOIN pg_stat_user_tables s ON s.relid = c.oid ORDER BY t.at";
/// Has the server count at the end of this transaction what it changed, rather than up to ten seconds later: whoever drops until
/// little enough is left would drop too much. Before PostgreSQL 15 the server cannot be told, and is half a second late.
const COUNT_NOW: &str = "SELECT 1 FROM pg_proc WHERE proname = 'pg_stat_force_next_flush'";
const HOURS: &str = "SELECT min(start) FROM rollup_sums WHERE project = $1 AND span = 60";
const DAYS: &str = "SELECT min(start) FROM rollup_sums WHERE project = $1 AND span = 1440";
/// Bytes of a row beside its body or record: columns, header, entries of indexes, room left on pages.
const BATCH_REST: i64 = 400;
const TASK_REST: i64 = 220;
const LINK: i64 = 110;

/// To be called in a transaction that drops rows of a large table.
pub(super) async fn count_now(tx: &Tx) -> Result<()> {
    if tx.query_first(COUNT_NOW, &[]).await?.is_some() {
        tx.query("SELECT pg_stat_force_next_flush()", &[]).await?;
    }
    Ok(())
}

/// How much room the database takes, and how far back it reaches.
pub(super) async fn report(session: &Session) -> Result<StorageReport> {
    let row = session.query_first(SIZES, &[]).await?;
    let number = |at: usize| row.as_ref().map_or(Ok(None), |row| column::<Option<i64>>(row, at));
    let or_0 = |at: usize| number(at).map(Option::unwrap_or_default);
    let (whole, large) = (or_0(0)?, or_0(1)?);
    let (body, record) = (or_0(2)?, or_0(3)?);
    let alive = session.query(ALIVE, &[]).await?;
    let alive = |at: usize| alive.get(at).map_or(Ok(0), |row| column::<i64>(row, 0));
    let (batches, tasks, links) = (alive(0)?, alive(1)?, alive(2)?);
    let alive = batches.saturating_mul(body + BATCH_REST) + tasks.saturating_mul(record + TASK_REST) + links * LINK;
    let free = large.saturating_sub(alive).clamp(0, large);
    let (of_tasks, of_all) = tasks::oldest(session).await?;
    Ok(StorageReport {
        used_bytes: (whole - free).max(0).cast_unsigned(),
        file_bytes: whole.cast_unsigned(),
        free_bytes: free.cast_unsigned(),
        log_bytes: None,
        gives_back: false,
        oldest: Oldest {
            events: others::oldest_batch(session).await?,
            tasks: of_tasks,
            failures: of_all,
            minutes: others::oldest_minute(session, "SELECT min(minute) FROM rollups WHERE project = $1").await?,
            hours: others::oldest_minute(session, HOURS).await?,
            days: others::oldest_minute(session, DAYS).await?,
        },
    })
}
