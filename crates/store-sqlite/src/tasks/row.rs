//! A task's row, without and with its record.

use rusqlite::{OptionalExtension, Row};
use taskplane_store::backend::plan::Brief;
use taskplane_store::tasks::StoredTask;

use crate::codec::{self, Frame};
use crate::errors::Done;
use crate::ids;
use crate::readers::View;

/// The numbers of a row, in the order of its columns.
pub(super) fn read_brief(row: &Row<'_>) -> rusqlite::Result<Brief> {
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

/// The numbers of the row at `key`.
pub(crate) fn brief(view: &View<'_>, key: i64) -> Done<Option<Brief>> {
    let sql = "SELECT key, project, engine, state, name, queue, worker FROM tasks WHERE key = ?1";
    Ok(view.db.prepare_cached(sql)?.query_row([key], read_brief).optional()?)
}

/// The task of a row.
pub(crate) fn stored_task(view: &View<'_>, brief: &Brief) -> Done<Option<StoredTask>> {
    let names = view.names;
    let [engine, name, queue, worker] =
        [brief.engine, brief.name, brief.queue, brief.worker].map(|number| names.term(view.db, number));
    let (engine, name, queue, worker) = (engine?, name?, queue?, worker?);
    let first_seen = ids::instant_of(brief.key);
    let frame = Frame { base: first_seen, name: name.as_deref(), queue: queue.as_deref(), worker: worker.as_deref() };
    let mut select = view.db.prepare_cached("SELECT task_id, record FROM tasks WHERE key = ?1")?;
    let mut rows = select.query([brief.key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let task_id = ids::id_text(row.get_ref(0)?)?;
    let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let record = codec::decode(bytes, &frame)?;
    let mut agent = None;
    for number in record.agents.iter().rev() {
        agent = names.agent(view.db, *number)?;
        if agent.is_some() {
            break;
        }
    }
    Ok(Some(StoredTask {
        key: brief.key,
        first_seen,
        engine: engine.as_deref().unwrap_or_default().to_owned(),
        task_id,
        agent: agent.as_deref().map(str::to_owned),
        record,
    }))
}
