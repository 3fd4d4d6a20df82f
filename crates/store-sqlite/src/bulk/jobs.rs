//! The rows of jobs.

use rusqlite::{Connection, OptionalExtension, Row, params};
use taskplane_model::Timestamp;
use taskplane_model::bulk::{BulkChange, BulkJob};
use taskplane_store::access::NewAudit;
use taskplane_store::tasks::Page;

use crate::access::audit;
use crate::errors::Done;
use crate::paging;
use crate::writer::Tx;

/// Records a job; gives the one with the same key instead if there is one.
pub(super) fn create(tx: &Tx<'_>, job: BulkJob, key: Option<&str>, entry: &NewAudit) -> Done<(BulkJob, bool)> {
    let project = job.project.cast_signed();
    if let Some(known) = key.map(|key| with_key(tx.db, job.project, key)).transpose()?.flatten() {
        return Ok((known, false));
    }
    let sql = "INSERT INTO bulk_jobs (project, id, created_at, is_open, idempotency_key, data)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let data = serde_json::to_string(&job)?;
    tx.db.prepare_cached(sql)?.execute(params![project, job.id, job.created_at.0, job.is_open(), key, data])?;
    audit::append(tx, job.project, entry, None, job.created_at)?;
    Ok((job, true))
}

/// Changes a job.
pub(super) fn change(
    tx: &Tx<'_>,
    project: u64,
    id: &str,
    change: BulkChange,
    entry: Option<&NewAudit>,
    now: Timestamp,
) -> Done<Option<(BulkJob, bool)>> {
    let Some((number, mut job)) = find(tx.db, project, id)? else { return Ok(None) };
    let changed = job.change(change, now);
    if changed {
        keep(tx, number, &job)?;
        entry.map_or(Ok(()), |entry| audit::append(tx, project, entry, None, now))?;
    }
    Ok(Some((job, changed)))
}

/// A job and the number of its row.
pub(super) fn find(db: &Connection, project: u64, id: &str) -> Done<Option<(i64, BulkJob)>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE project = ?1 AND id = ?2";
    let mut select = db.prepare_cached(sql)?;
    select.query_row(params![project.cast_signed(), id], |row| Ok(read(row))).optional()?.transpose()
}

/// The job with an idempotency key.
pub(super) fn with_key(db: &Connection, project: u64, key: &str) -> Done<Option<BulkJob>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE project = ?1 AND idempotency_key = ?2";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_row(params![project.cast_signed(), key], |row| Ok(read(row))).optional()?;
    Ok(found.transpose()?.map(|(_, job)| job))
}

/// Keeps what has changed of a job.
pub(super) fn keep(tx: &Tx<'_>, number: i64, job: &BulkJob) -> Done<()> {
    let sql = "UPDATE bulk_jobs SET is_open = ?2, data = ?3 WHERE number = ?1";
    tx.db.prepare_cached(sql)?.execute(params![number, job.is_open(), serde_json::to_string(job)?])?;
    Ok(())
}

/// Jobs, newest first.
pub(super) fn list(db: &Connection, project: u64, page: &Page) -> Done<(Vec<BulkJob>, Option<String>)> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE project = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query(params![project.cast_signed(), paging::below(page), paging::fetch(page)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(paging::page(found, page))
}

/// Numbers of the jobs of a project that will send what waits in them.
pub(super) fn sending(db: &Connection, project: u64) -> Done<Vec<i64>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE is_open = 1 AND project = ?1 ORDER BY number LIMIT 1000";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query([project.cast_signed()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, job) = read(row)?;
        found.extend(job.will_send().then_some(number));
    }
    Ok(found)
}

/// Jobs of all projects that something is to be done for.
pub(super) fn open(db: &Connection) -> Done<Vec<BulkJob>> {
    let sql = "SELECT number, data FROM bulk_jobs WHERE is_open = 1 ORDER BY number LIMIT 1000";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?.1);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Done<(i64, BulkJob)> {
    Ok((row.get(0)?, serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?))
}
