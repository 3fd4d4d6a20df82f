//! Dropping old statistics, the finer before the coarser. One call drops about `limit` rows; an hour's minutes or a day's hours
//! go together.

use taskplane_store::Result;
use taskplane_store::backend::stats::Kind;
use taskplane_store::retention::Dropped;

use super::state::{is_marked, keep, kept, span_column};
use crate::locks;
use crate::session::{Tx, column};

/// Drops statistics of minutes before `minute`, rounded down to an hour; hours stay. What is not folded yet stays, with all
/// behind it, and is no reason to call again at once. `tx` must not hold any lock yet: it gets that of one project.
pub(crate) async fn drop_minutes_below(tx: &Tx, minute: i64, limit: u64) -> Result<Dropped> {
    drop_below(tx, Kind::Minutes, minute, limit).await
}

/// Drops statistics of hours before `minute`, rounded down to a day, as far as their minutes are dropped; days stay. As above.
pub(crate) async fn drop_hours_below(tx: &Tx, minute: i64, limit: u64) -> Result<Dropped> {
    drop_below(tx, Kind::Hours, minute, limit).await
}

/// Drops statistics of days before `minute`, as far as their hours are dropped. What happens late to such a day is not counted
/// any more. As above.
pub(crate) async fn drop_days_below(tx: &Tx, minute: i64, limit: u64) -> Result<Dropped> {
    drop_below(tx, Kind::Days, minute, limit).await
}

/// Drops a piece of the first project that has something to drop.
async fn drop_below(tx: &Tx, kind: Kind, minute: i64, limit: u64) -> Result<Dropped> {
    let rows = tx.query("SELECT id FROM projects ORDER BY id", &[]).await?;
    let projects = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i32>>>()?;
    for (at, project) in projects.iter().copied().enumerate() {
        if piece(tx, kind, project, minute).await?.is_none() {
            continue;
        }
        tx.query(locks::PROJECTS, &[&vec![project]]).await?;
        let mut count = 0;
        // Somebody else may have been faster, so it is asked again.
        while let Some((since, end)) = piece(tx, kind, project, minute).await? {
            if count >= limit {
                return Ok(Dropped { count, more: true });
            }
            count += delete(tx, kind, project, since, end).await?;
            keep(tx, project, kept(tx, project).await?.with(kind, end)).await?;
        }
        return Ok(Dropped { count, more: at + 1 < projects.len() });
    }
    Ok(Dropped::default())
}

/// From where to where the next piece goes; `None` when there is none, or it is needed yet.
async fn piece(tx: &Tx, kind: Kind, project: i32, minute: i64) -> Result<Option<(i64, i64)>> {
    let kept = kept(tx, project).await?;
    let (since, until) = (kept.from(kind), kept.may_drop(kind, minute));
    if since >= until {
        return Ok(None);
    }
    let end = kind.piece(first(tx, kind, project, since).await?, until);
    let is_needed = match kind.needed_by() {
        Some(span) => is_marked(tx, project, span, since, end).await?,
        None => false,
    };
    Ok((!is_needed).then_some((since, end)))
}

/// Where the first of what is left begins.
async fn first(tx: &Tx, kind: Kind, project: i32, since: i64) -> Result<Option<i64>> {
    let row = if kind == Kind::Minutes {
        let sql = "SELECT min(minute) FROM rollups WHERE project = $1 AND minute >= $2";
        tx.query_first(sql, &[&project, &since]).await?
    } else {
        let sql = "SELECT min(start) FROM rollup_sums WHERE project = $1 AND start >= $2 AND span = $3";
        let span = kind.spans().first().copied().unwrap_or(1);
        tx.query_first(sql, &[&project, &since, &span_column(span)]).await?
    };
    row.map_or(Ok(None), |row| column(&row, 0))
}

async fn delete(tx: &Tx, kind: Kind, project: i32, since: i64, until: i64) -> Result<u64> {
    let mut count = 0;
    if kind == Kind::Minutes {
        let sql = "DELETE FROM rollups WHERE project = $1 AND minute >= $2 AND minute < $3";
        count += tx.execute(sql, &[&project, &since, &until]).await?;
    }
    let sql = "DELETE FROM rollup_sums WHERE project = $1 AND span = $2 AND start >= $3 AND start < $4";
    for span in kind.spans() {
        count += tx.execute(sql, &[&project, &span_column(*span), &since, &until]).await?;
    }
    Ok(count)
}
