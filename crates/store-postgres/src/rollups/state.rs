//! What is folded and what is kept.

use taskplane_store::Result;
use taskplane_store::backend::stats::{DAY, KeptFrom, Mark, SPANS, State, begin_of};

use crate::session::{Session, column};

/// What a reader of the minutes from `since` to `until` has to know, who reads on one snapshot.
pub(super) async fn state(session: &Session, project: i32, since: i64, until: i64, kept: KeptFrom) -> Result<State> {
    let Some(extent) = extent(session, project).await? else { return Ok(State::default()) };
    let first = begin_of(since.max(begin_of(extent.0, DAY)), DAY);
    let last = until.min(extent.1 + DAY).saturating_add(DAY);
    let sql = "SELECT span, start FROM unfolded WHERE span = ANY($1) AND start >= $2 AND start < $3 AND project = $4";
    let mut marks = Vec::new();
    for row in session.query(sql, &[&spans(DAY), &first, &last, &project]).await? {
        marks.push(Mark { span: column::<i32>(&row, 0)?.into(), start: column(&row, 1)? });
    }
    Ok(State { kept, extent: Some(extent), marks })
}

/// What is kept of a project.
pub(super) async fn kept(session: &Session, project: i32) -> Result<KeptFrom> {
    let sql = "SELECT minutes, hours, days FROM rollup_horizons WHERE project = $1";
    match session.query_first(sql, &[&project]).await? {
        Some(row) => Ok(KeptFrom { minutes: column(&row, 0)?, hours: column(&row, 1)?, days: column(&row, 2)? }),
        None => Ok(KeptFrom::default()),
    }
}

/// Notes what is kept of a project from now on.
pub(super) async fn keep(session: &Session, project: i32, kept: KeptFrom) -> Result<()> {
    let sql = "INSERT INTO rollup_horizons (project, minutes, hours, days) VALUES ($1, $2, $3, $4)
        ON CONFLICT (project) DO UPDATE SET minutes = excluded.minutes, hours = excluded.hours, days = excluded.days";
    session.execute(sql, &[&project, &kept.minutes, &kept.hours, &kept.days]).await?;
    Ok(())
}

/// The first and last minute of which there is anything.
async fn extent(session: &Session, project: i32) -> Result<Option<(i64, i64)>> {
    let sql = "SELECT
        least((SELECT min(minute) FROM rollups WHERE project = $1),
            (SELECT min(start) FROM rollup_sums WHERE project = $1 AND span = 60),
            (SELECT min(start) FROM rollup_sums WHERE project = $1 AND span = 1440)),
        greatest((SELECT max(minute) FROM rollups WHERE project = $1),
            (SELECT max(start) + 59 FROM rollup_sums WHERE project = $1 AND span = 60),
            (SELECT max(start) + 1439 FROM rollup_sums WHERE project = $1 AND span = 1440))";
    let Some(row) = session.query_first(sql, &[&project]).await? else { return Ok(None) };
    Ok(column::<Option<i64>>(&row, 0)?.zip(column(&row, 1)?))
}

/// Moves the mark of a span to the one around it, of `longer` minutes.
pub(super) async fn pass_on(
    session: &Session,
    project: i32,
    span: i64,
    starts: &[i64],
    longer: Option<i64>,
) -> Result<()> {
    let sql = "DELETE FROM unfolded WHERE span = $1 AND start = ANY($2) AND project = $3";
    session.execute(sql, &[&span_column(span), &starts, &project]).await?;
    let Some(longer) = longer else { return Ok(()) };
    let mut around: Vec<i64> = starts.iter().map(|start| begin_of(*start, longer)).collect();
    around.sort_unstable();
    around.dedup();
    // The number of this transaction is one that the mark has never had.
    let sql = "INSERT INTO unfolded (span, start, project, stamp)
        SELECT $1::int4, start, $3::int4, pg_current_xact_id()::text::int8 FROM unnest($2::int8[]) AS start
        ON CONFLICT (span, start, project) DO UPDATE SET stamp = excluded.stamp";
    session.execute(sql, &[&span_column(longer), &around, &project]).await?;
    Ok(())
}

/// True when a span of at most `longest` minutes that begins from `since` to `until` is not folded.
pub(super) async fn is_marked(session: &Session, project: i32, longest: i64, since: i64, until: i64) -> Result<bool> {
    let sql = "SELECT FROM unfolded WHERE span = ANY($1) AND start >= $2 AND start < $3 AND project = $4 LIMIT 1";
    Ok(session.query_first(sql, &[&spans(longest), &since, &until, &project]).await?.is_some())
}

/// A span as its column has it.
pub(super) fn span_column(span: i64) -> i32 {
    i32::try_from(span).unwrap_or(i32::MAX)
}

fn spans(longest: i64) -> Vec<i32> {
    SPANS.into_iter().filter(|span| *span <= longest).map(span_column).collect()
}
