//! Statistics over windows, from the stored minutes.

use std::collections::HashMap;

use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;
use taskplane_store::Result;
use taskplane_store::backend::stats::{Grid, busiest_first, decode, end_minute};
use taskplane_store::stats::{StatsPoint, StatsQuery, TaskTypeStats};

use crate::locks::project_number;
use crate::names::{Names, term_column};
use crate::session::{Session, column};

/// One item per step, empty ones included.
pub(crate) async fn points(names: &Names, session: &Session, query: &StatsQuery) -> Result<Vec<StatsPoint>> {
    let mut grid = Grid::new(query);
    let asked = [query.name.as_deref(), query.queue.as_deref()];
    let numbers = names.numbers(session, asked.into_iter().flatten()).await?;
    // −1 for "any", `None` when the term does not exist.
    let only = |text: Option<&str>| text.map_or(Some(-1), |text| numbers.get(text).copied());
    let [Some(name), Some(queue)] = asked.map(only) else { return Ok(grid.into_points()) };
    let sql = "SELECT minute, data FROM rollups WHERE project = $1 AND minute >= $2 AND minute < $3
        AND ($4::int4 < 0 OR name = $4) AND ($5::int4 < 0 OR queue = $5)";
    let (project, name, queue) = (project_number(query.project), term_column(name)?, term_column(queue)?);
    for row in session.query(sql, &[&project, &grid.since, &grid.until, &name, &queue]).await? {
        grid.add(column(&row, 0)?, &decode(column(&row, 1)?)?);
    }
    Ok(grid.into_points())
}

/// By task type, busiest first.
pub(crate) async fn task_types(
    names: &Names,
    session: &Session,
    project: u64,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<TaskTypeStats>> {
    let sql = "SELECT name, data FROM rollups WHERE project = $1 AND minute >= $2 AND minute < $3";
    let mut by_name: HashMap<i64, Rollup> = HashMap::new();
    for row in session.query(sql, &[&project_number(project), &since.minute(), &end_minute(until)]).await? {
        by_name.entry(column::<i32>(&row, 0)?.into()).or_default().merge(&decode(column(&row, 1)?)?);
    }
    let texts = names.terms(session, by_name.keys().copied()).await?;
    let named = |(number, rollup)| {
        let name = texts.get(&number)?.as_ref().to_owned();
        Some(TaskTypeStats { name, rollup })
    };
    Ok(busiest_first(by_name.into_iter().filter_map(named).collect()))
}
