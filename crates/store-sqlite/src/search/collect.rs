//! From tasks to segments.

use rusqlite::{OptionalExtension, Row};
use taskplane_store::backend::search::build::read_keys;
use taskplane_store::backend::search::steps::{Publication, is_indexed_since};
use taskplane_store::backend::search::{Builder, Built, Document, SEGMENT_TASKS, Segment, keys_place};

use super::segments;
use crate::codec::{self, Frame};
use crate::errors::Done;
use crate::ids;
use crate::readers::View;

/// All tasks from `low` on and below `high`, and the noted changes of them. With `may_end`, the segment ends where it is full.
pub(super) fn range(view: &View<'_>, low: i64, high: i64, may_end: bool) -> Done<Publication> {
    let mut builder = Builder::new(false);
    let sql = "SELECT key, engine, name, queue, worker, task_id, record FROM tasks NOT INDEXED
        WHERE key >= ?1 AND key < ?2 ORDER BY key";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query([low, high])?;
    let mut high = high;
    while let Some(row) = rows.next()? {
        if may_end && builder.is_full() {
            high = row.get(0)?;
            break;
        }
        add(view, &mut builder, row)?;
    }
    let mut select = view.db.prepare_cached("SELECT id FROM search_changes WHERE key >= ?1 AND key < ?2")?;
    let folded = select.query_map([low, high], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Publication { add: builder.finish(low, high), folded, ..Publication::default() })
}

/// Tasks whose changes are noted.
pub(super) fn patch(view: &View<'_>) -> Done<Publication> {
    let mut select = view.db.prepare_cached("SELECT id, key FROM search_changes ORDER BY id LIMIT ?1")?;
    let rows = select.query_map([SEGMENT_TASKS as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    let (folded, keys) = rows.into_iter().unzip();
    Ok(Publication { add: of_keys(view, keys)?, folded, ..Publication::default() })
}

/// The tasks of these patches that have not been indexed anew since.
pub(super) fn patch_of(view: &View<'_>, patches: &[Segment]) -> Done<Option<Built>> {
    let segments = segments(view.db, i64::MIN, i64::MAX)?;
    let mut keys = Vec::new();
    let mut select = view.db.prepare_cached("SELECT body FROM search_buckets WHERE place = ?1")?;
    for patch in patches {
        let body: Option<Vec<u8>> = select.query_row([keys_place(patch.id)], |row| row.get(0)).optional()?;
        let of_patch = read_keys(body.as_deref().unwrap_or_default())?;
        keys.extend(of_patch.into_iter().filter(|key| !is_indexed_since(*key, patch, &segments)));
    }
    of_keys(view, keys)
}

fn of_keys(view: &View<'_>, mut keys: Vec<i64>) -> Done<Option<Built>> {
    keys.sort_unstable();
    keys.dedup();
    let mut builder = Builder::new(true);
    let sql = "SELECT key, engine, name, queue, worker, task_id, record FROM tasks WHERE key = ?1";
    let mut select = view.db.prepare_cached(sql)?;
    for key in &keys {
        let mut rows = select.query([key])?;
        if let Some(row) = rows.next()? {
            add(view, &mut builder, row)?;
        }
    }
    let (Some(low), Some(high)) = (keys.first(), builder.last_key()) else { return Ok(None) };
    Ok(builder.finish(*low, high + 1))
}

fn add(view: &View<'_>, builder: &mut Builder, row: &Row<'_>) -> Done<()> {
    let key = row.get(0)?;
    let (engine, name, queue, worker) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
    let task_id = ids::id_text(row.get_ref(5)?)?;
    let bytes = row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?;
    let text = |number| view.names.term(view.db, number);
    let (of_name, of_queue, of_worker) = (text(name)?, text(queue)?, text(worker)?);
    let frame = Frame {
        base: ids::instant_of(key),
        name: of_name.as_deref(),
        queue: of_queue.as_deref(),
        worker: of_worker.as_deref(),
    };
    let record = codec::decode(bytes, &frame)?;
    builder.add(key, &Document { engine, name, queue, worker, task_id: &task_id, record: &record });
    Ok(())
}
