//! Statistics over windows, from the stored minutes.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;
use taskplane_model::time::MINUTE;
use taskplane_store::stats::{MAX_POINTS, StatsPoint, StatsQuery, TaskTypeStats};

use crate::errors::Done;
use crate::ingest::rollups;
use crate::readers::View;

/// Most task types of one answer.
const MAX_TYPES: usize = 1_000;

/// One item per step, empty ones included.
pub(crate) fn points(view: &View<'_>, query: &StatsQuery) -> Done<Vec<StatsPoint>> {
    let step = query.step_minutes.max(1);
    let since = query.since.minute();
    let until = end_minute(query.until);
    let count = until.saturating_sub(since).max(0).saturating_add(step - 1) / step;
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_POINTS);
    let at = |index: usize| Timestamp(since.saturating_add(step.saturating_mul(index as i64)).saturating_mul(MINUTE));
    let mut points: Vec<StatsPoint> =
        (0..count).map(|index| StatsPoint { ts: at(index), rollup: Rollup::default() }).collect();
    let until = until.min(since.saturating_add(step.saturating_mul(count as i64)));
    let (Some(name), Some(queue)) = (only(view, query.name.as_deref())?, only(view, query.queue.as_deref())?) else {
        return Ok(points);
    };
    let sql = "SELECT minute, data FROM rollups WHERE project = ?1 AND minute >= ?2 AND minute < ?3
        AND (?4 < 0 OR name = ?4) AND (?5 < 0 OR queue = ?5)";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query(params![query.project.cast_signed(), since, until, name, queue])?;
    while let Some(row) = rows.next()? {
        let index = (row.get::<_, i64>(0)? - since) / step;
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        if let Some(point) = usize::try_from(index).ok().and_then(|index| points.get_mut(index)) {
            point.rollup.merge(&rollups::decode(data)?);
        }
    }
    Ok(points)
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
        by_name.entry(row.get(0)?).or_default().merge(&rollups::decode(data)?);
    }
    let mut types = Vec::with_capacity(by_name.len());
    for (name, rollup) in by_name {
        if let Some(name) = view.names.term(view.db, name)? {
            types.push(TaskTypeStats { name: name.as_ref().to_owned(), rollup });
        }
    }
    types.sort_by(|a, b| busyness(&b.rollup).cmp(&busyness(&a.rollup)).then_with(|| a.name.cmp(&b.name)));
    types.truncate(MAX_TYPES);
    Ok(types)
}

fn busyness(rollup: &Rollup) -> (i64, i64) {
    (rollup.started, rollup.sent)
}

/// The minute behind the last one that a window touches.
fn end_minute(until: Timestamp) -> i64 {
    Timestamp(until.0.saturating_sub(1)).minute() + 1
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
