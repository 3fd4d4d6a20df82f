//! The workflow around a task.

use std::collections::{BTreeMap, HashSet};

use taskplane_store::Result;
use taskplane_store::backend::{ids, named};
use taskplane_store::tasks::{StoredTask, TaskTree};

use super::get::{load, task, with_hashes};
use crate::locks::project_number;
use crate::names::Names;
use crate::session::{Session, column};

/// Most tasks of a tree.
const MAX_LIMIT: usize = 5_000;
/// Links that are read at once.
const PIECE: i64 = 1_000;

/// Everything reachable from a task, breadth first.
pub(super) async fn tree(
    names: &Names,
    session: &Session,
    project: u64,
    engine: &str,
    task_id: &str,
    limit: usize,
) -> Result<Option<TaskTree>> {
    let Some(start) = task(names, session, project, engine, task_id).await? else { return Ok(None) };
    let mut walk = Walk { limit: limit.clamp(1, MAX_LIMIT), ..Walk::default() };
    walk.add(start);
    while !walk.next_ids.is_empty() && !walk.truncated {
        let level = std::mem::take(&mut walk.next_ids);
        let hashes: Vec<i64> = level.iter().map(|id| ids::hash(names.seed, project, id)).collect();
        for task in with_hashes(names, session, project, &hashes).await? {
            if level.contains(&task.task_id) {
                walk.add(task);
            }
        }
        follow_links(names, session, project, &level, &hashes, &mut walk).await?;
    }
    Ok(Some(TaskTree { tasks: walk.found.into_values().collect(), truncated: walk.truncated }))
}

#[derive(Default)]
struct Walk {
    limit: usize,
    /// By key, so oldest first.
    found: BTreeMap<i64, StoredTask>,
    known_ids: HashSet<String>,
    /// Ids yet to follow.
    next_ids: HashSet<String>,
    truncated: bool,
}

impl Walk {
    fn add(&mut self, task: StoredTask) {
        if self.found.contains_key(&task.key) {
            return;
        }
        if self.found.len() == self.limit {
            self.truncated = true;
            return;
        }
        for id in std::iter::once(task.task_id.as_str()).chain(named(&task.record)) {
            if self.known_ids.insert(id.to_owned()) {
                self.next_ids.insert(id.to_owned());
            }
        }
        self.found.insert(task.key, task);
    }
}

/// Adds the tasks that name one of the ids of a level.
async fn follow_links(
    names: &Names,
    session: &Session,
    project: u64,
    level: &HashSet<String>,
    hashes: &[i64],
    walk: &mut Walk,
) -> Result<()> {
    let sql =
        "SELECT DISTINCT key FROM task_links WHERE project = $1 AND link = ANY($2) AND key > $3 ORDER BY key LIMIT $4";
    let mut after = i64::MIN;
    while !walk.truncated {
        let rows = session.query(sql, &[&project_number(project), &hashes, &after, &PIECE]).await?;
        let keys = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>>>()?;
        after = keys.last().copied().unwrap_or(i64::MAX);
        let is_last = (keys.len() as i64) < PIECE;
        let new: Vec<i64> = keys.into_iter().filter(|key| !walk.found.contains_key(key)).collect();
        for task in load(names, session, project, &new).await?.into_iter().rev() {
            // An entry may be older than what is now known, or belong to another id with this hash.
            if named(&task.record).any(|id| level.contains(id)) {
                walk.add(task);
            }
        }
        if is_last {
            break;
        }
    }
    Ok(())
}
