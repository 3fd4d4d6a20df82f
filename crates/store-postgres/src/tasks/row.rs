//! A task's row, without and with its record.

use taskplane_model::TaskRecord;
use taskplane_store::Result;
use taskplane_store::backend::codec::{self, Frame};
use taskplane_store::backend::plan::Brief;
use taskplane_store::backend::{corrupt, ids};
use taskplane_store::tasks::StoredTask;
use tokio_postgres::Row;

use crate::names::{Names, Texts};
use crate::session::{Session, column};

/// First byte of an id that is text, and of one that is a UUID.
const IS_TEXT: u8 = 0;
const IS_UUID: u8 = 1;

/// A row with its record, as [`Columns`](task_columns) names them.
#[derive(Debug)]
pub(crate) struct TaskRow {
    pub(crate) brief: Brief,
    pub(crate) task_id: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

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

/// Reads what `brief_columns!` names.
pub(crate) fn brief(row: &Row) -> Result<Brief> {
    let number = |at: usize| column::<i32>(row, at).map(i64::from);
    let state: i16 = column(row, 3)?;
    Ok(Brief {
        key: column(row, 0)?,
        project: number(1)?,
        engine: number(2)?,
        state: u8::try_from(state).map_err(|_| corrupt("a task has an unknown state"))?,
        name: number(4)?,
        queue: number(5)?,
        worker: number(6)?,
    })
}

impl TaskRow {
    /// Reads what `task_columns!` names.
    pub(crate) fn read(row: &Row) -> Result<Self> {
        Ok(Self { brief: brief(row)?, task_id: column(row, 7)?, bytes: column(row, 8)? })
    }

    /// Numbers of its terms.
    pub(crate) fn terms(&self) -> [i64; 4] {
        [self.brief.engine, self.brief.name, self.brief.queue, self.brief.worker]
    }

    /// The record; `texts` are those of the terms.
    pub(crate) fn record(&self, texts: &Texts) -> Result<TaskRecord> {
        let text = |number: i64| texts.get(&number).map(|text| &**text);
        let frame = Frame {
            base: ids::instant_of(self.brief.key),
            name: text(self.brief.name),
            queue: text(self.brief.queue),
            worker: text(self.brief.worker),
        };
        codec::decode(&self.bytes, &frame)
    }
}

/// The tasks of rows, in the same order.
pub(crate) async fn stored_tasks(names: &Names, session: &Session, rows: &[TaskRow]) -> Result<Vec<StoredTask>> {
    let texts = names.terms(session, rows.iter().flat_map(TaskRow::terms)).await?;
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        let key = row.brief.key;
        tasks.push(StoredTask {
            key,
            first_seen: ids::instant_of(key),
            engine: texts.get(&row.brief.engine).map(|text| text.as_ref().to_owned()).unwrap_or_default(),
            task_id: id_text(&row.task_id)?,
            agent: None,
            record: row.record(&texts)?,
        });
    }
    name_agents(names, session, tasks.iter_mut()).await?;
    Ok(tasks)
}

/// Says of tasks which agent told of them last.
pub(crate) async fn name_agents<'t>(
    names: &Names,
    session: &Session,
    tasks: impl Iterator<Item = &'t mut StoredTask>,
) -> Result<()> {
    let tasks: Vec<_> = tasks.collect();
    let agents = names.agents(session, tasks.iter().flat_map(|task| task.record.agents.iter().copied())).await?;
    for task in tasks {
        let mut latest_first = task.record.agents.iter().rev();
        let name = latest_first.find_map(|agent| agents.get(&agent.cast_signed()));
        task.agent = name.map(|name| name.as_ref().to_owned());
    }
    Ok(())
}

/// A task id in the form of its column.
pub(crate) fn id_column(task_id: &str) -> Vec<u8> {
    let uuid = ids::parse_uuid(task_id);
    let (kind, bytes) = uuid.as_ref().map_or((IS_TEXT, task_id.as_bytes()), |uuid| (IS_UUID, &uuid[..]));
    let mut column = Vec::with_capacity(bytes.len() + 1);
    column.push(kind);
    column.extend_from_slice(bytes);
    column
}

/// The id in a column.
pub(crate) fn id_text(column: &[u8]) -> Result<String> {
    match column.split_first() {
        Some((&IS_UUID, uuid)) => ids::uuid_text(uuid),
        Some((&IS_TEXT, text)) => String::from_utf8(text.to_vec()).map_err(|_| corrupt("a task id is not UTF-8")),
        _ => Err(corrupt("a task id is neither text nor a UUID")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were_written() {
        let uuid = "0b7f5a1e-3c4d-4e5f-8a9b-0c1d2e3f4a5b";
        for id in [uuid, &uuid.to_uppercase(), "job:1", "", "\0", "sixteen bytes ..", "Ünïcode"] {
            assert_eq!(id_text(&id_column(id)).expect("can be read"), id);
        }
        assert_eq!(id_column(uuid).len(), 17);
    }
}
