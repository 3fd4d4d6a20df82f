//! An examination of the database in a folder. It opens the file read-only, also while a brain runs, and changes nothing.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction};
use taskplane_model::Timestamp;
use taskplane_store::checkup::{Check, Checkup};

use crate::backup::schema;
use crate::errors::Done;
use crate::names::Names;
use crate::open::{SCHEMA, file_in};
use crate::readers::{View, open_reader};

mod derived;
mod folder;
mod pages;
mod rows;
mod task_ids;

/// Looks at everything. With `deep`, reads all pages in all ways and every row; else samples.
pub fn examine(folder: &Path, deep: bool, now: Timestamp) -> Checkup {
    let mut checkup = Checkup::default();
    let file = file_in(folder);
    match look_inside(&mut checkup, &file, deep, now) {
        Ok(()) => {}
        Err(fault) => checkup.unchecked(Check::Database, &fault.into_error(&file)),
    }
    folder::look(&mut checkup, folder, &file);
    checkup
}

fn look_inside(checkup: &mut Checkup, file: &Path, deep: bool, now: Timestamp) -> Done<()> {
    if !file.exists() {
        let found = format!("there is no {}", file.display());
        checkup.problem(Check::Database, found, "name the folder that the brain was started with, by --data-dir");
        return Ok(());
    }
    // SQLite takes an empty file for a new database.
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut db = open_reader(file)?;
    let version = schema(&db, file)?;
    checkup.ok(Check::Database, format!("{} is a Taskplane database", file.display()));
    if version == SCHEMA {
        checkup.ok(Check::Schema, format!("version {version}, which this program writes"));
    } else {
        let found = format!("version {version}; this program writes {SCHEMA}");
        let advice = "back it up before a brain of this version starts, which changes it; some checks are left out";
        checkup.warning(Check::Schema, found, advice);
    }
    checkup.ok(Check::Version, format!("SQLite {}", rusqlite::version()));
    pages::look(checkup, &db, deep)?;
    pages::look_at_shrinking(checkup, &db)?;
    let snapshot = db.transaction()?;
    look_at_rows(checkup, file, &snapshot, deep, now);
    if version == SCHEMA {
        look_at_derived(checkup, file, &snapshot, deep, now);
    }
    Ok(())
}

fn look_at_rows(checkup: &mut Checkup, file: &Path, snapshot: &Transaction<'_>, deep: bool, now: Timestamp) {
    let names = Names::default();
    let view = View { db: snapshot, names: &names };
    let looks = [
        (Check::TaskIds, task_ids::look(checkup, &view, deep)),
        (Check::Records, rows::look_at_records(checkup, &view, deep)),
        (Check::Statistics, rows::look_at_statistics(checkup, snapshot, "rollups", deep)),
        (Check::Streams, rows::look_at_streams(checkup, snapshot)),
        (Check::References, rows::look_at_references(checkup, snapshot)),
        (Check::Clock, rows::look_at_clock(checkup, snapshot, now)),
    ];
    tell_unchecked(checkup, file, looks);
}

fn look_at_derived(checkup: &mut Checkup, file: &Path, snapshot: &Transaction<'_>, deep: bool, now: Timestamp) {
    let looks = [
        (Check::Statistics, rows::look_at_statistics(checkup, snapshot, "rollup_sums", deep)),
        (Check::Statistics, derived::look_at_sums(checkup, snapshot, deep)),
        (Check::Search, derived::look_at_search(checkup, snapshot)),
        (Check::Retention, derived::look_at_retention(checkup, snapshot, now)),
    ];
    tell_unchecked(checkup, file, looks);
}

/// What one check cannot read, another may: what it finds is worth knowing all the same.
fn tell_unchecked(checkup: &mut Checkup, file: &Path, looks: impl IntoIterator<Item = (Check, Done<()>)>) {
    for (check, looked) in looks {
        if let Err(fault) = looked {
            checkup.unchecked(check, &fault.into_error(file));
        }
    }
}
