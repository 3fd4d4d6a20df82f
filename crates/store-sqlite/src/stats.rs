//! Statistics over windows, from the stored minutes.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;
use taskplane_store::backend::stats::{Grid, busiest_first, decode, end_minute};
use taskplane_store::stats::{StatsPoint, StatsQuery, TaskTypeStats};

use crate::errors::Done;
use crate::readers::View;

/// One item per step, empty ones included.
pub(crate) fn points(view: &View<'_>, query: &StatsQuery) -> Done<Vec<StatsPoint>> {
    let mut grid = Grid::new(query);
    let (Some(name), Some(queue)) = (only(view, query.name.as_deref())?, only(view, query.queue.as_deref())?) else {
        return Ok(grid.into_points());
    };
    let sql = "SELECT minute, data FROM rollups WHERE project = ?1 AND minute >= ?2 AND minute < ?3
        AND (?4 < 0 OR name = ?4) AND (?5 < 0 OR queue = ?5)";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query(params![query.project.cast_signed(), grid.since, grid.until, name, queue])?;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        grid.add(row.get(0)?, &decode(data)?);
    }
    Ok(grid.into_points())
}

/// By task type, busiest first.
pub(crate) fn task_types(
    view: &View<'_>,
    project: u64,
    since: Timestamp,
    until: Timestamp,
) -> Done<Vec<TaskTypeStats>> {
    let sql = "SELECT name, data FROM rollups WHERE project = ?1 AND minute >= ?2 AND minute < ?3";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query(params![project.cast_signed(), since.minute(), end_minute(until)])?;
    let mut by_name: HashMap<i64, Rollup> = HashMap::new();
    while let Some(row) = rows.next()? {
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        by_name.entry(row.get(0)?).or_default().merge(&decode(data)?);
    }
    let mut types = Vec::with_capacity(by_name.len());
    for (name, rollup) in by_name {
        if let Some(name) = view.names.term(view.db, name)? {
            types.push(TaskTypeStats { name: name.as_ref().to_owned(), rollup });
        }
    }
    Ok(busiest_first(types))
}

/// The number of a term; −1 for "any", `None` when the term does not exist.
fn only(view: &View<'_>, text: Option<&str>) -> Done<Option<i64>> {
    match text {
        None => Ok(Some(-1)),
        Some(text) => {
            let sql = "SELECT id FROM terms WHERE text = ?1";
            Ok(view.db.prepare_cached(sql)?.query_row([text], |row| row.get(0)).optional()?)
        }
    }
}
