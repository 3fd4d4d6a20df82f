//! The rows of jobs.

use taskplane_model::Timestamp;
use taskplane_model::bulk::{BulkChange, BulkJob};
use taskplane_store::Result;
use taskplane_store::access::NewAudit;
use taskplane_store::backend::paging;
use taskplane_store::tasks::Page;
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::access::audit;
use crate::locks::project_number;
use crate::session::{Session, Tx, column, json, to_json};
use crate::text::{Text, maybe};

/// Records a job; gives the one with the same key instead if there is one.
pub(super) async fn create(
    store: &PostgresStore,
    job: BulkJob,
    key: Option<String>,
    entry: &NewAudit,
) -> Result<(BulkJob, bool)> {
    let tx = store.begin_in(job.project).await?;
    let project = project_number(job.project);
    if let Some(key) = &key
        && let Some(known) = with_key(&tx, job.project, key).await?
    {
        tx.commit().await?;
        return Ok((known, false));
    }
    let sql = "INSERT INTO bulk_jobs (project, id, created_at, is_open, idempotency_key, data)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let data = to_json(&job)?;
    tx.execute(sql, &[&project, &Text(&job.id), &job.created_at.0, &job.is_open(), &maybe(key), &data]).await?;
    audit::append(&tx, job.project, entry, None, job.created_at).await?;
    tx.commit().await?;
    Ok((job, true))
}

/// Changes a job.
pub(super) async fn change(
    store: &PostgresStore,
    project: u64,
    id: &str,
    change: BulkChange,
    entry: Option<&NewAudit>,
    now: Timestamp,
) -> Result<Option<(BulkJob, bool)>> {
    let tx = store.begin_in(project).await?;
    let Some((number, mut job)) = find(&tx, project, id).await? else {
        tx.commit().await?;
        return Ok(None);
    };
    let changed = job.change(change, now);
    if changed {
        keep(&tx, number, &job).await?;
        if let Some(entry) = entry {
            audit::append(&tx, project, entry, None, now).await?;
        }
    }
    tx.commit().await?;
    Ok(Some((job, changed)))
}

/// A job and the number of its row.
pub(super) async fn find(session: &Session, project: u64, id: &str) -> Result<Option<(i64, BulkJob)>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE project = $1 AND id = $2";
    session.query_first(sql, &[&project_number(project), &Text(id)]).await?.map(|row| read(&row)).transpose()
}

/// The job with an idempotency key.
pub(super) async fn with_key(session: &Session, project: u64, key: &str) -> Result<Option<BulkJob>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE project = $1 AND idempotency_key = $2";
    let row = session.query_first(sql, &[&project_number(project), &Text(key)]).await?;
    row.map(|row| Ok(read(&row)?.1)).transpose()
}

/// Keeps what has changed of a job.
pub(super) async fn keep(tx: &Tx, number: i64, job: &BulkJob) -> Result<()> {
    let sql = "UPDATE bulk_jobs SET is_open = $2, data = $3 WHERE number = $1";
    tx.execute(sql, &[&number, &job.is_open(), &to_json(job)?]).await?;
    Ok(())
}

/// Jobs, newest first.
pub(super) async fn list(session: &Session, project: u64, page: &Page) -> Result<(Vec<BulkJob>, Option<String>)> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE project = $1 AND number < $2 ORDER BY number DESC LIMIT $3";
    let (below, most) = (paging::below(page), paging::fetch(page));
    let rows = session.query(sql, &[&project_number(project), &below, &most]).await?;
    Ok(paging::page(rows.iter().map(read).collect::<Result<_>>()?, page))
}

/// Numbers of the jobs of a project that will send what waits in them.
pub(super) async fn sending(session: &Session, project: u64) -> Result<Vec<i64>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE is_open AND project = $1 ORDER BY number LIMIT 1000";
    let rows = session.query(sql, &[&project_number(project)]).await?;
    let jobs = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(jobs.into_iter().filter(|(_, job)| job.will_send()).map(|(number, _)| number).collect())
}

/// Jobs of all projects that something is to be done for.
pub(super) async fn open(session: &Session) -> Result<Vec<BulkJob>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE is_open ORDER BY number LIMIT 1000";
    session.query(sql, &[]).await?.iter().map(|row| Ok(read(row)?.1)).collect()
}

fn read(row: &Row) -> Result<(i64, BulkJob)> {
    Ok((column(row, 0)?, json(row, 1)?))
}
