//! What a count reads of censuses.

use rusqlite::OptionalExtension;
use taskplane_store::backend::census::count::Outline;
use taskplane_store::backend::search::lookup::Rows;

use super::censuses;
use crate::errors::Done;
use crate::readers::View;
use crate::retention::tasks_below;

/// What there is of censuses between two keys.
pub(crate) fn outline(view: &View<'_>, from: i64, below: i64) -> Done<Outline> {
    let mut select = view.db.prepare_cached("SELECT key FROM census_changes WHERE key >= ?1 AND key < ?2")?;
    let changed = select.query_map([from, below], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let first: Option<i64> = view.db.prepare_cached("SELECT min(key) FROM tasks")?.query_row([], |row| row.get(0))?;
    Ok(Outline {
        censuses: censuses(view.db, from, below)?,
        changed,
        dropped_below: tasks_below(view.db)?,
        first: first.unwrap_or(i64::MIN),
    })
}

/// The rows at these places, as far as they are there.
pub(crate) fn rows(view: &View<'_>, places: Vec<i64>) -> Done<Rows> {
    let mut select = view.db.prepare_cached("SELECT body FROM census_rows WHERE place = ?1")?;
    let mut rows = Rows::default();
    for place in places {
        if let Some(body) = select.query_row([place], |row| row.get(0)).optional()? {
            rows.insert(place, body);
        }
    }
    Ok(rows)
}
