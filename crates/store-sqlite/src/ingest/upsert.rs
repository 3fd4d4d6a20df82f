//! The one path by which tasks change: find, merge, count, write.

use rusqlite::{Connection, Statement, params};
use taskplane_model::{TaskRecord, Timestamp};
use taskplane_store::StoreError;
use taskplane_store::backend::changes::Change;
use taskplane_store::backend::search::grew;
use taskplane_store::tasks::StoredTask;

use super::rollups::{self, Series};
use crate::census;
use crate::codec::{self, Frame};
use crate::errors::Done;
use crate::ids::{self, IdColumn};
use crate::links;
use crate::names::Names;
use crate::retention;
use crate::search;
use crate::task_ids;
use crate::writer::Tx;

const INSERT: &str = "INSERT INTO tasks (key, project, engine, task_id, state, name, queue, worker, record)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (key) DO NOTHING";
/// Keys searched for a free one: about a millisecond.
const KEY_WINDOW: i64 = 1 << 20;

/// A task's columns besides the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    state: u8,
    name: i64,
    queue: i64,
    worker: i64,
}

/// A task as it was before the change.
struct Known {
    key: i64,
    columns: Columns,
    bytes: Vec<u8>,
    record: TaskRecord,
}

/// A task that is to be written.
struct New {
    key: i64,
    /// Place of the change.
    at: usize,
    slot: i64,
    engine: i64,
}

/// Stores changes. With `want_tasks`, returns the tasks that changed.
pub(crate) fn apply(tx: &mut Tx<'_>, mut changes: Vec<Change>, want_tasks: bool) -> Done<Vec<(u64, StoredTask)>> {
    let mut changed = Vec::new();
    let mut new = Vec::with_capacity(changes.len());
    // Changes are large: what is sorted are their places.
    let mut order: Vec<(i64, usize)> =
        changes.iter().enumerate().map(|(at, change)| (task_ids::place(change.hash), at)).collect();
    order.sort_unstable();
    let mut enter = tx.db.prepare_cached(task_ids::ENTER)?;
    for (_, at) in order {
        let change = &mut changes[at];
        let engine = tx.term(Some(&change.engine))?;
        if let Some(known) = find(tx, change, engine)? {
            if let Some(task) = update(tx, known, change)?
                && want_tasks
            {
                changed.push(task);
            }
        } else if !change.only_known {
            let key = first_key(change);
            if retention::comes_too_late(tx, key, change.received_at)? {
                continue;
            }
            let slot = tx.caches.task_ids.enter(&mut enter, change.hash, key)?;
            new.push(New { key, at, slot, engine });
        }
    }
    // In the order of the table, new tasks fill page after page.
    new.sort_unstable_by_key(|new| (new.key, new.at));
    let mut statement = tx.db.prepare_cached(INSERT)?;
    for new in new {
        let task = insert(tx, &mut statement, &new, &mut changes[new.at], want_tasks)?;
        changed.extend(task);
    }
    for (_, task) in &mut changed {
        task.agent = agent_name(tx, &task.record)?;
    }
    Ok(changed)
}

/// True when the task is stored.
pub(crate) fn is_known(tx: &mut Tx<'_>, change: &Change) -> Done<bool> {
    Ok(known(tx, change)?.is_some())
}

/// What is stored of the task.
pub(crate) fn known(tx: &mut Tx<'_>, change: &Change) -> Done<Option<TaskRecord>> {
    let engine = tx.term(Some(&change.engine))?;
    Ok(find(tx, change, engine)?.map(|known| known.record))
}

fn find(tx: &mut Tx<'_>, change: &Change, engine: i64) -> Done<Option<Known>> {
    let column = IdColumn::of(&change.task_id);
    let (db, names) = (tx.db, &tx.caches.names);
    tx.caches.task_ids.search(db, change.hash, |key| load(db, names, key, change.project, engine, &column))
}

fn first_key(change: &Change) -> i64 {
    let first_seen = change.record.marks.iter().map(|mark| mark.ts).min().unwrap_or_default();
    ids::first_key(first_seen, change.received_at, change.hash)
}

/// The task at `key`, if it is the one that is meant.
fn load(
    db: &Connection,
    names: &Names,
    key: i64,
    project: u64,
    engine: i64,
    task_id: &IdColumn<'_>,
) -> Done<Option<Known>> {
    let sql = "SELECT project, engine, task_id, state, name, queue, worker, record FROM tasks WHERE key = ?1";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query([key])?;
    // Without a row it is another new task of this group, which has its entry and will be written later.
    let Some(row) = rows.next()? else { return Ok(None) };
    let same = row.get::<_, i64>(0)? == project.cast_signed() && row.get::<_, i64>(1)? == engine;
    if !same || !task_id.is(row.get_ref(2)?) {
        return Ok(None);
    }
    let columns = Columns { state: row.get(3)?, name: row.get(4)?, queue: row.get(5)?, worker: row.get(6)? };
    let bytes: Vec<u8> = row.get(7)?;
    let (name, queue) = (names.term(db, columns.name)?, names.term(db, columns.queue)?);
    let worker = names.term(db, columns.worker)?;
    let base = ids::instant_of(key);
    let frame = Frame { base, name: name.as_deref(), queue: queue.as_deref(), worker: worker.as_deref() };
    let record = codec::decode(&bytes, &frame)?;
    Ok(Some(Known { key, columns, bytes, record }))
}

fn update(tx: &mut Tx<'_>, known: Known, change: &mut Change) -> Done<Option<(u64, StoredTask)>> {
    let Known { key, columns: old, bytes: old_bytes, record: old_record } = known;
    let mut record = old_record.clone();
    record.merge(std::mem::take(&mut change.record));
    let (columns, worker) = columns_of(tx, &record)?;
    let mut bytes = std::mem::take(&mut tx.caches.bytes);
    codec::encode(&record, &frame_of(key, &record, worker), &mut bytes);
    let same = columns == old && bytes == old_bytes;
    if !same {
        write(tx.db, key, old, columns, &bytes)?;
    }
    tx.caches.bytes = bytes;
    if same {
        return Ok(None);
    }
    let project = change.project;
    rollups::count(tx, Series { project, name: old.name, queue: old.queue }, &old_record, -1);
    rollups::count(tx, Series { project, name: columns.name, queue: columns.queue }, &record, 1);
    links::add(tx, project, key, &record, Some(&old_record))?;
    let numbers = [(old.name, columns.name), (old.queue, columns.queue), (old.worker, columns.worker)];
    if columns != old {
        census::note(tx, key)?;
    }
    if search::is_indexed(tx, key)? && grew(&old_record, &record, numbers) {
        search::note(tx, key)?;
    }
    Ok(Some((project, stored(key, &change.engine, std::mem::take(&mut change.task_id), record))))
}

/// Writes only the columns that changed where that spares the indexes.
fn write(db: &Connection, key: i64, old: Columns, new: Columns, bytes: &[u8]) -> Done<()> {
    if (old.state, old.name) == (new.state, new.name) {
        let sql = "UPDATE tasks SET queue = ?2, worker = ?3, record = ?4 WHERE key = ?1";
        db.prepare_cached(sql)?.execute(params![key, new.queue, new.worker, bytes])?;
    } else if old.name == new.name {
        let sql = "UPDATE tasks SET state = ?2, queue = ?3, worker = ?4, record = ?5 WHERE key = ?1";
        db.prepare_cached(sql)?.execute(params![key, new.state, new.queue, new.worker, bytes])?;
    } else {
        let sql = "UPDATE tasks SET state = ?2, name = ?3, queue = ?4, worker = ?5, record = ?6 WHERE key = ?1";
        db.prepare_cached(sql)?.execute(params![key, new.state, new.name, new.queue, new.worker, bytes])?;
    }
    Ok(())
}

fn insert(
    tx: &mut Tx<'_>,
    statement: &mut Statement<'_>,
    new: &New,
    change: &mut Change,
    want_task: bool,
) -> Done<Option<(u64, StoredTask)>> {
    let db = tx.db;
    let New { mut key, slot, engine, .. } = *new;
    let (project, task_id) = (change.project, std::mem::take(&mut change.task_id));
    let record = std::mem::take(&mut change.record);
    let (columns, of_worker) = columns_of(tx, &record)?;
    let mut bytes = std::mem::take(&mut tx.caches.bytes);
    let column = IdColumn::of(&task_id);
    let mut try_at = |key: i64| -> Done<bool> {
        codec::encode(&record, &frame_of(key, &record, of_worker), &mut bytes);
        let Columns { state, name, queue, worker } = columns;
        let values = params![key, project.cast_signed(), engine, column, state, name, queue, worker, bytes];
        Ok(statement.execute(values)? == 1)
    };
    if !try_at(key)? {
        key = free_key(db, key)?;
        tx.caches.task_ids.correct(db, slot, key)?;
        if !try_at(key)? {
            return Err(StoreError::Internal(format!("no key is free for task {task_id}")).into());
        }
    }
    tx.caches.bytes = bytes;
    rollups::count(tx, Series { project, name: columns.name, queue: columns.queue }, &record, 1);
    links::add(tx, project, key, &record, None)?;
    census::note(tx, key)?;
    search::note(tx, key)?;
    Ok(want_task.then(|| (project, stored(key, &change.engine, task_id, record))))
}

/// A free key soon after a taken one: behind the last of those that begin within a millisecond.
fn free_key(db: &Connection, taken: i64) -> Done<i64> {
    let sql = "SELECT max(key) FROM tasks WHERE key BETWEEN ?1 AND ?2";
    let mut select = db.prepare_cached(sql)?;
    let mut from = taken;
    loop {
        let last: Option<i64> = select.query_row([from, from.saturating_add(KEY_WINDOW)], |row| row.get(0))?;
        match last {
            None => return Ok(from),
            Some(last) if last < from.saturating_add(KEY_WINDOW) => return Ok(last + 1),
            Some(last) => from = last + 1,
        }
    }
}

/// The columns of a record, and the text of its worker.
fn columns_of<'a>(tx: &mut Tx<'_>, record: &'a TaskRecord) -> Done<(Columns, Option<&'a str>)> {
    let task = record.task();
    let worker = task.worker();
    let columns = Columns {
        state: task.state as u8,
        name: tx.term(record.name.as_deref())?,
        queue: tx.term(task.queue())?,
        worker: tx.term(worker)?,
    };
    Ok((columns, worker))
}

fn frame_of<'a>(key: i64, record: &'a TaskRecord, worker: Option<&'a str>) -> Frame<'a> {
    Frame {
        base: ids::instant_of(key),
        name: record.name.as_deref(),
        queue: record.queue.as_ref().map(|queue| queue.value.as_str()),
        worker,
    }
}

fn stored(key: i64, engine: &str, task_id: String, record: TaskRecord) -> StoredTask {
    let first_seen: Timestamp = ids::instant_of(key);
    StoredTask { key, first_seen, engine: engine.to_owned(), task_id, agent: None, record }
}

fn agent_name(tx: &Tx<'_>, record: &TaskRecord) -> Done<Option<String>> {
    for agent in record.agents.iter().rev() {
        if let Some(name) = tx.caches.names.agent(tx.db, *agent)? {
            return Ok(Some(name.as_ref().to_owned()));
        }
    }
    Ok(None)
}
