//! A task's row, without and with what its record is made of.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use taskplane_store::backend::plan::Brief;
use taskplane_store::tasks::StoredTask;

use crate::codec::{self, Frame};
use crate::errors::Done;
use crate::ids;
use crate::readers::View;

/// The columns of a [`Brief`].
macro_rules! brief_columns {
    () => {
        "key, project, engine, state, name, queue, worker"
    };
}
/// The columns of a [`TaskRow`].
macro_rules! task_columns {
    () => {
        "key, project, engine, state, name, queue, worker, task_id, record"
    };
}
pub(crate) use {brief_columns, task_columns};

/// A row as it is stored.
#[derive(Debug)]
pub(crate) struct TaskRow {
    pub(crate) brief: Brief,
    task_id: String,
    record: Vec<u8>,
}

/// Reads what `brief_columns!` names.
pub(crate) fn read_brief(row: &Row<'_>) -> rusqlite::Result<Brief> {
    Ok(Brief {
        key: row.get(0)?,
        project: row.get(1)?,
        engine: row.get(2)?,
        state: row.get(3)?,
        name: row.get(4)?,
        queue: row.get(5)?,
        worker: row.get(6)?,
    })
}

/// Id and record of what `task_columns!` names.
pub(super) fn id_and_record<'r>(row: &'r Row<'_>) -> Done<(ValueRef<'r>, &'r [u8])> {
    Ok((row.get_ref(7)?, row.get_ref(8)?.as_blob().map_err(rusqlite::Error::from)?))
}

/// The row at `key`.
pub(crate) fn task_row(view: &View<'_>, key: i64) -> Done<Option<TaskRow>> {
    let sql = concat!("SELECT ", task_columns!(), " FROM tasks WHERE key = ?1");
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query([key])?;
    rows.next()?.map(|row| TaskRow::read(read_brief(row)?, row)).transpose()
}

impl TaskRow {
    /// Reads what `task_columns!` names, of which the brief is known.
    pub(super) fn read(brief: Brief, row: &Row<'_>) -> Done<Self> {
        let (id, record) = id_and_record(row)?;
        Ok(Self { brief, task_id: ids::id_text(id)?, record: record.to_vec() })
    }

    /// Bytes that it takes up, about.
    pub(super) fn len(&self) -> usize {
        self.task_id.len() + self.record.len()
    }

    /// The task.
    pub(crate) fn task(self, view: &View<'_>) -> Done<StoredTask> {
        let Self { brief, task_id, record } = self;
        let names = view.names;
        let [engine, name, queue, worker] =
            [brief.engine, brief.name, brief.queue, brief.worker].map(|number| names.term(view.db, number));
        let (engine, name, queue, worker) = (engine?, name?, queue?, worker?);
        let first_seen = ids::instant_of(brief.key);
        let frame =
            Frame { base: first_seen, name: name.as_deref(), queue: queue.as_deref(), worker: worker.as_deref() };
        let record = codec::decode(&record, &frame)?;
        let mut agent = None;
        for number in record.agents.iter().rev() {
            agent = names.agent(view.db, *number)?;
            if agent.is_some() {
                break;
            }
        }
        Ok(StoredTask {
            key: brief.key,
            first_seen,
            engine: engine.as_deref().unwrap_or_default().to_owned(),
            task_id,
            agent: agent.as_deref().map(str::to_owned),
            record,
        })
    }
}
