//! Dropping tasks with their links, in the order of their keys. Statistics are not touched.

use std::collections::HashMap;

use taskplane_model::{TaskState, Timestamp};
use taskplane_store::Result;
use taskplane_store::backend::{ids, named};
use taskplane_store::retention::{Dropped, Kept, YOUNGEST};

use super::{position, projects, set_position, space};
use crate::PostgresStore;
use crate::locks;
use crate::session::{Session, column};
use crate::tasks::{TaskRow, task_columns};

/// Drops tasks of one kind, project after project. Goes on where it stood, so that it never looks at the same ones again: a
/// task that was kept for its state then is dropped with the failures.
pub(super) async fn drop_tasks(store: &PostgresStore, what: Kept, horizon: Timestamp, limit: i64) -> Result<Dropped> {
    let projects = projects(&store.reading().await?).await?;
    for project in projects {
        let step = drop_of_project(store, project, what, horizon, limit).await?;
        if step.count > 0 || step.more {
            // Another project may have some.
            return Ok(Dropped { more: true, ..step });
        }
    }
    Ok(Dropped::default())
}

async fn drop_of_project(
    store: &PostgresStore,
    project: i32,
    what: Kept,
    horizon: Timestamp,
    limit: i64,
) -> Result<Dropped> {
    let names = store.names();
    let until = ids::least_key(horizon);
    let place = place_of(what, project);
    let tx = store.begin().await?;
    tx.query(locks::PROJECTS, &[&vec![project]]).await?;
    let from = position(&tx, &place).await?;
    let sql = concat!(
        "SELECT ",
        task_columns!(),
        " FROM tasks WHERE project = $1 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4"
    );
    let rows = tx.query(sql, &[&project, &from, &until, &limit]).await?;
    let rows = rows.iter().map(TaskRow::read).collect::<Result<Vec<_>>>()?;
    let Some(last) = rows.last() else { return tx.commit().await.map(|()| Dropped::default()) };
    let more = rows.len() as i64 == limit;
    let below = if more { last.brief.key + 1 } else { until };
    let of_what = |row: &&TaskRow| {
        what == Kept::Failures || TaskState::from_number(row.brief.state).map(Kept::of_state) == Some(Kept::Tasks)
    };
    let going: Vec<&TaskRow> = rows.iter().filter(of_what).collect();
    let texts = names.terms(&tx, going.iter().flat_map(|row| row.terms())).await?;
    let (mut links, mut linked) = (Vec::new(), Vec::new());
    for row in &going {
        // An id that the task does not name any more leaves its link: rare, and readers look at the record.
        for id in named(&row.record(&texts)?) {
            links.push(ids::hash(names.seed, u64::from(project.unsigned_abs()), id));
            linked.push(row.brief.key);
        }
    }
    if !links.is_empty() {
        let sql = "DELETE FROM task_links l USING unnest($2::int8[], $3::int8[]) AS n(link, key)
            WHERE l.project = $1 AND l.link = n.link AND l.key = n.key";
        tx.execute(sql, &[&project, &links, &linked]).await?;
    }
    let keys: Vec<i64> = going.iter().map(|row| row.brief.key).collect();
    let count = tx.execute("DELETE FROM tasks WHERE project = $1 AND key = ANY($2)", &[&project, &keys]).await?;
    set_position(&tx, &place, below).await?;
    if what == Kept::Failures {
        set_position(&tx, &place_of(Kept::Tasks, project), below).await?;
    }
    space::count_now(&tx).await?;
    tx.commit().await?;
    Ok(Dropped { count, more })
}

/// Tells new tasks that would have been dropped already. Nobody can know whether they were: they are not entered, so that they
/// are not counted twice.
#[derive(Debug, Default)]
pub(crate) struct TooLate {
    /// Up to where tasks of projects have been dropped, as far as somebody has asked.
    below: HashMap<i32, i64>,
}

impl TooLate {
    /// True for a task of `project` that comes too late.
    pub(crate) async fn is(
        &mut self,
        session: &Session,
        project: i32,
        key: i64,
        received_at: Timestamp,
    ) -> Result<bool> {
        // Most tasks are young, and nothing has to be asked.
        if key >= ids::least_key(received_at.plus(-YOUNGEST)) {
            return Ok(false);
        }
        let below = match self.below.get(&project) {
            Some(below) => *below,
            None => position(session, &place_of(Kept::Tasks, project)).await?,
        };
        self.below.insert(project, below);
        Ok(key < below)
    }
}

/// First sight of the oldest tasks: of those that are not kept longer than others, and of all.
pub(super) async fn oldest(session: &Session) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let of_tasks = first_of(session, Kept::Tasks).await?;
    let of_all = first_key(session).await?;
    Ok((of_tasks.map(ids::instant_of), of_all.map(ids::instant_of)))
}

/// The first key of any project's tasks.
pub(super) async fn first_key(session: &Session) -> Result<Option<i64>> {
    first_of(session, Kept::Failures).await
}

async fn first_of(session: &Session, what: Kept) -> Result<Option<i64>> {
    let sql = "SELECT min(key) FROM tasks WHERE project = $1 AND key >= $2";
    let mut first = None;
    for project in projects(session).await? {
        let from = position(session, &place_of(what, project)).await?;
        let row = session.query_first(sql, &[&project, &from]).await?;
        let key: Option<i64> = row.map_or(Ok(None), |row| column(&row, 0))?;
        first = [first, key].into_iter().flatten().min();
    }
    Ok(first)
}

/// Below which keys a project's tasks have been dropped: those that are not kept longer than others, and all.
pub(crate) async fn dropped_below(session: &Session, project: i32) -> Result<(i64, i64)> {
    let of = async |what| position(session, &place_of(what, project)).await;
    Ok((of(Kept::Tasks).await?, of(Kept::Failures).await?))
}

/// Below which key tasks of any project have been dropped.
pub(crate) async fn dropped_below_in_any(session: &Session) -> Result<i64> {
    let sql = r"SELECT coalesce(max(value), 0)::bigint FROM settings WHERE name LIKE 'tasks\_dropped\_below\_%'";
    session.query_first(sql, &[]).await?.map_or(Ok(0), |row| column(&row, 0))
}

/// Where the dropping of tasks of a project stands.
fn place_of(what: Kept, project: i32) -> String {
    let what = if what == Kept::Failures { "all_tasks" } else { "tasks" };
    format!("{what}_dropped_below_{project}")
}
