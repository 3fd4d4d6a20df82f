//! Taking tasks of a job in hand, and what became of them.

use std::collections::HashMap;

use rusqlite::params;
use taskplane_model::Timestamp;
use taskplane_model::bulk::{BulkClaim, BulkEnd, BulkItem, BulkItemState, BulkJob};
use taskplane_store::bulk::{BulkClaimRequest, MAX_LOOKED_AT, codes};

use super::{items, jobs};
use crate::errors::Done;
use crate::readers::View;
use crate::tasks::row::task_row;
use crate::writer::Tx;

/// Takes waiting tasks of a lane in hand.
pub(super) fn claim(
    tx: &Tx<'_>,
    project: u64,
    id: &str,
    request: &BulkClaimRequest,
    now: Timestamp,
) -> Done<Option<(BulkJob, Vec<BulkItem>)>> {
    let Some((number, mut job)) = jobs::find(tx.db, project, id)? else { return Ok(None) };
    let most = job.allowance(now) as usize;
    let mut taken = Vec::new();
    if most == 0 {
        return Ok(Some((job, taken)));
    }
    let claim = "UPDATE bulk_items SET state = 1, command = ?3 WHERE job = ?1 AND key = ?2";
    let refuse = "UPDATE bulk_items SET state = 3, code = ?3 WHERE job = ?1 AND key = ?2";
    let (mut claim, mut refuse) = (tx.db.prepare_cached(claim)?, tx.db.prepare_cached(refuse)?);
    for item in waiting(tx, number, request.lane)? {
        if taken.len() == most {
            break;
        }
        match why_not(tx, &job, &item)? {
            Some(code) => {
                refuse.execute(params![number, item.key, code])?;
                job.refused_unsent(code);
            }
            None => {
                claim.execute(params![number, item.key, request.command])?;
                taken.push(BulkItem { state: BulkItemState::Claimed, ..item });
            }
        }
    }
    if !taken.is_empty() {
        let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        job.claimed(BulkClaim { command: request.command.clone(), count, at: now }, now);
    }
    job.judge(now);
    jobs::keep(tx, number, &job)?;
    Ok(Some((job, taken)))
}

fn waiting(tx: &Tx<'_>, number: i64, lane: u32) -> Done<Vec<BulkItem>> {
    let columns = items::COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM bulk_items WHERE job = ?1 AND lane = ?2 AND state = 0 ORDER BY key LIMIT {MAX_LOOKED_AT}"
    );
    let mut select = tx.db.prepare_cached(&sql)?;
    let mut rows = select.query(params![number, lane])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(items::read(row)?);
    }
    Ok(found)
}

/// Why a task is not to be sent, if it is not.
fn why_not(tx: &Tx<'_>, job: &BulkJob, item: &BulkItem) -> Done<Option<&'static str>> {
    let view = View { db: tx.db, names: &tx.caches.names };
    let Some(task) = task_row(&view, item.key)?.map(|row| row.task(&view)).transpose()? else {
        return Ok(Some(codes::DROPPED));
    };
    if task.record.retried_as.is_some() {
        return Ok(Some(codes::ALREADY_RETRIED));
    }
    if !job.takes(task.record.task().state) {
        return Ok(Some(codes::STATE_CHANGED));
    }
    let held = "SELECT 1 FROM bulk_items WHERE key = ?1 AND state IN (1, 2, 4)";
    if tx.db.prepare_cached(held)?.exists([item.key])? {
        return Ok(Some(codes::IN_ANOTHER_JOB));
    }
    let retried = "SELECT 1 FROM commands WHERE project = ?1 AND task_id = ?2 AND cmd = 'retry_task'
        AND status IN (0, 1, 4, 5)";
    let is_retried = tx.db.prepare_cached(retried)?.exists(params![job.project.cast_signed(), item.task_id])?;
    Ok(is_retried.then_some(codes::MAYBE_RETRIED))
}

/// Notes what became of the tasks of a command.
pub(super) fn settle(
    tx: &Tx<'_>,
    project: u64,
    id: &str,
    command: &str,
    ends: Vec<(String, BulkEnd)>,
    now: Timestamp,
) -> Done<Option<BulkJob>> {
    let Some((number, mut job)) = jobs::find(tx.db, project, id)? else { return Ok(None) };
    if !job.settled(command, now) {
        return Ok(Some(job));
    }
    let sql = "SELECT key, task_id FROM bulk_items WHERE job = ?1 AND state = 1 AND command = ?2";
    let mut select = tx.db.prepare_cached(sql)?;
    let claimed = select.query_map(params![number, command], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let claimed = claimed.collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    let sql = "UPDATE bulk_items SET state = ?3, new_task_id = ?4, code = ?5, message = ?6 WHERE job = ?1 AND key = ?2";
    let mut update = tx.db.prepare_cached(sql)?;
    let mut ends: HashMap<String, BulkEnd> = ends.into_iter().collect();
    for (key, task_id) in claimed {
        let end = ends.remove(&task_id).unwrap_or_else(BulkEnd::unanswered);
        let (state, new, code, message) = end.columns();
        update.execute(params![number, key, state as u8, new, code, message])?;
        job.answered(&end);
    }
    job.judge(now);
    jobs::keep(tx, number, &job)?;
    Ok(Some(job))
}
