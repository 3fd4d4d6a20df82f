//! Statistics over windows. Each answer is read on one snapshot: what is folded meanwhile must not be counted twice.

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::backend::stats::{ANY, ByName, Cover, Grid, Reading, busiest_first, end_minute};
use taskplane_store::stats::{StatsPoint, StatsQuery, TaskTypeStats};
use tokio_postgres::Row;

use super::state::{kept, span_column, state};
use crate::locks::project_number;
use crate::names::{Names, term_column};
use crate::session::{Session, Tx, column};

// Each span is looked up by itself: a plan for all of them at once would depend on what the server thinks of the table.
const SUMS: &str = "SELECT r.at, r.data FROM unnest($2::int4[], $3::int8[]) WITH ORDINALITY AS n(span, start, at)
    CROSS JOIN LATERAL (SELECT n.at, s.data FROM rollup_sums s WHERE s.project = $1 AND s.span = n.span
        AND s.start = n.start AND s.name = $4 AND s.queue = $5 OFFSET 0) r";
const SUMS_BY_NAME: &str = "SELECT r.name, r.data FROM unnest($2::int4[], $3::int8[]) AS n(span, start)
    CROSS JOIN LATERAL (SELECT s.name, s.data FROM rollup_sums s WHERE s.project = $1 AND s.span = n.span
        AND s.start = n.start AND s.name >= 0 AND s.queue = -1 OFFSET 0) r";
const MINUTES: &str = "SELECT r.at, r.name, r.data FROM unnest($2::int8[]) WITH ORDINALITY AS n(minute, at)
    CROSS JOIN LATERAL (SELECT n.at, s.name, s.data FROM rollups s WHERE s.project = $1 AND s.minute = n.minute
        AND ($4::int4 < 0 OR s.queue = $4) AND $3::int4 < 0 OFFSET 0) r";
const MINUTES_OF_NAME: &str = "SELECT r.at, r.name, r.data FROM unnest($2::int8[]) WITH ORDINALITY AS n(minute, at)
    CROSS JOIN LATERAL (SELECT n.at, s.name, s.data FROM rollups s WHERE s.project = $1 AND s.minute = n.minute
        AND s.name = $3::int4 AND ($4::int4 < 0 OR s.queue = $4) OFFSET 0) r";

/// One item per step, empty ones included.
pub(super) async fn points(names: &Names, session: Session, query: &StatsQuery) -> Result<Vec<StatsPoint>> {
    let asked = [query.name.as_deref(), query.queue.as_deref()];
    let numbers = names.numbers(&session, asked.into_iter().flatten()).await?;
    let project = project_number(query.project);
    let tx = Tx::begin_reading(session).await?;
    let kept = kept(&tx, project).await?;
    let mut grid = Grid::new(query, kept);
    // `None` when the term does not exist.
    let only = |text: Option<&str>| text.map_or(Some(ANY), |text| numbers.get(text).copied());
    if let [Some(name), Some(queue)] = asked.map(only) {
        let state = state(&tx, project, grid.since, grid.until, kept).await?;
        let reading = grid.reading(&state, name == ANY);
        let (name, queue) = (term_column(name)?, term_column(queue)?);
        let (spans, starts) = columns(&reading);
        for row in tx.query(SUMS, &[&project, &spans, &starts, &name, &queue]).await? {
            let sum = reading.sums.get(place(&row)?);
            grid.add(sum.map_or(usize::MAX, |sum| sum.step), column(&row, 1)?)?;
        }
        let minutes = minutes(&reading);
        let sql = if i64::from(name) == ANY { MINUTES } else { MINUTES_OF_NAME };
        if !minutes.is_empty() {
            for row in tx.query(sql, &[&project, &minutes, &name, &queue]).await? {
                let minute = reading.minutes.get(place(&row)?);
                grid.add(minute.map_or(usize::MAX, |(_, step)| *step), column(&row, 2)?)?;
            }
        }
    }
    tx.commit().await?;
    Ok(grid.into_points())
}

/// By task type, busiest first.
pub(super) async fn task_types(
    names: &Names,
    session: Session,
    project: u64,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<TaskTypeStats>> {
    let (project, since, until) = (project_number(project), since.minute(), end_minute(until));
    let tx = Tx::begin_reading(session).await?;
    let kept = kept(&tx, project).await?;
    let state = state(&tx, project, since, until, kept).await?;
    let mut reading = Reading::default();
    Cover::new(&state, false).add(since, until, 0, &mut reading);
    let mut by_name = ByName::default();
    let (spans, starts) = columns(&reading);
    for row in tx.query(SUMS_BY_NAME, &[&project, &spans, &starts]).await? {
        by_name.add(column::<i32>(&row, 0)?.into(), column(&row, 1)?)?;
    }
    let minutes = minutes(&reading);
    if !minutes.is_empty() {
        let any = term_column(ANY)?;
        for row in tx.query(MINUTES, &[&project, &minutes, &any, &any]).await? {
            by_name.add(column::<i32>(&row, 1)?.into(), column(&row, 2)?)?;
        }
    }
    let by_name = by_name.into_rollups();
    let texts = names.terms(&tx, by_name.iter().map(|(name, _)| *name)).await?;
    tx.commit().await?;
    let named = |(number, rollup): (i64, _)| {
        let name = texts.get(&number)?.as_ref().to_owned();
        Some(TaskTypeStats { name, rollup })
    };
    Ok(busiest_first(by_name.into_iter().filter_map(named).collect()))
}

fn columns(reading: &Reading) -> (Vec<i32>, Vec<i64>) {
    reading.sums.iter().map(|sum| (span_column(sum.span), sum.start)).unzip()
}

fn minutes(reading: &Reading) -> Vec<i64> {
    reading.minutes.iter().map(|(minute, _)| *minute).collect()
}

/// The place of what a row was asked by.
fn place(row: &Row) -> Result<usize> {
    Ok(usize::try_from(column::<i64>(row, 0)? - 1).unwrap_or(usize::MAX))
}
