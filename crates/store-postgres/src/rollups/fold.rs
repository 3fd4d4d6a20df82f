//! Folding: from rows of minutes to sums of minutes, tens of minutes, hours and days, one short transaction at a time.
//!
//! Minutes are folded under the lock of their project, because ingest may change them at any time. What is longer is added up
//! before, and written under the lock if nothing has changed below since: each change renews the stamp of a mark, or leaves one
//! below. So several brains may fold at once; one of them does it in vain.

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::backend::stats::{Changes, SPANS, Stored, Sums, above, begin_of, below, decode, folded_until};

use super::state::{is_marked, kept, pass_on, span_column};
use crate::PostgresStore;
use crate::names::term_column;
use crate::session::{Session, Tx, column};

/// Minutes that one transaction folds.
const MINUTES: i64 = 10;

const STORED: &str = "SELECT name, queue, data FROM rollup_sums WHERE project = $1 AND span = $2 AND start = $3";
const PUT: &str = "INSERT INTO rollup_sums (project, span, start, name, queue, data)
    SELECT $1::int4, $2::int4, $3::int8, * FROM unnest($4::int4[], $5::int4[], $6::bytea[])
    ON CONFLICT (project, span, start, name, queue) DO UPDATE SET data = excluded.data";
const REMOVE: &str = "DELETE FROM rollup_sums s USING unnest($4::int4[], $5::int4[]) AS n(name, queue)
    WHERE s.project = $1 AND s.span = $2 AND s.start = $3 AND s.name = n.name AND s.queue = n.queue";

/// A span that is to be folded.
#[derive(Clone, Copy, Debug)]
struct Target {
    project: i32,
    span: i64,
    start: i64,
    stamp: i64,
}

/// Does a bounded piece of work; true when there may be more.
pub(super) async fn fold(store: &PostgresStore, now: Timestamp) -> Result<bool> {
    let until = folded_until(now);
    let session = store.reading().await?;
    let Some(target) = next(&session, until).await? else { return Ok(false) };
    if target.span > 1 {
        // The stamp was read first: whatever changes from now on is noticed.
        let changes = add_up(&session, target).await?;
        drop(session);
        finish(store, target, &changes).await?;
    } else {
        drop(session);
        fold_minutes(store, target.project, until).await?;
    }
    Ok(true)
}

/// Shorter spans come first: when one that has ended is next, nothing in it is unfolded.
async fn next(session: &Session, until: i64) -> Result<Option<Target>> {
    let sql =
        "SELECT project, start, stamp FROM unfolded WHERE span = $1 AND start <= $2 ORDER BY start, project LIMIT 1";
    for span in SPANS {
        if let Some(row) = session.query_first(sql, &[&span_column(span), &(until - span)]).await? {
            let (project, start, stamp) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
            return Ok(Some(Target { project, span, start, stamp }));
        }
    }
    Ok(None)
}

/// How the sums of a target change, by what is below them.
async fn add_up(session: &Session, target: Target) -> Result<Changes> {
    let Target { project, span, start, .. } = target;
    let shorter = below(span).unwrap_or(1);
    let rows = if shorter == 1 {
        let sql = "SELECT name, queue, data FROM rollups WHERE project = $1 AND minute >= $2 AND minute < $3";
        session.query(sql, &[&project, &start, &(start + span)]).await?
    } else {
        let sql = "SELECT name, queue, data FROM rollup_sums
            WHERE project = $1 AND span = $4 AND start >= $2 AND start < $3 AND name >= 0 AND queue >= 0";
        session.query(sql, &[&project, &start, &(start + span), &span_column(shorter)]).await?
    };
    let mut sums = Sums::default();
    for row in &rows {
        let (name, queue): (i32, i32) = (column(row, 0)?, column(row, 1)?);
        sums.add(name.into(), queue.into(), &decode(column(row, 2)?)?);
    }
    sums.in_place_of(span, stored(session, project, span, start).await?)
}

/// Writes what was added up, unless something has changed meanwhile: then it is done again.
async fn finish(store: &PostgresStore, target: Target, changes: &Changes) -> Result<()> {
    let Target { project, span, start, stamp } = target;
    let tx = store.begin_in(u64::try_from(project).unwrap_or(0)).await?;
    let sql = "SELECT stamp FROM unfolded WHERE span = $1 AND start = $2 AND project = $3";
    let row = tx.query_first(sql, &[&span_column(span), &start, &project]).await?;
    let now: Option<i64> = row.map(|row| column(&row, 0)).transpose()?;
    let is_changed_below = is_marked(&tx, project, below(span).unwrap_or(0), start, start + span).await?;
    if now == Some(stamp) && !is_changed_below {
        write(&tx, project, span, start, changes).await?;
        pass_on(&tx, project, span, &[start], above(span)).await?;
    }
    tx.commit().await
}

async fn fold_minutes(store: &PostgresStore, project: i32, until: i64) -> Result<()> {
    let tx = store.begin_in(u64::try_from(project).unwrap_or(0)).await?;
    let sql = "SELECT start FROM unfolded WHERE span = 1 AND start < $1 AND project = $2 ORDER BY start LIMIT $3";
    let rows = tx.query(sql, &[&until, &project, &MINUTES]).await?;
    let minutes = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>>>()?;
    let kept = kept(&tx, project).await?;
    let (late, minutes): (Vec<i64>, Vec<i64>) = minutes.into_iter().partition(|minute| *minute < kept.minutes);
    for minute in &minutes {
        let changes =
            of_minute(&tx, project, *minute).await?.in_place_of(1, stored(&tx, project, 1, *minute).await?)?;
        write(&tx, project, 1, *minute, &changes).await?;
    }
    pass_on(&tx, project, 1, &minutes, above(1)).await?;
    // These minutes themselves are not kept any more: what has come late goes to the shortest span that is.
    for minute in &late {
        let span = kept.shortest(*minute);
        let start = begin_of(*minute, span);
        if *minute >= kept.days {
            let sums = of_minute(&tx, project, *minute).await?;
            let changes = sums.added_to(span, &stored(&tx, project, span, start).await?)?;
            write(&tx, project, span, start, &changes).await?;
            pass_on(&tx, project, span, &[start], above(span)).await?;
        }
    }
    let sql = "DELETE FROM rollups WHERE project = $1 AND minute = ANY($2)";
    tx.execute(sql, &[&project, &late]).await?;
    pass_on(&tx, project, 1, &late, None).await?;
    tx.commit().await
}

/// What the rows of a minute add up to.
async fn of_minute(tx: &Tx, project: i32, minute: i64) -> Result<Sums> {
    let sql = "SELECT name, queue, data FROM rollups WHERE project = $1 AND minute = $2";
    let mut sums = Sums::default();
    for row in tx.query(sql, &[&project, &minute]).await? {
        let (name, queue): (i32, i32) = (column(&row, 0)?, column(&row, 1)?);
        sums.add(name.into(), queue.into(), &decode(column(&row, 2)?)?);
    }
    Ok(sums)
}

/// The rows of a span as they are stored.
async fn stored(session: &Session, project: i32, span: i64, start: i64) -> Result<Stored> {
    let mut stored = Stored::default();
    for row in session.query(STORED, &[&project, &span_column(span), &start]).await? {
        let (name, queue): (i32, i32) = (column(&row, 0)?, column(&row, 1)?);
        stored.extend([(name.into(), queue.into(), column(&row, 2)?)]);
    }
    Ok(stored)
}

async fn write(session: &Session, project: i32, span: i64, start: i64, changes: &Changes) -> Result<()> {
    let span = span_column(span);
    if !changes.put.is_empty() {
        let names = changes.put.iter().map(|(name, ..)| term_column(*name)).collect::<Result<Vec<i32>>>()?;
        let queues = changes.put.iter().map(|(_, queue, _)| term_column(*queue)).collect::<Result<Vec<i32>>>()?;
        let data: Vec<&[u8]> = changes.put.iter().map(|(.., data)| data.as_slice()).collect();
        session.execute(PUT, &[&project, &span, &start, &names, &queues, &data]).await?;
    }
    if !changes.remove.is_empty() {
        let names = changes.remove.iter().map(|(name, _)| term_column(*name)).collect::<Result<Vec<i32>>>()?;
        let queues = changes.remove.iter().map(|(_, queue)| term_column(*queue)).collect::<Result<Vec<i32>>>()?;
        session.execute(REMOVE, &[&project, &span, &start, &names, &queues]).await?;
    }
    Ok(())
}
