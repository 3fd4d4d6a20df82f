//! Taking tasks of a job in hand, and what became of them.

use std::collections::{HashMap, HashSet};

use taskplane_model::Timestamp;
use taskplane_model::bulk::{BulkClaim, BulkEnd, BulkItem, BulkItemState, BulkJob};
use taskplane_store::Result;
use taskplane_store::bulk::{BulkClaimRequest, MAX_LOOKED_AT, codes};
use taskplane_store::tasks::StoredTask;

use super::{items, jobs};
use crate::PostgresStore;
use crate::locks::project_number;
use crate::session::{Tx, column};
use crate::tasks::get;
use crate::text::{Text, maybe};

/// What is known of tasks that may be taken in hand.
struct Known {
    tasks: HashMap<i64, StoredTask>,
    held: HashSet<i64>,
    retried: HashSet<String>,
}

/// Takes waiting tasks of a lane in hand.
pub(super) async fn claim(
    store: &PostgresStore,
    project: u64,
    id: &str,
    request: &BulkClaimRequest,
    now: Timestamp,
) -> Result<Option<(BulkJob, Vec<BulkItem>)>> {
    let tx = store.begin_in(project).await?;
    let Some((number, mut job)) = jobs::find(&tx, project, id).await? else {
        tx.commit().await?;
        return Ok(None);
    };
    let most = job.allowance(now) as usize;
    let mut taken: Vec<BulkItem> = Vec::new();
    if most == 0 {
        tx.commit().await?;
        return Ok(Some((job, taken)));
    }
    let waiting = waiting(&tx, number, request.lane).await?;
    let known = known(store, &tx, project, &waiting).await?;
    let mut refused: Vec<(i64, &'static str)> = Vec::new();
    for item in waiting {
        if taken.len() == most {
            break;
        }
        match why_not(&job, &known, &item) {
            Some(code) => {
                refused.push((item.key, code));
                job.refused_unsent(code);
            }
            None => taken.push(BulkItem { state: BulkItemState::Claimed, ..item }),
        }
    }
    if !refused.is_empty() {
        let sql =
            "UPDATE bulk_items i SET state = 3, code = u.code FROM unnest($2::bigint[], $3::text[]) AS u (key, code)
            WHERE i.job = $1 AND i.key = u.key";
        let (keys, codes): (Vec<i64>, Vec<&str>) = refused.into_iter().unzip();
        tx.execute(sql, &[&number, &keys, &codes]).await?;
    }
    if !taken.is_empty() {
        let sql = "UPDATE bulk_items SET state = 1, command = $3 WHERE job = $1 AND key = ANY($2)";
        let keys: Vec<i64> = taken.iter().map(|item| item.key).collect();
        tx.execute(sql, &[&number, &keys, &Text(&request.command)]).await?;
        let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        job.claimed(BulkClaim { command: request.command.clone(), count, at: now }, now);
    }
    job.judge(now);
    jobs::keep(&tx, number, &job).await?;
    tx.commit().await?;
    Ok(Some((job, taken)))
}

async fn waiting(tx: &Tx, number: i64, lane: u32) -> Result<Vec<BulkItem>> {
    let sql = concat!(
        "SELECT ",
        items::columns!(),
        " FROM bulk_items WHERE job = $1 AND lane = $2 AND state = 0 ORDER BY key LIMIT $3"
    );
    let (lane, most) = (i32::try_from(lane).unwrap_or(i32::MAX), MAX_LOOKED_AT as i64);
    tx.query(sql, &[&number, &lane, &most]).await?.iter().map(items::read).collect()
}

async fn known(store: &PostgresStore, tx: &Tx, project: u64, waiting: &[BulkItem]) -> Result<Known> {
    let keys: Vec<i64> = waiting.iter().map(|item| item.key).collect();
    let number = project_number(project);
    let tasks = get::load(store.names(), tx, project, &keys).await?;
    let sql = "SELECT key FROM bulk_items WHERE project = $1 AND key = ANY($2) AND state IN (1, 2, 4)";
    let held = tx.query(sql, &[&number, &keys]).await?;
    let sql =
        "SELECT task_id FROM commands WHERE project = $1 AND md5(task_id) IN (SELECT md5(t) FROM unnest($2::text[]) t)
        AND task_id IS NOT NULL AND cmd = 'retry_task' AND status IN (0, 1, 4, 5)";
    let ids = Text::all(waiting.iter().map(|item| item.task_id.as_str()));
    let retried = tx.query(sql, &[&number, &ids]).await?;
    Ok(Known {
        tasks: tasks.into_iter().map(|task| (task.key, task)).collect(),
        held: held.iter().map(|row| column(row, 0)).collect::<Result<_>>()?,
        retried: retried.iter().map(|row| Ok(column::<Text<String>>(row, 0)?.0)).collect::<Result<_>>()?,
    })
}

/// Why a task is not to be sent, if it is not.
fn why_not(job: &BulkJob, known: &Known, item: &BulkItem) -> Option<&'static str> {
    match known.tasks.get(&item.key) {
        None => Some(codes::DROPPED),
        Some(task) if task.record.retried_as.is_some() => Some(codes::ALREADY_RETRIED),
        Some(task) if !job.takes(task.record.task().state) => Some(codes::STATE_CHANGED),
        Some(_) if known.held.contains(&item.key) => Some(codes::IN_ANOTHER_JOB),
        Some(_) => known.retried.contains(&item.task_id).then_some(codes::MAYBE_RETRIED),
    }
}

/// Notes what became of the tasks of a command.
pub(super) async fn settle(
    store: &PostgresStore,
    project: u64,
    id: &str,
    command: &str,
    ends: Vec<(String, BulkEnd)>,
    now: Timestamp,
) -> Result<Option<BulkJob>> {
    let tx = store.begin_in(project).await?;
    let Some((number, mut job)) = jobs::find(&tx, project, id).await? else {
        tx.commit().await?;
        return Ok(None);
    };
    if !job.settled(command, now) {
        tx.commit().await?;
        return Ok(Some(job));
    }
    let sql = "SELECT key, task_id FROM bulk_items WHERE job = $1 AND state = 1 AND command = $2";
    let mut ends: HashMap<String, BulkEnd> = ends.into_iter().collect();
    let mut settled: Vec<(i64, BulkEnd)> = Vec::new();
    for row in tx.query(sql, &[&number, &Text(command)]).await? {
        let Text(task_id): Text<String> = column(&row, 1)?;
        let end = ends.remove(&task_id).unwrap_or_else(BulkEnd::unanswered);
        job.answered(&end);
        settled.push((column(&row, 0)?, end));
    }
    let sql = "UPDATE bulk_items i SET state = u.state, new_task_id = u.new, code = u.code, message = u.message
        FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[]) AS u (key, state, new, code, message)
        WHERE i.job = $1 AND i.key = u.key";
    let keys: Vec<i64> = settled.iter().map(|(key, _)| *key).collect();
    let columns: Vec<_> = settled.iter().map(|(_, end)| end.columns()).collect();
    let states: Vec<i16> = columns.iter().map(|(state, ..)| *state as i16).collect();
    let new: Vec<_> = columns.iter().map(|(_, new, ..)| maybe(*new)).collect();
    let code: Vec<_> = columns.iter().map(|(_, _, code, _)| maybe(*code)).collect();
    let message: Vec<_> = columns.iter().map(|(.., message)| maybe(*message)).collect();
    tx.execute(sql, &[&number, &keys, &states, &new, &code, &message]).await?;
    job.judge(now);
    jobs::keep(&tx, number, &job).await?;
    tx.commit().await?;
    Ok(Some(job))
}
