//! What is made from other rows: sums of statistics, the search index, and where dropping stands.

use std::collections::BTreeSet;

use rusqlite::Connection;
use taskplane_model::Timestamp;
use taskplane_store::backend::census;
use taskplane_store::backend::search::{keys_place, place};
use taskplane_store::checkup::{Check, Checkup, SAMPLE};

use super::pages::RESTORE;
use super::rows::spread;
use crate::errors::Done;
use crate::ids;
use crate::rollups;

/// Spans that are added up again when not all of them are.
const SPANS: usize = 50;
/// What must not lie in the future: keys below which something was dropped or forgotten, and minutes from which on something is kept.
const POSITIONS: &str = "SELECT coalesce(max(value), 0), coalesce(min(value), 0) FROM settings
    WHERE name IN ('tasks_dropped_below', 'links_forgotten_below', 'ids_forgotten_below', 'search_forgotten_below')";
const HORIZONS: &str =
    "SELECT coalesce(max(minutes), 0), coalesce(sum(minutes < hours OR hours < days), 0) FROM rollup_horizons";

/// Sums of statistics are what is below them.
pub(super) fn look_at_sums(checkup: &mut Checkup, db: &Connection, deep: bool) -> Done<()> {
    let mut select = db.prepare("SELECT project, span, start FROM rollup_sums WHERE id = ?1")?;
    let mut spans: BTreeSet<(i64, i64, i64)> = BTreeSet::new();
    for id in spread(db, "rollup_sums", "id", if deep { SAMPLE } else { SPANS })? {
        spans.insert(select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?);
    }
    let (mut looked, mut wrong) = (0, 0);
    for (project, span, start) in spans {
        if let Some(exact) = rollups::is_exact(db, project, span, start)? {
            looked += 1;
            wrong += usize::from(!exact);
        }
    }
    if wrong == 0 {
        checkup.ok(Check::Statistics, format!("{looked} sums of statistics are right"));
    } else {
        let found = format!("{wrong} of {looked} sums of statistics are not what they are sums of");
        checkup.problem(Check::Statistics, found, RESTORE);
    }
    Ok(())
}

/// Every segment of the search index has its rows, and every row its segment.
pub(super) fn look_at_search(checkup: &mut Checkup, db: &Connection) -> Done<()> {
    let mut select = db.prepare("SELECT id, low < high AND tasks > 0 FROM search_segments")?;
    let segments = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let segments: Vec<(i64, bool)> = segments.collect::<rusqlite::Result<_>>()?;
    let mut has_row = db.prepare("SELECT 1 FROM search_buckets WHERE place = ?1")?;
    let mut wrong = 0;
    for (id, makes_sense) in &segments {
        wrong += usize::from(!makes_sense || !has_row.exists([keys_place(*id)])?);
    }
    let numbers: BTreeSet<i64> = segments.iter().map(|(id, _)| *id).collect();
    let strays = of_rows(db)?.iter().filter(|id| !numbers.contains(id)).count();
    let sql = "SELECT count(*) = 1 AND min(indexed_until <= indexing_until) FROM search_state";
    let state: Option<bool> = db.query_row(sql, [], |row| row.get(0))?;
    let (censuses, broken) = look_at_censuses(db)?;
    if broken > 0 {
        let found = format!("{broken} of {censuses} censuses, from which tasks are counted, are not whole");
        checkup.problem(Check::Search, found, RESTORE);
    } else if (wrong, strays, state) == (0, 0, Some(true)) {
        let found = format!("{} segments of the search index and {censuses} censuses are whole", segments.len());
        checkup.ok(Check::Search, found);
    } else {
        let says = if state == Some(true) { "" } else { "; where the indexer stands makes no sense" };
        let found = format!(
            "{wrong} of {} segments of the search index are not whole, {strays} are left over{says}",
            segments.len()
        );
        checkup.problem(Check::Search, found, RESTORE);
    }
    Ok(())
}

/// How many censuses there are, and how many of them lack rows, overlap, or reach beyond what is noted.
fn look_at_censuses(db: &Connection) -> Done<(usize, usize)> {
    let sql = "SELECT id, low < high AND tasks > 0 AND high <= (SELECT taking_until FROM census_state)
            AND low >= coalesce(lag(high) OVER (ORDER BY low), low)
        FROM censuses";
    let mut select = db.prepare(sql)?;
    let censuses = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let censuses: Vec<(i64, Option<bool>)> = censuses.collect::<rusqlite::Result<_>>()?;
    let mut has_row = db.prepare("SELECT 1 FROM census_rows WHERE place = ?1")?;
    let mut broken = 0;
    for (id, makes_sense) in &censuses {
        let (directory, _) = census::places_of(*id);
        broken += usize::from(*makes_sense != Some(true) || !has_row.exists([directory])?);
    }
    Ok((censuses.len(), broken))
}

/// The segments of which there are rows, found by stepping from one to the next.
fn of_rows(db: &Connection) -> Done<Vec<i64>> {
    let mut next = db.prepare("SELECT min(place) FROM search_buckets WHERE place >= ?1")?;
    let (mut found, mut from) = (Vec::new(), i64::MIN);
    while let Some(at) = next.query_row([from], |row| row.get::<_, Option<i64>>(0))? {
        let segment = at.div_euclid(place(1, 0));
        found.push(segment);
        from = place(segment + 1, 0);
    }
    Ok(found)
}

/// Nothing was dropped that has not happened yet.
pub(super) fn look_at_retention(checkup: &mut Checkup, db: &Connection, now: Timestamp) -> Done<()> {
    let (last, first): (i64, i64) = db.query_row(POSITIONS, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (minutes, reversed): (i64, i64) = db.query_row(HORIZONS, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if last <= ids::least_key(now) && first >= 0 && minutes <= now.minute() && reversed == 0 {
        checkup.ok(Check::Retention, "what was dropped lies in the past");
    } else {
        let found = "the places up to which things were dropped make no sense, or this machine's clock is behind";
        checkup.problem(Check::Retention, found, format!("correct the clock, or {RESTORE}"));
    }
    Ok(())
}
