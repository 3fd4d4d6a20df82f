//! One task, and the batches that told of it.

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::backend::ids;
use taskplane_store::tasks::{RawBatch, StoredTask};

use super::row::{TaskRow, stored_tasks, task_columns};
use crate::locks::project_number;
use crate::names::Names;
use crate::session::{Session, column};
use crate::text::Text;

/// One task.
pub(super) async fn task(
    names: &Names,
    session: &Session,
    project: u64,
    engine: &str,
    task_id: &str,
) -> Result<Option<StoredTask>> {
    let hash = ids::hash(names.seed, project, task_id);
    let found = with_hashes(names, session, project, &[hash]).await?;
    Ok(found.into_iter().find(|task| task.engine == engine && task.task_id == task_id))
}

/// The raw batches that told of a task, oldest first.
pub(super) async fn batches(
    names: &Names,
    session: &Session,
    project: u64,
    engine: &str,
    task_id: &str,
) -> Result<Vec<RawBatch>> {
    let Some(task) = task(names, session, project, engine, task_id).await? else { return Ok(Vec::new()) };
    let numbers: Vec<i64> = task.record.batches.iter().map(|number| number.cast_signed()).collect();
    let sql = "SELECT a.name, b.seq, b.received_at, b.body FROM batches b
        LEFT JOIN streams s ON s.id = b.stream LEFT JOIN agents a ON a.id = s.agent
        WHERE b.id = ANY($1) ORDER BY b.id";
    let rows = session.query(sql, &[&numbers]).await?;
    let batch = |row: &tokio_postgres::Row| {
        Ok(RawBatch {
            agent: column::<Option<Text<String>>>(row, 0)?.map(|name| name.0).unwrap_or_default(),
            seq: column::<i64>(row, 1)?.cast_unsigned(),
            received_at: Timestamp(column(row, 2)?),
            compressed: column(row, 3)?,
        })
    };
    rows.iter().map(batch).collect()
}

/// Tasks at keys, newest first.
pub(crate) async fn load(names: &Names, session: &Session, project: u64, keys: &[i64]) -> Result<Vec<StoredTask>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql = concat!("SELECT ", task_columns!(), " FROM tasks WHERE project = $1 AND key = ANY($2) ORDER BY key DESC");
    let rows = session.query(sql, &[&project_number(project), &keys]).await?;
    let rows = rows.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
    stored_tasks(names, session, &rows).await
}

/// Tasks whose ids have one of these hashes: nearly always those that are meant.
pub(crate) async fn with_hashes(
    names: &Names,
    session: &Session,
    project: u64,
    hashes: &[i64],
) -> Result<Vec<StoredTask>> {
    // The hash is of the project, too. Said to the planner, the project might lead it to an index of all tasks.
    let sql = concat!("SELECT ", task_columns!(), " FROM tasks WHERE hash = ANY($1)");
    let rows = session.query(sql, &[&hashes]).await?;
    let mut rows = rows.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
    rows.retain(|row| row.brief.project == i64::from(project_number(project)));
    rows.sort_unstable_by_key(|row| row.brief.key);
    stored_tasks(names, session, &rows).await
}
