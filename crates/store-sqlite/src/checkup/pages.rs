//! What SQLite itself says of the pages.

use rusqlite::Connection;
use taskplane_store::checkup::{Check, Checkup, bytes_text};

use crate::errors::Done;
use crate::open::{INCREMENTAL, PAGE_SIZE};

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

/// The file gives free space back.
pub(super) fn look_at_shrinking(checkup: &mut Checkup, db: &Connection) -> Done<()> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = |pages: i64| pages.max(0).cast_unsigned() * PAGE_SIZE;
    let (all, free) = (bytes(pragma("page_count")?), bytes(pragma("freelist_count")?));
    let found = format!("{} of {} are free", bytes_text(free), bytes_text(all));
    if pragma("auto_vacuum")? == INCREMENTAL {
        checkup.ok(Check::Vacuum, format!("{found}; the file shrinks when that is much"));
    } else {
        let advice = "nothing need be done: what is free is used again. To make it shrink, stop the brain, make a backup, and \
            restore it: `taskplane backup`, `taskplane restore --force`";
        checkup.warning(
            Check::Vacuum,
            format!("{found}; an earlier version made the file, and it never shrinks"),
            advice,
        );
    }
    Ok(())
}
