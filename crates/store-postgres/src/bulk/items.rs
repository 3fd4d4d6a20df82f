//! The tasks of jobs.

use std::collections::HashMap;

use taskplane_model::bulk::{BulkItem, BulkItemState, BulkJob, BulkOutcome, BulkState};
use taskplane_model::{TaskState, Timestamp};
use taskplane_store::Result;
use taskplane_store::backend::{corrupt, ids, paging};
use taskplane_store::bulk::{AwaitedItem, NewBulkItem};
use taskplane_store::tasks::Page;
use tokio_postgres::Row;

use super::jobs;
use crate::PostgresStore;
use crate::locks::project_number;
use crate::session::{Session, column};
use crate::tasks::get;
use crate::text::Text;

/// The columns of a [`BulkItem`].
macro_rules! columns {
    () => {
        "key, engine, task_id, name, state, new_task_id, outcome, code, message"
    };
}
pub(super) use columns;

/// Notes tasks for a job that is being prepared.
pub(super) async fn add(store: &PostgresStore, project: u64, id: &str, items: &[NewBulkItem]) -> Result<bool> {
    let tx = store.begin_in(project).await?;
    let found = jobs::find(&tx, project, id).await?.filter(|(_, job)| job.state == BulkState::Preparing);
    let Some((number, mut job)) = found else {
        tx.commit().await?;
        return Ok(false);
    };
    let sql = "INSERT INTO bulk_items (project, job, key, lane, state, outcome, engine, task_id, name)
        SELECT $1, $2, u.key, u.lane, 0, 0, u.engine, u.task_id, u.name
        FROM unnest($3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[]) AS u (key, lane, engine, task_id, name)
        ON CONFLICT (job, key) DO NOTHING";
    let keys: Vec<i64> = items.iter().map(|item| item.key).collect();
    let lanes: Vec<i32> = items.iter().map(|item| i32::try_from(item.lane).unwrap_or(i32::MAX)).collect();
    let engines = Text::all(items.iter().map(|item| item.engine.as_str()));
    let task_ids = Text::all(items.iter().map(|item| item.task_id.as_str()));
    let names: Vec<_> = items.iter().map(|item| item.name.as_deref().map(Text)).collect();
    let added =
        tx.execute(sql, &[&project_number(project), &number, &keys, &lanes, &engines, &task_ids, &names]).await?;
    job.counts.total += added;
    job.counts.waiting += added;
    jobs::keep(&tx, number, &job).await?;
    tx.commit().await?;
    Ok(true)
}

/// Retried tasks whose ends are waited for.
pub(super) async fn awaited(
    store: &PostgresStore,
    project: u64,
    id: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<AwaitedItem>> {
    let session = store.reading().await?;
    let Some((number, _)) = jobs::find(&session, project, id).await? else { return Ok(Vec::new()) };
    let sql =
        "SELECT key, engine, new_task_id FROM bulk_items WHERE job = $1 AND key > $2 AND state = 2 AND outcome = 0
        ORDER BY key LIMIT $3";
    let limit = limit.min(1_000) as i64;
    let mut wanted: Vec<(i64, (String, String))> = Vec::new();
    for row in session.query(sql, &[&number, &after, &limit]).await? {
        let (Text(engine), Text(new)) = (column(&row, 1)?, column(&row, 2)?);
        wanted.push((column(&row, 0)?, (engine, new)));
    }
    let names = store.names();
    let hashes: Vec<i64> = wanted.iter().map(|(_, (_, new))| ids::hash(names.seed, project, new)).collect();
    let tasks = get::with_hashes(names, &session, project, &hashes).await?;
    let states: HashMap<(String, String), TaskState> =
        tasks.into_iter().map(|task| ((task.engine, task.task_id), task.record.task().state)).collect();
    Ok(wanted.into_iter().map(|(key, task)| AwaitedItem { key, state: states.get(&task).copied() }).collect())
}

/// Notes how retried tasks have ended.
pub(super) async fn note_outcomes(
    store: &PostgresStore,
    project: u64,
    id: &str,
    outcomes: &[(i64, BulkOutcome)],
    now: Timestamp,
) -> Result<Option<BulkJob>> {
    let tx = store.begin_in(project).await?;
    let Some((number, mut job)) = jobs::find(&tx, project, id).await? else {
        tx.commit().await?;
        return Ok(None);
    };
    let sql =
        "UPDATE bulk_items i SET outcome = u.outcome FROM unnest($2::bigint[], $3::smallint[]) AS u (key, outcome)
        WHERE i.job = $1 AND i.key = u.key AND i.state = 2 AND i.outcome = 0 RETURNING i.outcome";
    let keys: Vec<i64> = outcomes.iter().map(|(key, _)| *key).collect();
    let numbers: Vec<i16> = outcomes.iter().map(|(_, outcome)| *outcome as i16).collect();
    for row in tx.query(sql, &[&number, &keys, &numbers]).await? {
        let outcome = u8::try_from(column::<i16>(&row, 0)?).ok().and_then(BulkOutcome::from_number);
        outcome.into_iter().for_each(|outcome| job.ended(outcome, now));
    }
    job.judge(now);
    jobs::keep(&tx, number, &job).await?;
    tx.commit().await?;
    Ok(Some(job))
}

/// Tasks of a job, oldest first.
pub(super) async fn list(
    session: &Session,
    project: u64,
    id: &str,
    state: Option<BulkItemState>,
    page: &Page,
) -> Result<(Vec<BulkItem>, Option<String>)> {
    let Some((number, _)) = jobs::find(session, project, id).await? else { return Ok((Vec::new(), None)) };
    let (above, most) = (paging::above(page), paging::fetch(page));
    let rows = match state.map(|state| state as i16) {
        None => {
            let sql =
                concat!("SELECT ", columns!(), " FROM bulk_items WHERE job = $1 AND key > $2 ORDER BY key LIMIT $3");
            session.query(sql, &[&number, &above, &most]).await?
        }
        Some(state) => {
            let sql = concat!(
                "SELECT ",
                columns!(),
                " FROM bulk_items WHERE job = $1 AND key > $2 AND state = $4 ORDER BY key LIMIT $3"
            );
            session.query(sql, &[&number, &above, &most, &state]).await?
        }
    };
    let found = rows.iter().map(|row| read(row).map(|item| (item.key, item))).collect::<Result<Vec<_>>>()?;
    Ok(paging::page(found, page))
}

/// Which of these tasks are in a job's hands, or will be.
pub(super) async fn in_jobs(session: &Session, project: u64, keys: &[i64]) -> Result<Vec<i64>> {
    let sending = jobs::sending(session, project).await?;
    let sql = "SELECT key FROM bulk_items WHERE project = $1 AND key = ANY($2) AND state IN (1, 2, 4)
        UNION SELECT key FROM bulk_items WHERE job = ANY($3) AND key = ANY($2) AND state = 0";
    let rows = session.query(sql, &[&project_number(project), &keys, &sending]).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// Reads `columns!`.
pub(super) fn read(row: &Row) -> Result<BulkItem> {
    let text = |at: usize| column::<Text<String>>(row, at).map(|text| text.0);
    let maybe = |at: usize| column::<Option<Text<String>>>(row, at).map(|text| text.map(|text| text.0));
    let number = |at: usize| column::<i16>(row, at).map(|number| u8::try_from(number).unwrap_or(u8::MAX));
    Ok(BulkItem {
        key: column(row, 0)?,
        engine: text(1)?,
        task_id: text(2)?,
        name: maybe(3)?,
        state: BulkItemState::from_number(number(4)?)
            .ok_or_else(|| corrupt("a task of a bulk job has an unknown state"))?,
        new_task_id: maybe(5)?,
        outcome: BulkOutcome::from_number(number(6)?),
        code: maybe(7)?,
        message: maybe(8)?,
    })
}
