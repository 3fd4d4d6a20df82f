//! What SQLite itself says of the pages.

use rusqlite::Connection;
use taskplane_store::checkup::{Check, Checkup};

use crate::errors::Done;

/// What to do about a damaged file.
pub(super) const RESTORE: &str = "stop the brain and restore a backup: `taskplane restore --force`";

pub(super) fn look(checkup: &mut Checkup, db: &Connection, deep: bool) -> Done<()> {
    let sql = if deep { "PRAGMA integrity_check(1)" } else { "PRAGMA quick_check(1)" };
    let name = if deep { "integrity_check" } else { "quick_check" };
    match db.query_row(sql, [], |row| row.get::<_, String>(0)) {
        Ok(said) if said == "ok" => {
            let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
            checkup.ok(Check::Pages, format!("{pages} pages pass SQLite's {name}"));
        }
        // A title stands above what was found, on a line of its own.
        Ok(said) => {
            let said = said.lines().last().unwrap_or_default().to_owned();
            checkup.problem(Check::Pages, format!("the file is damaged: {said}"), RESTORE);
        }
        Err(error) => checkup.problem(Check::Pages, format!("the file is damaged: {error}"), RESTORE),
    }
    Ok(())
}
