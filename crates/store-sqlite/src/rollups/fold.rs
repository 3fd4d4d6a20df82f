//! Folding: from rows of minutes to sums of minutes, tens of minutes, hours and days, one short transaction at a time.
//!
//! Minutes are folded inside the transaction, because ingest may change them at any time. What is longer is added up beside the
//! writer, and written if nothing has changed below since: each change renews the stamp of a mark, or leaves one below.

use rusqlite::{Connection, OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::backend::stats::{
    Changes, HOUR, SPANS, Stored, Sums, above, begin_of, below, decode, folded_until,
};

use super::state::{is_marked, kept, mark, unmark};
use crate::SqliteStore;
use crate::errors::Done;
use crate::readers::View;
use crate::writer::Tx;

/// Rows of minutes that one transaction reads, about.
const ROWS: usize = 2_000;
/// Minutes that one transaction folds.
const MINUTES: i64 = 60;

/// A span that is to be folded.
#[derive(Clone, Copy, Debug)]
struct Target {
    project: i64,
    span: i64,
    start: i64,
    stamp: i64,
}

/// What there is to do next.
enum Next {
    Nothing,
    Minutes,
    Longer(Target, Changes),
}

/// Does a bounded piece of work; true when there may be more.
pub(super) async fn fold(store: &SqliteStore, now: Timestamp) -> Result<bool> {
    let until = folded_until(now);
    match store.read(move |view| next(view, until)).await? {
        Next::Nothing => return Ok(false),
        Next::Minutes => store.write(move |tx| fold_minutes(tx, until)).await?,
        Next::Longer(target, changes) => store.write(move |tx| finish(tx, target, &changes)).await?,
    }
    Ok(true)
}

/// Shorter spans come first: when one that has ended is next, nothing in it is unfolded.
fn next(view: &View<'_>, until: i64) -> Done<Next> {
    let sql =
        "SELECT project, start, stamp FROM unfolded WHERE span = ?1 AND start <= ?2 ORDER BY start, project LIMIT 1";
    for span in SPANS {
        let read =
            |row: &rusqlite::Row<'_>| Ok(Target { span, project: row.get(0)?, start: row.get(1)?, stamp: row.get(2)? });
        let found = view.db.prepare_cached(sql)?.query_row([span, until - span], read).optional()?;
        match found {
            Some(_) if span == 1 => return Ok(Next::Minutes),
            Some(target) => return Ok(Next::Longer(target, add_up(view.db, target)?)),
            None => {}
        }
    }
    Ok(Next::Nothing)
}

/// How the sums of a target change, by what is below them.
fn add_up(db: &Connection, target: Target) -> Done<Changes> {
    let Target { project, span, start, .. } = target;
    let mut sums = Sums::default();
    let shorter = below(span).unwrap_or(1);
    if shorter == 1 {
        add_minutes(db, project, start, start + span, &mut sums)?;
    } else {
        let sql = "SELECT name, queue, data FROM rollup_sums
            WHERE project = ?1 AND span = ?2 AND start >= ?3 AND start < ?4 AND name >= 0 AND queue >= 0";
        let mut select = db.prepare_cached(sql)?;
        let mut rows = select.query([project, shorter, start, start + span])?;
        while let Some(row) = rows.next()? {
            let data = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            sums.add(row.get(0)?, row.get(1)?, &decode(data)?);
        }
    }
    Ok(sums.in_place_of(span, stored(db, project, span, start)?)?)
}

/// Writes what was added up, unless something has changed meanwhile: then it is done again.
fn finish(tx: &mut Tx<'_>, target: Target, changes: &Changes) -> Done<()> {
    let Target { project, span, start, stamp } = target;
    let sql = "SELECT stamp FROM unfolded WHERE span = ?1 AND start = ?2 AND project = ?3";
    let now: Option<i64> = tx.db.prepare_cached(sql)?.query_row([span, start, project], |row| row.get(0)).optional()?;
    let is_changed_below = is_marked(tx.db, project, below(span).unwrap_or(0), start, start + span)?;
    if now == Some(stamp) && !is_changed_below {
        write(tx.db, project, span, start, changes)?;
        pass_on(tx.db, project, span, start)?;
    }
    Ok(())
}

/// True when the sums of a span are what is below it, which is still kept; `None` where that cannot be said, for something of it is
/// not folded yet, or not kept any more.
pub(crate) fn is_exact(db: &Connection, project: i64, span: i64, start: i64) -> Done<Option<bool>> {
    let kept = kept(db, project)?;
    let below_kept = if span > HOUR { kept.hours } else { kept.minutes };
    if start < below_kept || is_marked(db, project, span, start, start + span)? {
        return Ok(None);
    }
    let changes = add_up(db, Target { project, span, start, stamp: 0 })?;
    Ok(Some(changes == Changes::default()))
}

fn fold_minutes(tx: &mut Tx<'_>, until: i64) -> Done<()> {
    let sql = "SELECT project, start FROM unfolded WHERE span = 1 AND start < ?1 ORDER BY start, project LIMIT ?2";
    let mut select = tx.db.prepare_cached(sql)?;
    let minutes = select.query_map([until, MINUTES], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let minutes: Vec<(i64, i64)> = minutes.collect::<rusqlite::Result<_>>()?;
    let mut read = 0;
    for (project, minute) in minutes {
        read += fold_minute(tx, project, minute)?;
        if read >= ROWS {
            break;
        }
    }
    Ok(())
}

/// Folds one minute; returns how many rows it has.
fn fold_minute(tx: &mut Tx<'_>, project: i64, minute: i64) -> Done<usize> {
    let db = tx.db;
    let kept = kept(db, project)?;
    let mut sums = Sums::default();
    let rows = add_minutes(db, project, minute, minute + 1, &mut sums)?;
    if minute >= kept.minutes {
        let changes = sums.in_place_of(1, stored(db, project, 1, minute)?)?;
        write(db, project, 1, minute, &changes)?;
        pass_on(db, project, 1, minute)?;
    } else {
        // The minute itself is not kept any more: what has come late goes to the shortest span that is.
        let span = kept.shortest(minute);
        let start = begin_of(minute, span);
        if minute >= kept.days {
            let changes = sums.added_to(span, &stored(db, project, span, start)?)?;
            write(db, project, span, start, &changes)?;
            pass_on(db, project, span, start)?;
        }
        db.prepare_cached("DELETE FROM rollups WHERE project = ?1 AND minute = ?2")?.execute([project, minute])?;
        unmark(db, project, 1, minute)?;
        tx.caches.rollups.forget();
    }
    tx.caches.rollups.unmark(project, minute);
    Ok(rows)
}

/// Adds the rows of minutes to `sums`; returns how many there are.
fn add_minutes(db: &Connection, project: i64, since: i64, until: i64, sums: &mut Sums) -> Done<usize> {
    let sql = "SELECT name, queue, data FROM rollups WHERE project = ?1 AND minute >= ?2 AND minute < ?3";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query([project, since, until])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        sums.add(row.get(0)?, row.get(1)?, &decode(data)?);
        count += 1;
    }
    Ok(count)
}

/// The rows of a span as they are stored.
fn stored(db: &Connection, project: i64, span: i64, start: i64) -> Done<Stored> {
    let sql = "SELECT name, queue, data FROM rollup_sums WHERE project = ?1 AND span = ?2 AND start = ?3";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query([project, span, start])?;
    let mut stored = Stored::default();
    while let Some(row) = rows.next()? {
        stored.extend([(row.get(0)?, row.get(1)?, row.get(2)?)]);
    }
    Ok(stored)
}

fn write(db: &Connection, project: i64, span: i64, start: i64, changes: &Changes) -> Done<()> {
    let sql = "INSERT INTO rollup_sums (project, span, start, name, queue, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (project, span, start, name, queue) DO UPDATE SET data = excluded.data";
    let mut put = db.prepare_cached(sql)?;
    for (name, queue, data) in &changes.put {
        put.execute(params![project, span, start, name, queue, data])?;
    }
    let sql = "DELETE FROM rollup_sums WHERE project = ?1 AND span = ?2 AND start = ?3 AND name = ?4 AND queue = ?5";
    let mut remove = db.prepare_cached(sql)?;
    for (name, queue) in &changes.remove {
        remove.execute([project, span, start, *name, *queue])?;
    }
    Ok(())
}

/// Moves the mark of a span to the one around it.
fn pass_on(db: &Connection, project: i64, span: i64, start: i64) -> Done<()> {
    unmark(db, project, span, start)?;
    match above(span) {
        Some(longer) => mark(db, project, longer, begin_of(start, longer)),
        None => Ok(()),
    }
}
