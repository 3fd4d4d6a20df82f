//! The workflow around a task.

use std::collections::{BTreeMap, HashSet, VecDeque};

use taskplane_store::backend::named;
use taskplane_store::tasks::{StoredTask, TaskTree};

use super::get::{task, with_id};
use super::row::task_row;
use crate::errors::Done;
use crate::ids;
use crate::readers::View;

/// Most tasks of a tree.
const MAX_LIMIT: usize = 5_000;

/// Everything reachable from a task, breadth first.
pub(super) fn tree(view: &View<'_>, project: u64, engine: &str, task_id: &str, limit: usize) -> Done<Option<TaskTree>> {
    let Some(start) = task(view, project, engine, task_id)? else { return Ok(None) };
    let mut walk = Walk {
        view,
        project,
        limit: limit.clamp(1, MAX_LIMIT),
        found: BTreeMap::new(),
        ids: VecDeque::new(),
        known_ids: HashSet::new(),
        found_ids: HashSet::new(),
        truncated: false,
    };
    walk.add(start);
    while let Some(id) = walk.ids.pop_front() {
        walk.follow(&id)?;
        if walk.truncated {
            break;
        }
    }
    Ok(Some(TaskTree { tasks: walk.found.into_values().collect(), truncated: walk.truncated }))
}

struct Walk<'v> {
    view: &'v View<'v>,
    project: u64,
    limit: usize,
    /// By key, so oldest first.
    found: BTreeMap<i64, StoredTask>,
    /// Ids yet to follow.
    ids: VecDeque<String>,
    known_ids: HashSet<String>,
    found_ids: HashSet<String>,
    truncated: bool,
}

impl Walk<'_> {
    fn add(&mut self, task: StoredTask) {
        if self.found.contains_key(&task.key) {
            return;
        }
        if self.found.len() == self.limit {
            self.truncated = true;
            return;
        }
        for id in std::iter::once(task.task_id.as_str()).chain(named(&task.record)) {
            if !self.known_ids.contains(id) {
                self.known_ids.insert(id.to_owned());
                self.ids.push_back(id.to_owned());
            }
        }
        self.found_ids.insert(task.task_id.clone());
        self.found.insert(task.key, task);
    }

    /// Adds the tasks that have this id, and those that name it.
    fn follow(&mut self, id: &str) -> Done<()> {
        // The id of a task that has been found leads to that task; searching again would cost as much as finding another.
        if !self.found_ids.contains(id) {
            for task in with_id(self.view, self.project, id)? {
                self.add(task);
            }
        }
        let link = ids::hash(self.view.names.seed(self.view.db)?, self.project, id);
        let mut select = self.view.db.prepare_cached("SELECT key FROM task_links WHERE link = ?1 ORDER BY key")?;
        let mut rows = select.query([link])?;
        while let Some(row) = rows.next()? {
            let key = row.get(0)?;
            if self.found.contains_key(&key) {
                continue;
            }
            let row = task_row(self.view, key)?.filter(|row| row.brief.project == self.project.cast_signed());
            let task = row.map(|row| row.task(self.view)).transpose()?;
            // The entry may be older than what is now known, or belong to another id with this hash.
            let task = task.filter(|task| named(&task.record).any(|named| named == id));
            if let Some(task) = task {
                self.add(task);
            }
            if self.truncated {
                break;
            }
        }
        Ok(())
    }
}
