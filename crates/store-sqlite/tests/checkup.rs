//! Whatever is wrong with a database is found, and said in a sentence.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use taskplane_model::Timestamp;
use taskplane_model::time::DAY;
use taskplane_store::checkup::{Check, Checkup, Finding, Health};
use taskplane_store::{SearchStore, StatisticsStore};
use taskplane_store_sqlite::checkup::examine;
use taskplane_store_sqlite::{Claim, SqliteStore};
use tempfile::{TempDir, tempdir};

mod samples;

use samples::{NOW, open, store_batches};

/// A folder with a sound database of 100 batches.
async fn sound() -> TempDir {
    let folder = tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("is set");
    let (store, stream) = open(folder.path()).await;
    store_batches(&store, stream, 1, 100).await;
    drop(store);
    folder
}

fn problems(checkup: &Checkup) -> Vec<&Finding> {
    checkup.findings().iter().filter(|finding| finding.health == Health::Problem).collect()
}

/// Examines a folder in both ways; `check` is the one and only problem, and says `words`.
fn assert_finds(folder: &Path, check: Check, words: &str) {
    for deep in [false, true] {
        let checkup = examine(folder, deep, NOW);
        let found = problems(&checkup);
        assert!(found.iter().any(|finding| finding.check == check && finding.found.contains(words)), "{checkup:#?}");
        assert!(found.iter().all(|finding| finding.check == check), "{checkup:#?}");
    }
}

fn change(folder: &Path, sql: &str) {
    let db = rusqlite::Connection::open(folder.join("taskplane.db")).expect("opens");
    assert!(db.execute(sql, []).expect("is done") > 0, "{sql}");
}

#[tokio::test]
async fn a_sound_database_has_no_problem_and_is_left_as_it_is() {
    let folder = sound().await;
    let file = folder.path().join("taskplane.db");
    let before = fs::read(&file).expect("can be read");
    for deep in [false, true] {
        let checkup = examine(folder.path(), deep, NOW);
        assert!(problems(&checkup).is_empty(), "{checkup:#?}");
        let ids = checkup.findings().iter().find(|finding| finding.check == Check::TaskIds).expect("was looked at");
        assert_eq!(ids.found, "1000 tasks and their ids lead to each other");
    }
    assert!(fs::read(&file).expect("can be read") == before);
}

#[tokio::test]
async fn it_is_examined_while_a_brain_writes() {
    let folder = sound().await;
    let _claim = Claim::take(folder.path()).expect("is free");
    let (store, stream) = open(folder.path()).await;
    store_batches(&store, stream, 101, 110).await;
    let checkup = examine(folder.path(), true, NOW);
    assert!(problems(&checkup).is_empty(), "{checkup:#?}");
    store_batches(&store, stream, 111, 120).await;
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_said() {
    let folder = tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("is set");
    assert_finds(folder.path(), Check::Database, "there is no");
    let file = folder.path().join("taskplane.db");
    for bytes in ["", "This is a shopping list."] {
        fs::write(&file, bytes).expect("is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("is set");
        assert_finds(folder.path(), Check::Database, "not a Taskplane database");
        assert_eq!(fs::read_to_string(&file).expect("can be read"), bytes);
    }
    fs::remove_file(&file).expect("is removed");
    drop(SqliteStore::open(folder.path()).expect("opens"));
    let db = rusqlite::Connection::open(&file).expect("opens");
    db.pragma_update(None, "user_version", 999).expect("is set");
    drop(db);
    assert_finds(folder.path(), Check::Database, "newer Taskplane");
}

#[tokio::test]
async fn damaged_pages_are_found() {
    let folder = sound().await;
    let file = folder.path().join("taskplane.db");
    let whole = fs::read(&file).expect("can be read");
    let damaged = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("is written");
        for deep in [false, true] {
            let checkup = examine(folder.path(), deep, NOW);
            let found = problems(&checkup);
            let is_said = found.iter().any(|finding| finding.found.contains("damaged"));
            assert!(is_said, "{checkup:#?}");
        }
    };
    let mut flipped = whole.clone();
    // Pages of the tables: every 20th, from the second on.
    for page in flipped.chunks_mut(8_192).skip(1).step_by(20) {
        page[..64].iter_mut().for_each(|byte| *byte = !*byte);
    }
    damaged(&flipped);
    damaged(&whole[..whole.len() / 2]);
}

#[tokio::test]
async fn lost_ids_and_tasks_are_found() {
    let folder = sound().await;
    change(folder.path(), "DELETE FROM task_ids WHERE key IN (SELECT key FROM tasks ORDER BY key LIMIT 3)");
    assert_finds(folder.path(), Check::TaskIds, "3 of 1000 tasks");
    let folder = sound().await;
    change(folder.path(), "DELETE FROM tasks WHERE key IN (SELECT key FROM tasks ORDER BY key LIMIT 2)");
    assert_finds(folder.path(), Check::TaskIds, "2 of 1000 ids");
    let folder = sound().await;
    change(
        folder.path(),
        "UPDATE task_ids SET key = (SELECT max(key) FROM tasks) WHERE key = (SELECT min(key) FROM tasks)",
    );
    assert_finds(folder.path(), Check::TaskIds, "1 of 1000 tasks");
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_found() {
    let folder = sound().await;
    change(folder.path(), "UPDATE tasks SET record = x'09' WHERE key = (SELECT max(key) FROM tasks)");
    assert_finds(folder.path(), Check::Records, "1 of 1000 task records");
    let folder = sound().await;
    change(folder.path(), "UPDATE rollups SET data = x'ff'");
    assert_finds(folder.path(), Check::Statistics, "cannot be read");
}

#[tokio::test]
async fn streams_that_went_back_and_rows_that_lead_nowhere_are_found() {
    let folder = sound().await;
    change(folder.path(), "UPDATE streams SET last_seq = 99");
    assert_finds(folder.path(), Check::Streams, "1 of 1 streams");
    let folder = sound().await;
    change(folder.path(), "UPDATE streams SET agent = 17");
    assert_finds(folder.path(), Check::References, "1 streams and 0 schedules");
    let folder = sound().await;
    change(folder.path(), "DELETE FROM streams");
    assert_finds(folder.path(), Check::References, "1 streams with batches");
}

#[tokio::test]
async fn files_that_others_can_open_are_found() {
    let folder = sound().await;
    let file = folder.path().join("taskplane.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("is set");
    assert_finds(folder.path(), Check::Permissions, "mode 644");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("is set");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("is set");
    assert_finds(folder.path(), Check::Permissions, "mode 777");
}

#[tokio::test]
async fn a_clock_that_ran_backwards_is_found() {
    let folder = sound().await;
    let checkup = examine(folder.path(), false, Timestamp(NOW.0 - 3_600_000_000));
    let clock = checkup.findings().iter().find(|finding| finding.check == Check::Clock).expect("was looked at");
    assert_eq!(clock.health, Health::Warning, "{clock:?}");
}

/// A sound database whose statistics are folded, and whose tasks are in the search index.
async fn derived() -> TempDir {
    let folder = sound().await;
    let store = SqliteStore::open(folder.path()).expect("opens");
    let later = NOW.plus(2 * DAY);
    while store.fold_statistics(later).await.expect("folds") {}
    while store.index_tasks(later).await.expect("indexes") {}
    folder
}

#[tokio::test]
async fn sums_that_are_wrong_are_found() {
    let folder = derived().await;
    let sums = |checkup: &Checkup| {
        let of_sums = |finding: &&Finding| finding.check == Check::Statistics && finding.found.contains("sums of");
        checkup.findings().iter().find(of_sums).map(|finding| finding.found.clone())
    };
    let said = sums(&examine(folder.path(), true, NOW));
    assert!(said.as_ref().is_some_and(|said| said.ends_with("are right") && !said.starts_with("0 ")), "{said:?}");
    change(folder.path(), "DELETE FROM rollup_sums WHERE span = 60 AND name >= 0 AND queue >= 0");
    assert_finds(folder.path(), Check::Statistics, "are not what they are sums of");
    let folder = derived().await;
    change(folder.path(), "UPDATE rollup_sums SET data = x'ff' WHERE span = 1440");
    assert_finds(folder.path(), Check::Statistics, "rows of rollup_sums cannot be read");
}

#[tokio::test]
async fn a_search_index_that_is_not_whole_is_found() {
    let folder = derived().await;
    change(folder.path(), "DELETE FROM search_buckets");
    assert_finds(folder.path(), Check::Search, "1 of 1 segments");
    let folder = derived().await;
    change(folder.path(), "UPDATE search_segments SET id = id + 7");
    assert_finds(folder.path(), Check::Search, "1 are left over");
    let folder = derived().await;
    change(folder.path(), "UPDATE search_state SET indexed_until = indexing_until + 1");
    assert_finds(folder.path(), Check::Search, "makes no sense");
    let folder = derived().await;
    change(folder.path(), "INSERT INTO censuses VALUES (1, 0, 10, 5)");
    assert_finds(folder.path(), Check::Search, "1 of 1 censuses");
}

#[tokio::test]
async fn what_would_be_dropped_before_it_happens_is_found() {
    let folder = sound().await;
    change(folder.path(), "INSERT INTO settings VALUES ('tasks_dropped_below', 1 << 62)");
    assert_finds(folder.path(), Check::Retention, "make no sense");
    let folder = sound().await;
    change(folder.path(), "INSERT INTO rollup_horizons VALUES (1, 60, 1440, 0)");
    assert_finds(folder.path(), Check::Retention, "make no sense");
}

#[tokio::test]
async fn a_file_that_never_shrinks_is_said_with_what_to_do_about_it() {
    let folder = sound().await;
    let says = |folder: &Path| {
        let checkup = examine(folder, false, NOW);
        assert!(problems(&checkup).is_empty(), "{checkup:#?}");
        checkup.findings().iter().find(|finding| finding.check == Check::Vacuum).cloned().expect("was looked at")
    };
    assert_eq!(says(folder.path()).health, Health::Ok);
    let db = rusqlite::Connection::open(folder.path().join("taskplane.db")).expect("opens");
    db.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").expect("is made as it was");
    drop(db);
    let said = says(folder.path());
    assert!(said.health == Health::Warning && said.advice.contains("taskplane restore"), "{said:?}");
}
