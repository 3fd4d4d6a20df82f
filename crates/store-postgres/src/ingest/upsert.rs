//! The one path by which tasks change: find, merge, count, write.

use std::collections::{HashMap, HashSet};

use taskplane_model::TaskRecord;
use taskplane_store::backend::changes::Change;
use taskplane_store::backend::codec::{self, Frame};
use taskplane_store::backend::hashing::FastHash;
use taskplane_store::backend::search::grew;
use taskplane_store::backend::{ids, named};
use taskplane_store::tasks::StoredTask;
use taskplane_store::{Result, StoreError};
use tokio_postgres::Row;

use super::rollups::{RollupChanges, Series};
use crate::locks::project_number;
use crate::names::{Names, term_column};
use crate::retention::TooLate;
use crate::search::Until;
use crate::session::{Session, Tx, column};
use crate::tasks::{TaskRow, id_column, name_agents, stored_tasks, task_columns};

/// Tasks by the hash of project and id.
pub(crate) const FIND: &str = concat!("SELECT ", task_columns!(), ", hash FROM tasks WHERE hash = ANY($1)");
const INSERT: &str = "INSERT INTO tasks (key, hash, project, engine, name, queue, worker, state, task_id, record)
    SELECT * FROM unnest($1::int8[], $2::int8[], $3::int4[], $4::int4[], $5::int4[], $6::int4[], $7::int4[], $8::int2[],
        $9::bytea[], $10::bytea[])
    ON CONFLICT (project, key) DO NOTHING";
const UPDATE: &str =
    "UPDATE tasks t SET name = n.name, queue = n.queue, worker = n.worker, state = n.state, record = n.record
    FROM unnest($1::int4[], $2::int8[], $3::int4[], $4::int4[], $5::int4[], $6::int2[], $7::bytea[])
        AS n(project, key, name, queue, worker, state, record)
    WHERE t.project = n.project AND t.key = n.key";
pub(crate) const LINK: &str = "INSERT INTO task_links (project, link, key)
    SELECT * FROM unnest($1::int4[], $2::int8[], $3::int8[]) ON CONFLICT DO NOTHING";
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

/// A task that is to be written.
struct Work {
    change: Change,
    known: Option<Known>,
    /// As it is to be.
    record: TaskRecord,
    key: i64,
}

/// A task as it was before the change.
struct Known {
    row: TaskRow,
    record: TaskRecord,
}

/// Merged tasks, ready to be written.
#[derive(Default)]
pub(crate) struct Merged {
    inserts: Vec<Written>,
    updates: Vec<Written>,
    /// What they add to the statistics.
    pub(crate) rollups: RollupChanges,
}

/// Keys of tasks that have changed.
pub(crate) struct Notes {
    /// For the search index.
    pub(crate) index: Vec<i64>,
    /// For the census.
    pub(crate) census: Vec<i64>,
}

/// A task as it is written.
struct Written {
    project: u64,
    key: i64,
    hash: i64,
    engine: i64,
    columns: Columns,
    bytes: Vec<u8>,
    /// Ids that it names and did not name before.
    links: Vec<i64>,
    /// It is new, or may be found by what it was not found by.
    has_grown: bool,
    /// It is new, or is not what it was.
    has_moved: bool,
    task: StoredTask,
}

/// Merges changes with `rows`, which [`FIND`] has found for their hashes.
pub(crate) async fn merge(names: &Names, tx: &Tx, changes: Vec<Change>, rows: &[Row]) -> Result<Merged> {
    let works = match_up(names, tx, changes, rows).await?;
    let mut texts = HashSet::new();
    for work in &works {
        let task = work.record.task();
        texts.insert(&*work.change.engine);
        texts.extend([work.record.name.as_deref(), task.queue(), task.worker()].into_iter().flatten());
    }
    let numbers = names.enter(tx, texts).await?;
    let number = |text: Option<&str>| text.and_then(|text| numbers.get(text)).copied().unwrap_or(0);
    let mut written = Vec::with_capacity(works.len());
    let mut rollups = RollupChanges::default();
    for work in &works {
        let (task, record, project) = (work.record.task(), &work.record, work.change.project);
        let columns = Columns {
            state: task.state as u8,
            name: number(record.name.as_deref()),
            queue: number(task.queue()),
            worker: number(task.worker()),
        };
        let mut bytes = Vec::new();
        codec::encode(record, &frame(work.key, record), &mut bytes);
        let old = work.known.as_ref();
        if old.is_some_and(|old| Columns::of(&old.row) == columns && old.row.bytes == bytes) {
            written.push(None);
            continue;
        }
        if let Some(old) = old {
            let series = Series { project, name: old.row.brief.name, queue: old.row.brief.queue };
            rollups.count(series, &old.record, -1);
        }
        rollups.count(Series { project, name: columns.name, queue: columns.queue }, record, 1);
        let is_new = |id: &&str| old.is_none_or(|old| named(&old.record).all(|known| known != *id));
        let links = named(record).filter(is_new).map(|id| ids::hash(names.seed, project, id)).collect();
        let has_grown = old.is_none_or(|old| {
            let was = Columns::of(&old.row);
            let numbers = [(was.name, columns.name), (was.queue, columns.queue), (was.worker, columns.worker)];
            grew(&old.record, record, numbers)
        });
        let has_moved = old.is_none_or(|old| Columns::of(&old.row) != columns);
        written.push(Some((columns, bytes, links, number(Some(&work.change.engine)), has_grown, has_moved)));
    }
    let mut merged = Merged { rollups, ..Merged::default() };
    for (work, written) in works.into_iter().zip(written) {
        let Some((columns, bytes, links, engine, has_grown, has_moved)) = written else { continue };
        let Work { change, known, record, key } = work;
        let engine_text = change.engine.as_ref().to_owned();
        let first_seen = ids::instant_of(key);
        let task = StoredTask { key, first_seen, engine: engine_text, task_id: change.task_id, agent: None, record };
        let (project, hash) = (change.project, change.hash);
        let written = Written { project, key, hash, engine, columns, bytes, links, has_grown, has_moved, task };
        if known.is_some() { &mut merged.updates } else { &mut merged.inserts }.push(written);
    }
    // In the order of keys, new tasks fill page after page, and of several with one key the same is first every time.
    merged.inserts.sort_unstable_by_key(|new| (new.project, new.key, new.hash));
    merged.updates.sort_unstable_by_key(|changed| (changed.project, changed.key));
    Ok(merged)
}

/// Engine and id of each task of a project among `rows`.
pub(crate) async fn identities(
    names: &Names,
    session: &Session,
    project: u64,
    rows: &[Row],
) -> Result<HashSet<(String, String)>> {
    let rows = rows.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
    let tasks = stored_tasks(names, session, &rows).await?;
    let is_of_project = |(row, _): &(&TaskRow, StoredTask)| row.brief.project == i64::from(project_number(project));
    let found = rows.iter().zip(tasks).filter(is_of_project);
    Ok(found.map(|(_, task)| (task.engine, task.task_id)).collect())
}

/// Finds the stored task of each change, and merges the two.
async fn match_up(names: &Names, tx: &Tx, changes: Vec<Change>, rows: &[Row]) -> Result<Vec<Work>> {
    let mut by_hash: HashMap<i64, Vec<TaskRow>, FastHash> = HashMap::default();
    for row in rows {
        by_hash.entry(column(row, 9)?).or_default().push(TaskRow::read(row)?);
    }
    let texts = names.terms(tx, by_hash.values().flatten().flat_map(TaskRow::terms)).await?;
    let mut works = Vec::with_capacity(changes.len());
    let mut late = TooLate::default();
    for mut change in changes {
        let known = by_hash.get_mut(&change.hash).and_then(|rows| {
            let id = id_column(&change.task_id);
            let project = i64::from(project_number(change.project));
            let is_it = |row: &TaskRow| {
                let engine = texts.get(&row.brief.engine);
                row.brief.project == project && row.task_id == id && engine.is_some_and(|text| **text == *change.engine)
            };
            rows.iter().position(is_it).map(|at| rows.swap_remove(at))
        });
        let told = std::mem::take(&mut change.record);
        match known {
            Some(row) => {
                let old = row.record(&texts)?;
                let mut record = old.clone();
                record.merge(told);
                works.push(Work { change, key: row.brief.key, record, known: Some(Known { row, record: old }) });
            }
            None if change.only_known => {}
            None => {
                let first_seen = told.marks.iter().map(|mark| mark.ts).min().unwrap_or_default();
                let key = ids::first_key(first_seen, change.received_at, change.hash);
                if !late.is(tx, project_number(change.project), key, change.received_at).await? {
                    works.push(Work { change, key, record: told, known: None });
                }
            }
        }
    }
    Ok(works)
}

impl Merged {
    /// Writes the tasks. Their links are left to [`Merged::links`], because a task may have to take another key.
    pub(crate) async fn store(&mut self, session: &Session) -> Result<()> {
        let inserts = &self.inserts;
        let (inserted, ()) = tokio::try_join!(biased; insert(session, inserts), update(session, &self.updates))?;
        if inserted < self.inserts.len() as u64 {
            self.insert_elsewhere(session).await?;
        }
        Ok(())
    }

    /// Ids that tasks name and did not name before, as columns: projects, hashes of ids, keys.
    pub(crate) fn links(&self) -> (Vec<i32>, Vec<i64>, Vec<i64>) {
        let mut links = (Vec::new(), Vec::new(), Vec::new());
        for written in self.inserts.iter().chain(&self.updates) {
            for link in &written.links {
                links.0.push(project_number(written.project));
                links.1.push(*link);
                links.2.push(written.key);
            }
        }
        links
    }

    /// Keys below `until` of tasks of whose change the search index has to hear, and the census.
    pub(crate) fn notes(&self, until: Until) -> Notes {
        let all = || self.inserts.iter().chain(&self.updates);
        let of_index = all().filter(|written| written.has_grown && written.key < until.index);
        let of_census = all().filter(|written| written.has_moved && written.key < until.census);
        Notes { index: of_index.map(|written| written.key).collect(), census: of_census.map(|w| w.key).collect() }
    }

    /// The tasks as they are now stored, with their projects.
    pub(crate) async fn into_tasks(self, names: &Names, session: &Session) -> Result<Vec<(u64, StoredTask)>> {
        let all = self.inserts.into_iter().chain(self.updates);
        let mut tasks: Vec<(u64, StoredTask)> = all.map(|written| (written.project, written.task)).collect();
        name_agents(names, session, tasks.iter_mut().map(|(_, task)| task)).await?;
        Ok(tasks)
    }

    /// Finds free keys for new tasks whose keys were taken, by one another or by stored ones.
    async fn insert_elsewhere(&mut self, session: &Session) -> Result<()> {
        let projects: Vec<i32> = self.inserts.iter().map(|new| project_number(new.project)).collect();
        let (keys, hashes): (Vec<i64>, Vec<i64>) = self.inserts.iter().map(|new| (new.key, new.hash)).unzip();
        // Two tasks with one hash and one key are told apart by engine and id.
        let engines: Vec<i32> = self.inserts.iter().map(|new| term_column(new.engine)).collect::<Result<_>>()?;
        let ids: Vec<Vec<u8>> = self.inserts.iter().map(|new| id_column(&new.task.task_id)).collect();
        let sql = "SELECT n.at FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::int4[], $5::bytea[])
            WITH ORDINALITY AS n(project, key, hash, engine, task_id, at)
            WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.project = n.project AND t.key = n.key
                AND t.hash = n.hash AND t.engine = n.engine AND t.task_id = n.task_id)
            ORDER BY n.at";
        let rows = session.query(sql, &[&projects, &keys, &hashes, &engines, &ids]).await?;
        let mut homeless = Vec::with_capacity(rows.len());
        for row in rows {
            homeless.push(usize::try_from(column::<i64>(&row, 0)? - 1).unwrap_or(usize::MAX));
        }
        let mut again = Vec::with_capacity(homeless.len());
        let mut homeless = homeless.into_iter().peekable();
        let all = std::mem::take(&mut self.inserts).into_iter().enumerate();
        let is_homeless = |(at, _): &(usize, Written)| homeless.next_if_eq(at).is_some();
        let (moving, staying): (Vec<_>, Vec<_>) = all.partition(is_homeless);
        self.inserts = staying.into_iter().map(|(_, new)| new).collect();
        // Whose keys were given away of late, the last of them, and up to where the next ones are free.
        let mut last: (u64, i64, i64) = (u64::MAX, 0, 0);
        for (_, mut new) in moving {
            if last.0 == new.project && new.key <= last.1 && last.1 < last.2 {
                last.1 += 1;
            } else {
                let (free, until) = free_key(session, new.project, new.key).await?;
                last = (new.project, free, until);
            }
            new.move_to(last.1);
            again.push(new);
        }
        let inserted = insert(session, &again).await?;
        let missing = again.len() as u64 - inserted;
        self.inserts.append(&mut again);
        if missing > 0 {
            return Err(StoreError::Internal(format!("no keys are free for {missing} tasks")));
        }
        Ok(())
    }
}

impl Written {
    fn move_to(&mut self, key: i64) {
        self.key = key;
        self.task.key = key;
        self.task.first_seen = ids::instant_of(key);
        codec::encode(&self.task.record, &frame(key, &self.task.record), &mut self.bytes);
    }
}

impl Columns {
    fn of(row: &TaskRow) -> Self {
        Self { state: row.brief.state, name: row.brief.name, queue: row.brief.queue, worker: row.brief.worker }
    }
}

fn frame(key: i64, record: &TaskRecord) -> Frame<'_> {
    let task = record.task();
    Frame {
        base: ids::instant_of(key),
        name: record.name.as_deref(),
        queue: record.queue.as_ref().map(|queue| queue.value.as_str()),
        worker: task.worker(),
    }
}

async fn insert(session: &Session, new: &[Written]) -> Result<u64> {
    if new.is_empty() {
        return Ok(0);
    }
    let numbers = |of: fn(&Written) -> i64| new.iter().map(|one| term_column(of(one))).collect::<Result<Vec<i32>>>();
    let (keys, hashes): (Vec<i64>, Vec<i64>) = new.iter().map(|one| (one.key, one.hash)).unzip();
    let projects: Vec<i32> = new.iter().map(|one| project_number(one.project)).collect();
    let (engines, task_names) = (numbers(|one| one.engine)?, numbers(|one| one.columns.name)?);
    let (queues, workers) = (numbers(|one| one.columns.queue)?, numbers(|one| one.columns.worker)?);
    let states: Vec<i16> = new.iter().map(|one| i16::from(one.columns.state)).collect();
    let ids: Vec<Vec<u8>> = new.iter().map(|one| id_column(&one.task.task_id)).collect();
    let records: Vec<&[u8]> = new.iter().map(|one| one.bytes.as_slice()).collect();
    session
        .execute(
            INSERT,
            &[&keys, &hashes, &projects, &engines, &task_names, &queues, &workers, &states, &ids, &records],
        )
        .await
}

async fn update(session: &Session, changed: &[Written]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let numbers =
        |of: fn(&Written) -> i64| changed.iter().map(|one| term_column(of(one))).collect::<Result<Vec<i32>>>();
    let projects: Vec<i32> = changed.iter().map(|one| project_number(one.project)).collect();
    let keys: Vec<i64> = changed.iter().map(|one| one.key).collect();
    let (task_names, queues) = (numbers(|one| one.columns.name)?, numbers(|one| one.columns.queue)?);
    let workers = numbers(|one| one.columns.worker)?;
    let states: Vec<i16> = changed.iter().map(|one| i16::from(one.columns.state)).collect();
    let records: Vec<&[u8]> = changed.iter().map(|one| one.bytes.as_slice()).collect();
    session.execute(UPDATE, &[&projects, &keys, &task_names, &queues, &workers, &states, &records]).await?;
    Ok(())
}

/// A free key soon after a taken one, behind the last of those that begin within a millisecond; and the last key behind it
/// that is known to be free, with all between.
async fn free_key(session: &Session, project: u64, taken: i64) -> Result<(i64, i64)> {
    let sql = "SELECT max(key) FROM tasks WHERE project = $1 AND key BETWEEN $2 AND $3";
    let project = project_number(project);
    let mut from = taken;
    loop {
        let end = from.saturating_add(KEY_WINDOW);
        let row = session.query_first(sql, &[&project, &from, &end]).await?;
        match row.map(|row| column::<Option<i64>>(&row, 0)).transpose()?.flatten() {
            None => return Ok((from, end)),
            Some(last) if last < end => return Ok((last + 1, end)),
            Some(last) => from = last + 1,
        }
    }
}
