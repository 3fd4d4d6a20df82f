//! Rows that can be read, and that agree with each other.

use std::sync::Arc;

use taskplane_model::Timestamp;
use taskplane_store::backend::census;
use taskplane_store::backend::ids;
use taskplane_store::backend::search::{keys_place, place};
use taskplane_store::backend::stats::decode;
use tokio_postgres::Transaction;

use super::{Check, Checkup, Result, Row, SAMPLE, ToSql, column, from_postgres};
use crate::names::Texts;
use crate::tasks::row::{TaskRow, id_text, task_columns};
use crate::text::Text;

/// What to do about rows that make no sense.
const RESTORE: &str = "stop the brains, and restore a backup into an empty database";
/// A clock that is ahead of ours by so much is wrong, in microseconds.
const CLOCK_TOLERANCE: i64 = 60_000_000;
/// Rows read at once.
const PAGE: i64 = 5_000;

/// Looks at all tables; those that are made from others are left out when they are of an older version.
pub(super) async fn look(checkup: &mut Checkup, db: &mut Transaction<'_>, deep: bool, now: Timestamp, is_newest: bool) {
    if let Err(error) = look_at_tasks(checkup, db, deep).await {
        return checkup.unchecked(Check::Records, &error);
    }
    if let Err(error) = look_at_statistics(checkup, db, "rollups", deep).await {
        return checkup.unchecked(Check::Statistics, &error);
    }
    if let Err(error) = look_at_streams(checkup, db).await {
        return checkup.unchecked(Check::Streams, &error);
    }
    if let Err(error) = look_at_clock(checkup, db, now).await {
        return checkup.unchecked(Check::Clock, &error);
    }
    if is_newest {
        look_at_derived(checkup, db, deep, now).await;
    }
}

async fn look_at_derived(checkup: &mut Checkup, db: &Transaction<'_>, deep: bool, now: Timestamp) {
    if let Err(error) = look_at_statistics(checkup, db, "rollup_sums", deep).await {
        return checkup.unchecked(Check::Statistics, &error);
    }
    if let Err(error) = look_at_search(checkup, db).await {
        return checkup.unchecked(Check::Search, &error);
    }
    if let Err(error) = look_at_retention(checkup, db, now).await {
        checkup.unchecked(Check::Retention, &error);
    }
}

async fn rows(db: &Transaction<'_>, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
    db.query(sql, values).await.map_err(|error| from_postgres(&error))
}

/// How much of a table to read, in percent, for a sample of its rows.
async fn share(db: &Transaction<'_>, table: &str) -> Result<f64> {
    let found = rows(db, "SELECT reltuples::float8 FROM pg_class WHERE oid = to_regclass($1)", &[&table]).await?;
    let rows: f64 = found.first().map_or(Ok(0.0), |row| column(row, 0))?;
    Ok((200.0 * SAMPLE as f64 / rows.max(1.0)).min(100.0))
}

/// What was looked at.
#[derive(Default)]
struct Looked {
    rows: usize,
    unreadable: usize,
    lost: usize,
    first: Option<String>,
}

/// Records can be read, and tasks are found by their ids.
async fn look_at_tasks(checkup: &mut Checkup, db: &Transaction<'_>, deep: bool) -> Result<()> {
    let sql = "SELECT value FROM settings WHERE name = 'task_id_seed'";
    let seed: i64 = column(rows(db, sql, &[]).await?.first().ok_or_else(|| super::corrupt("there is no seed"))?, 0)?;
    let mut looked = Looked::default();
    if deep {
        let sql = concat!(
            "SELECT ",
            task_columns!(),
            ", hash FROM tasks WHERE (project, key) > ($1, $2) ORDER BY project, key LIMIT $3"
        );
        let mut after = (i32::MIN, i64::MIN);
        loop {
            let page = rows(db, sql, &[&after.0, &after.1, &PAGE]).await?;
            let Some(last) = page.last() else { break };
            after = (column(last, 1)?, column(last, 0)?);
            look_at_page(db, &page, seed.cast_unsigned(), &mut looked).await?;
        }
    } else {
        let share = share(db, "tasks").await?;
        let sql = concat!("SELECT ", task_columns!(), ", hash FROM tasks TABLESAMPLE SYSTEM ($1) LIMIT $2");
        let page = rows(db, sql, &[&(share as f32), &(SAMPLE as i64)]).await?;
        look_at_page(db, &page, seed.cast_unsigned(), &mut looked).await?;
    }
    let Looked { rows, unreadable, lost, first } = looked;
    if lost > 0 {
        checkup.problem(Check::TaskIds, format!("{lost} of {rows} tasks are not found by their ids"), RESTORE);
    } else {
        checkup.ok(Check::TaskIds, format!("{rows} tasks are found by their ids"));
    }
    match first {
        None => checkup.ok(Check::Records, format!("{rows} task records can be read")),
        Some(first) => {
            let found = format!("{unreadable} of {rows} task records cannot be read: {first}");
            checkup.problem(Check::Records, found, RESTORE);
        }
    }
    Ok(())
}

async fn look_at_page(db: &Transaction<'_>, page: &[Row], seed: u64, looked: &mut Looked) -> Result<()> {
    let tasks = page.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
    let numbers: Vec<i32> =
        tasks.iter().flat_map(TaskRow::terms).filter_map(|number| i32::try_from(number).ok()).collect();
    let mut texts = Texts::default();
    for row in rows(db, "SELECT id, text FROM terms WHERE id = ANY($1)", &[&numbers]).await? {
        let text: Text<String> = column(&row, 1)?;
        texts.insert(i64::from(column::<i32>(&row, 0)?), Arc::from(text.0));
    }
    for (task, row) in tasks.iter().zip(page) {
        looked.rows += 1;
        let hash: i64 = column(row, 9)?;
        let read = id_text(&task.task_id).and_then(|id| task.record(&texts).map(|_| id));
        match read {
            Ok(id) => looked.lost += usize::from(ids::hash(seed, task.brief.project.cast_unsigned(), &id) != hash),
            Err(error) => {
                looked.unreadable += 1;
                looked.first.get_or_insert_with(|| error.to_string());
            }
        }
    }
    Ok(())
}

async fn look_at_statistics(checkup: &mut Checkup, db: &Transaction<'_>, table: &str, deep: bool) -> Result<()> {
    let share = if deep { 100.0 } else { share(db, table).await? };
    let most = if deep { i64::MAX } else { SAMPLE as i64 };
    let sql = format!("SELECT data FROM {table} TABLESAMPLE SYSTEM ($1) LIMIT $2");
    let (mut looked, mut wrong) = (0, None);
    for row in rows(db, &sql, &[&(share as f32), &most]).await? {
        looked += 1;
        if let Err(error) = decode(column(&row, 0)?) {
            wrong = Some(error);
        }
    }
    match wrong {
        None => checkup.ok(Check::Statistics, format!("{looked} rows of {table} can be read")),
        Some(error) => checkup.problem(Check::Statistics, format!("{table} cannot be read: {error}"), RESTORE),
    }
    Ok(())
}

/// Every segment of the search index has its rows, and every row its segment.
async fn look_at_search(checkup: &mut Checkup, db: &Transaction<'_>) -> Result<()> {
    // Steps from segment to segment through the index, rather than through all rows.
    let sql = "WITH RECURSIVE of(segment) AS (SELECT min(place) / $1 FROM search_buckets UNION ALL
            SELECT (SELECT min(place) / $1 FROM search_buckets WHERE place >= (of.segment + 1) * $1)
            FROM of WHERE of.segment IS NOT NULL)
        SELECT (SELECT count(*) FROM search_segments),
            (SELECT count(*) FROM search_segments s WHERE s.low >= s.high OR s.tasks <= 0
                OR NOT EXISTS (SELECT FROM search_buckets b WHERE b.place = s.id * $1 + $2)),
            (SELECT count(*) FROM of WHERE segment IS NOT NULL AND segment NOT IN (SELECT id FROM search_segments)),
            (SELECT count(*) FROM search_state WHERE indexed_until <= indexing_until)";
    let found = rows(db, sql, &[&place(1, 0), &keys_place(0)]).await?;
    let numbers = found.first().map(|row| Ok([column(row, 0)?, column(row, 1)?, column(row, 2)?, column(row, 3)?]));
    let [segments, wrong, strays, states]: [i64; 4] = numbers.transpose()?.unwrap_or_default();
    // Censuses have their rows, do not overlap, and do not reach beyond what is noted.
    let sql = "SELECT count(*), count(*) FILTER (WHERE low >= high OR tasks <= 0 OR low < before
                OR high > (SELECT taking_until FROM census_state)
                OR NOT EXISTS (SELECT FROM census_rows r WHERE r.place = c.id * $1))
        FROM (SELECT id, low, high, tasks, lag(high) OVER (ORDER BY low) AS before FROM censuses) AS c";
    let found = rows(db, sql, &[&census::place(1, 0)]).await?;
    let numbers = found.first().map(|row| Ok([column(row, 0)?, column(row, 1)?]));
    let [censuses, broken]: [i64; 2] = numbers.transpose()?.unwrap_or_default();
    if broken > 0 {
        let found = format!("{broken} of {censuses} censuses, from which tasks are counted, are not whole");
        checkup.problem(Check::Search, found, RESTORE);
    } else if (wrong, strays, states) == (0, 0, 1) {
        let found = format!("{segments} segments of the search index and {censuses} censuses are whole");
        checkup.ok(Check::Search, found);
    } else {
        let says = if states == 1 { "" } else { "; where the indexer stands makes no sense" };
        let found =
            format!("{wrong} of {segments} segments of the search index are not whole, {strays} are left over{says}");
        checkup.problem(Check::Search, found, RESTORE);
    }
    Ok(())
}

/// Nothing was dropped that has not happened yet.
async fn look_at_retention(checkup: &mut Checkup, db: &Transaction<'_>, now: Timestamp) -> Result<()> {
    let sql = r"SELECT
        (SELECT count(*) FROM settings WHERE (name LIKE '%tasks\_dropped\_below\_%' OR name = 'search_forgotten_below')
            AND value NOT BETWEEN 0 AND $1),
        (SELECT count(*) FROM rollup_horizons WHERE minutes > $2 OR minutes < hours OR hours < days)";
    let found = rows(db, sql, &[&ids::least_key(now), &now.minute()]).await?;
    let numbers = found.first().map(|row| Ok([column(row, 0)?, column(row, 1)?])).transpose()?;
    let wrong: [i64; 2] = numbers.unwrap_or_default();
    if wrong == [0, 0] {
        checkup.ok(Check::Retention, "what was dropped lies in the past");
    } else {
        let found = "the places up to which things were dropped make no sense, or this machine's clock is behind";
        checkup.problem(Check::Retention, found, format!("correct the clock, or {RESTORE}"));
    }
    Ok(())
}

/// No stream stands before the newest of its batches, and every one has an agent.
async fn look_at_streams(checkup: &mut Checkup, db: &Transaction<'_>) -> Result<()> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE s.last_seq < (SELECT max(b.seq) FROM batches b WHERE b.stream = s.id)),
        count(*) FILTER (WHERE NOT EXISTS (SELECT FROM agents a WHERE a.id = s.agent)) FROM streams s";
    let found = rows(db, sql, &[]).await?;
    let numbers = found.first().map(|row| Ok([column(row, 0)?, column(row, 1)?, column(row, 2)?])).transpose()?;
    let [streams, behind, orphans]: [i64; 3] = numbers.unwrap_or_default();
    if behind == 0 {
        checkup.ok(Check::Streams, format!("{streams} streams stand where their batches say"));
    } else {
        let found = format!("{behind} of {streams} streams stand before a batch of theirs that is stored");
        checkup.problem(Check::Streams, found, RESTORE);
    }
    if orphans == 0 {
        checkup.ok(Check::References, "streams lead to their agents");
    } else {
        checkup.problem(Check::References, format!("{orphans} streams have no agent"), RESTORE);
    }
    Ok(())
}

/// The newest batch was not received in the future.
async fn look_at_clock(checkup: &mut Checkup, db: &Transaction<'_>, now: Timestamp) -> Result<()> {
    let found = rows(db, "SELECT received_at FROM batches ORDER BY id DESC LIMIT 1", &[]).await?;
    let newest = found.first().map(|row| column(row, 0).map(Timestamp)).transpose()?;
    match newest {
        Some(newest) if newest > now.plus(CLOCK_TOLERANCE) => {
            let found = format!("the newest batch was received at {newest}, and now it is {now}");
            checkup.warning(Check::Clock, found, "correct the clocks of the brains and of this machine");
        }
        Some(newest) => checkup.ok(Check::Clock, format!("the newest batch was received at {newest}")),
        None => checkup.ok(Check::Clock, "no batch was received yet"),
    }
    Ok(())
}
