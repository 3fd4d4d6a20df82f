//! Statistics over windows.

use rusqlite::{Connection, OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_store::backend::stats::{ANY, ByName, Cover, Grid, Reading, busiest_first, end_minute};
use taskplane_store::stats::{StatsPoint, StatsQuery, TaskTypeStats};

use super::state::{kept, state};
use crate::errors::Done;
use crate::readers::View;

/// One item per step, empty ones included.
pub(super) fn points(view: &View<'_>, query: &StatsQuery) -> Done<Vec<StatsPoint>> {
    let project = query.project.cast_signed();
    let mut grid = Grid::new(query, kept(view.db, project)?);
    let (Some(name), Some(queue)) = (only(view, query.name.as_deref())?, only(view, query.queue.as_deref())?) else {
        return Ok(grid.into_points());
    };
    let state = state(view.db, project, grid.since, grid.until)?;
    let Reading { sums, minutes } = grid.reading(&state, name == ANY);
    let sql =
        "SELECT data FROM rollup_sums WHERE project = ?1 AND span = ?2 AND start = ?3 AND name = ?4 AND queue = ?5";
    let mut select = view.db.prepare_cached(sql)?;
    for sum in sums {
        let mut rows = select.query([project, sum.span, sum.start, name, queue])?;
        if let Some(row) = rows.next()? {
            grid.add(sum.step, row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
        }
    }
    for (minute, step) in minutes {
        each_row(view.db, project, minute, name, queue, |_, data| Ok(grid.add(step, data)?))?;
    }
    Ok(grid.into_points())
}

/// By task type, busiest first.
pub(super) fn task_types(
    view: &View<'_>,
    project: u64,
    since: Timestamp,
    until: Timestamp,
) -> Done<Vec<TaskTypeStats>> {
    let (project, since, until) = (project.cast_signed(), since.minute(), end_minute(until));
    let state = state(view.db, project, since, until)?;
    let mut reading = Reading::default();
    Cover::new(&state, false).add(since, until, 0, &mut reading);
    let mut by_name = ByName::default();
    let sql = "SELECT name, data FROM rollup_sums
        WHERE project = ?1 AND span = ?2 AND start = ?3 AND name >= 0 AND queue = -1";
    let mut select = view.db.prepare_cached(sql)?;
    for sum in reading.sums {
        let mut rows = select.query([project, sum.span, sum.start])?;
        while let Some(row) = rows.next()? {
            let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            by_name.add(row.get(0)?, data)?;
        }
    }
    for (minute, _) in reading.minutes {
        each_row(view.db, project, minute, ANY, ANY, |name, data| Ok(by_name.add(name, data)?))?;
    }
    let mut types = Vec::new();
    for (name, rollup) in by_name.into_rollups() {
        if let Some(name) = view.names.term(view.db, name)? {
            types.push(TaskTypeStats { name: name.as_ref().to_owned(), rollup });
        }
    }
    Ok(busiest_first(types))
}

/// Calls `add` with the name and stored statistics of each row of a minute that is meant.
fn each_row(
    db: &Connection,
    project: i64,
    minute: i64,
    name: i64,
    queue: i64,
    mut add: impl FnMut(i64, &[u8]) -> Done<()>,
) -> Done<()> {
    let sql = if name == ANY {
        "SELECT name, data FROM rollups WHERE project = ?1 AND minute = ?2 AND ?3 < 0 AND (?4 < 0 OR queue = ?4)"
    } else {
        "SELECT name, data FROM rollups WHERE project = ?1 AND minute = ?2 AND name = ?3 AND (?4 < 0 OR queue = ?4)"
    };
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query(params![project, minute, name, queue])?;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        add(row.get(0)?, data)?;
    }
    Ok(())
}

/// The number of a term; [`ANY`] for "any", `None` when the term does not exist.
fn only(view: &View<'_>, text: Option<&str>) -> Done<Option<i64>> {
    match text {
        None => Ok(Some(ANY)),
        Some(text) => {
            let sql = "SELECT id FROM terms WHERE text = ?1";
            Ok(view.db.prepare_cached(sql)?.query_row([text], |row| row.get(0)).optional()?)
        }
    }
}
