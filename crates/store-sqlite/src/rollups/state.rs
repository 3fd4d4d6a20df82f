//! What is folded and what is kept.

use rusqlite::{Connection, OptionalExtension, params};
use taskplane_store::backend::stats::{DAY, HOUR, KeptFrom, Mark, SPANS, State, begin_of};

use crate::errors::Done;

/// What a reader of the minutes from `since` to `until` has to know.
pub(super) fn state(db: &Connection, project: i64, since: i64, until: i64) -> Done<State> {
    let Some(extent) = extent(db, project)? else { return Ok(State::default()) };
    let mut marks = Vec::new();
    let (first, last) = (since.max(begin_of(extent.0, DAY)), until.min(extent.1 + DAY));
    let sql = "SELECT start FROM unfolded WHERE span = ?1 AND start >= ?2 AND start < ?3 AND project = ?4";
    let mut select = db.prepare_cached(sql)?;
    for span in SPANS {
        let mut rows = select.query([span, begin_of(first, DAY), last.saturating_add(DAY), project])?;
        while let Some(row) = rows.next()? {
            marks.push(Mark { span, start: row.get(0)? });
        }
    }
    Ok(State { kept: kept(db, project)?, extent: Some(extent), marks })
}

/// What is kept of a project.
pub(super) fn kept(db: &Connection, project: i64) -> Done<KeptFrom> {
    let sql = "SELECT minutes, hours, days FROM rollup_horizons WHERE project = ?1";
    let read = |row: &rusqlite::Row<'_>| Ok(KeptFrom { minutes: row.get(0)?, hours: row.get(1)?, days: row.get(2)? });
    Ok(db.prepare_cached(sql)?.query_row([project], read).optional()?.unwrap_or_default())
}

/// Notes what is kept of a project from now on.
pub(super) fn keep(db: &Connection, project: i64, kept: KeptFrom) -> Done<()> {
    let sql = "INSERT INTO rollup_horizons (project, minutes, hours, days) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (project) DO UPDATE SET minutes = excluded.minutes, hours = excluded.hours, days = excluded.days";
    db.prepare_cached(sql)?.execute([project, kept.minutes, kept.hours, kept.days])?;
    Ok(())
}

/// The first and last minute of which there is anything.
fn extent(db: &Connection, project: i64) -> Done<Option<(i64, i64)>> {
    let one = |sql: &str, span: i64| -> Done<Option<i64>> {
        Ok(db.prepare_cached(sql)?.query_row(params![project, span], |row| row.get(0))?)
    };
    let minutes = [
        one("SELECT min(minute) FROM rollups WHERE project = ?1 AND ?2 > 0", 1)?,
        one("SELECT max(minute) FROM rollups WHERE project = ?1 AND ?2 > 0", 1)?,
    ];
    let mut all = minutes.into_iter().flatten().collect::<Vec<_>>();
    for span in [HOUR, DAY] {
        all.extend(one("SELECT min(start) FROM rollup_sums WHERE project = ?1 AND span = ?2", span)?);
        let last = one("SELECT max(start) FROM rollup_sums WHERE project = ?1 AND span = ?2", span)?;
        all.extend(last.map(|start| start + span - 1));
    }
    Ok(all.iter().copied().min().zip(all.iter().copied().max()))
}

/// Says that a minute has changed.
pub(crate) fn mark_minute(db: &Connection, project: i64, minute: i64) -> Done<()> {
    let sql = "INSERT INTO unfolded (span, start, project, stamp) VALUES (1, ?1, ?2, 0) ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute([minute, project])?;
    Ok(())
}

/// Says that something in a span has changed.
pub(super) fn mark(db: &Connection, project: i64, span: i64, start: i64) -> Done<()> {
    let sql = "INSERT INTO unfolded (span, start, project, stamp) VALUES (?1, ?2, ?3, random())
        ON CONFLICT DO UPDATE SET stamp = excluded.stamp";
    db.prepare_cached(sql)?.execute([span, start, project])?;
    Ok(())
}

/// Says that a span is folded.
pub(super) fn unmark(db: &Connection, project: i64, span: i64, start: i64) -> Done<()> {
    let sql = "DELETE FROM unfolded WHERE span = ?1 AND start = ?2 AND project = ?3";
    db.prepare_cached(sql)?.execute([span, start, project])?;
    Ok(())
}

/// True when a span of at most `longest` minutes that begins from `since` to `until` is not folded.
pub(super) fn is_marked(db: &Connection, project: i64, longest: i64, since: i64, until: i64) -> Done<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM unfolded WHERE span = ?1 AND start >= ?2 AND start < ?3 AND project = ?4)";
    let mut select = db.prepare_cached(sql)?;
    for span in SPANS.into_iter().filter(|span| *span <= longest) {
        if select.query_row([span, since, until, project], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}
