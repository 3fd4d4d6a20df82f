//! The tasks of jobs.

use rusqlite::{Connection, Row, params};
use taskplane_model::Timestamp;
use taskplane_model::bulk::{BulkItem, BulkItemState, BulkJob, BulkOutcome, BulkState};
use taskplane_store::bulk::{AwaitedItem, NewBulkItem};
use taskplane_store::tasks::Page;

use super::jobs;
use crate::errors::{Done, Fault};
use crate::paging;
use crate::readers::View;
use crate::tasks::get;
use crate::writer::Tx;

/// The columns of a [`BulkItem`].
pub(super) const COLUMNS: &str = "key, engine, task_id, name, state, new_task_id, outcome, code, message";

/// Notes tasks for a job that is being prepared.
pub(super) fn add(tx: &Tx<'_>, project: u64, id: &str, items: &[NewBulkItem]) -> Done<bool> {
    let Some((number, mut job)) = jobs::find(tx.db, project, id)? else { return Ok(false) };
    if job.state != BulkState::Preparing {
        return Ok(false);
    }
    let sql = "INSERT INTO bulk_items (job, key, lane, state, outcome, engine, task_id, name)
        VALUES (?1, ?2, ?3, 0, 0, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let mut insert = tx.db.prepare_cached(sql)?;
    let mut added = 0;
    for NewBulkItem { key, lane, engine, task_id, name } in items {
        added += insert.execute(params![number, key, lane, engine, task_id, name])?;
    }
    job.counts.total += added as u64;
    job.counts.waiting += added as u64;
    jobs::keep(tx, number, &job)?;
    Ok(true)
}

/// Retried tasks whose ends are waited for.
pub(super) fn awaited(view: &View<'_>, project: u64, id: &str, after: i64, limit: usize) -> Done<Vec<AwaitedItem>> {
    let Some((number, _)) = jobs::find(view.db, project, id)? else { return Ok(Vec::new()) };
    let sql =
        "SELECT key, engine, new_task_id FROM bulk_items WHERE job = ?1 AND key > ?2 AND state = 2 AND outcome = 0
        ORDER BY key LIMIT ?3";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query(params![number, after, limit.min(1_000) as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, engine, new): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let state = get::task(view, project, &engine, &new)?.map(|task| task.record.task().state);
        found.push(AwaitedItem { key, state });
    }
    Ok(found)
}

/// Notes how retried tasks have ended.
pub(super) fn note_outcomes(
    tx: &Tx<'_>,
    project: u64,
    id: &str,
    outcomes: &[(i64, BulkOutcome)],
    now: Timestamp,
) -> Done<Option<BulkJob>> {
    let Some((number, mut job)) = jobs::find(tx.db, project, id)? else { return Ok(None) };
    let sql = "UPDATE bulk_items SET outcome = ?3 WHERE job = ?1 AND key = ?2 AND state = 2 AND outcome = 0";
    let mut update = tx.db.prepare_cached(sql)?;
    for (key, outcome) in outcomes {
        if update.execute(params![number, key, *outcome as u8])? == 1 {
            job.ended(*outcome, now);
        }
    }
    job.judge(now);
    jobs::keep(tx, number, &job)?;
    Ok(Some(job))
}

/// Tasks of a job, oldest first.
pub(super) fn list(
    db: &Connection,
    project: u64,
    id: &str,
    state: Option<BulkItemState>,
    page: &Page,
) -> Done<(Vec<BulkItem>, Option<String>)> {
    let Some((number, _)) = jobs::find(db, project, id)? else { return Ok((Vec::new(), None)) };
    let narrow = if state.is_some() { "AND state = ?4" } else { "AND ?4 IS NULL" };
    let sql = format!("SELECT {COLUMNS} FROM bulk_items WHERE job = ?1 AND key > ?2 {narrow} ORDER BY key LIMIT ?3");
    let mut select = db.prepare_cached(&sql)?;
    let state = state.map(|state| state as u8);
    let mut rows = select.query(params![number, paging::above(page), paging::fetch(page), state])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let item = read(row)?;
        found.push((item.key, item));
    }
    Ok(paging::page(found, page))
}

/// Which of these tasks are in a job's hands, or will be.
pub(super) fn in_jobs(db: &Connection, project: u64, keys: &[i64]) -> Done<Vec<i64>> {
    let sending = jobs::sending(db, project)?;
    let mut held = db.prepare_cached("SELECT 1 FROM bulk_items WHERE key = ?1 AND state IN (1, 2, 4)")?;
    let mut waits = db.prepare_cached("SELECT 1 FROM bulk_items WHERE job = ?1 AND key = ?2 AND state = 0")?;
    let mut found = Vec::new();
    for key in keys {
        let mut is_in = held.exists([key])?;
        for job in &sending {
            is_in = is_in || waits.exists(params![job, key])?;
        }
        if is_in {
            found.push(*key);
        }
    }
    Ok(found)
}

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> Done<BulkItem> {
    let state: u8 = row.get(4)?;
    Ok(BulkItem {
        key: row.get(0)?,
        engine: row.get(1)?,
        task_id: row.get(2)?,
        name: row.get(3)?,
        state: BulkItemState::from_number(state)
            .ok_or_else(|| Fault::corrupt("a task of a bulk job has an unknown state"))?,
        new_task_id: row.get(5)?,
        outcome: BulkOutcome::from_number(row.get(6)?),
        code: row.get(7)?,
        message: row.get(8)?,
    })
}
