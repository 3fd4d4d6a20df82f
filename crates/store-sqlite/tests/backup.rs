//! Copies are whole, also while somebody writes; and only a whole copy takes the place of a database.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use taskplane_model::access::Role;
use taskplane_store::access::SecretHash;
use taskplane_store::ingest::Verdict;
use taskplane_store::{AccessStore, IngestStore, StoreError, TaskStore};
use taskplane_store_sqlite::backup::{Copied, back_up, restore};
use taskplane_store_sqlite::{Claim, SqliteStore};
use tempfile::{TempDir, tempdir};

mod samples;

use samples::{NOW, batch, open, store_batches, task_id};

fn copy(folder: &Path, to: &Path) -> Result<Copied, StoreError> {
    back_up(folder, to, false, |_| ControlFlow::Continue(()))
}

/// A folder with a backup of 5 batches, and a folder where a brain has never been.
async fn a_backup() -> (TempDir, PathBuf, PathBuf) {
    let parent = tempdir().expect("a folder");
    let (data, to) = (parent.path().join("data"), parent.path().join("backup #1 100%.db"));
    let (store, stream) = open(&data).await;
    store_batches(&store, stream, 1, 5).await;
    assert_eq!(copy(&data, &to).expect("is copied").tasks, 50);
    (parent, to, data)
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("can be read");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_all_that_was_acknowledged_before_and_is_made_while_more_is_written() {
    let parent = tempdir().expect("a folder");
    let (data, to, other) = (parent.path().join("data"), parent.path().join("copy.db"), parent.path().join("other"));
    let (store, stream) = open(&data).await;
    store_batches(&store, stream, 1, 200).await;
    let (acknowledged, written) = (AtomicU64::new(200), AtomicU64::new(0));
    let runtime = tokio::runtime::Handle::current();
    let copied = back_up(&data, &to, false, |progress| {
        // The writer goes on between the steps of the copy.
        let seq = acknowledged.load(Ordering::SeqCst) + 1;
        tokio::task::block_in_place(|| runtime.block_on(store_batches(&store, stream, seq, seq)));
        acknowledged.store(seq, Ordering::SeqCst);
        written.fetch_add(1, Ordering::SeqCst);
        assert!(progress.done <= progress.total);
        ControlFlow::Continue(())
    });
    assert_eq!(copied.expect("is copied").tasks, 2_000);
    assert!(written.load(Ordering::SeqCst) > 0);
    restore(&other, &to, false, "t").expect("is restored");
    let (restored, stream) = open(&other).await;
    assert_eq!(stream.last_seq, 200);
    for seq in [1, 100, 200] {
        let task = restored.task(1, "celery", &task_id(seq, 9)).await.expect("can be read");
        assert!(task.is_some(), "{seq}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_a_copy_and_nothing_lies_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, to, data) = a_backup().await;
    assert_eq!(fs::metadata(&to).expect("is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(names_in(parent.path()), ["backup #1 100%.db", "data"]);
    let kept = fs::read(&to).expect("can be read");
    let error = copy(&data, &to).expect_err("is there already").to_string();
    assert!(error.contains("--force") && error.contains("backup #1"), "{error}");
    assert_eq!(fs::read(&to).expect("can be read"), kept);
    back_up(&data, &to, true, |_| ControlFlow::Continue(())).expect("is replaced");
    let error = back_up(&data, &to, true, |_| ControlFlow::Break(())).expect_err("is given up").to_string();
    assert!(error.contains("given up"), "{error}");
    let error =
        back_up(&data, &data.join("taskplane.db"), true, |_| ControlFlow::Continue(())).expect_err("is refused");
    assert!(error.to_string().contains("the database itself"), "{error}");
    let error = copy(&data.join("nowhere"), &parent.path().join("x")).expect_err("there is none").to_string();
    assert!(error.contains("no database") && error.contains("--data-dir"), "{error}");
    assert_eq!(names_in(parent.path()), ["backup #1 100%.db", "data"]);
}

#[tokio::test]
async fn a_folder_with_a_running_brain_or_with_data_is_not_overwritten() {
    let (_parent, from, data) = a_backup().await;
    let claim = Claim::take(&data).expect("is free");
    let error = restore(&data, &from, true, "t").expect_err("a brain runs").to_string();
    assert!(error.contains("another brain runs"), "{error}");
    drop(claim);
    let error = restore(&data, &from, false, "t").expect_err("has data").to_string();
    assert!(error.contains("--force"), "{error}");
    let (store, stream) = open(&data).await;
    store_batches(&store, stream, 6, 7).await;
    let error = restore(&data, &from, true, "t").expect_err("is open").to_string();
    assert!(error.contains("another program has"), "{error}");
    drop(store);
    let restored = restore(&data, &from, true, "t").expect("is restored");
    let kept = restored.kept.expect("is kept");
    assert_eq!(kept, data.join("taskplane.db.before-restore-t"));
    assert_eq!(names_in(&data), ["brain.lock", "taskplane.db", "taskplane.db.before-restore-t"]);
    assert_eq!(open(&data).await.1.last_seq, 5);
    // What was there before is whole, too.
    let before = tempdir().expect("a folder");
    restore(before.path(), &kept, false, "t").expect("is restored");
    assert_eq!(open(before.path()).await.1.last_seq, 7);
}

#[tokio::test]
async fn a_damaged_database_can_be_replaced() {
    let (_parent, from, data) = a_backup().await;
    fs::write(data.join("taskplane.db"), "rubbish").expect("is written");
    fs::write(data.join("taskplane.db-wal"), "more of it").expect("is written");
    let restored = restore(&data, &from, true, "t").expect("is restored");
    assert_eq!(fs::read_to_string(restored.kept.expect("is kept")).expect("can be read"), "rubbish");
    assert_eq!(fs::read_to_string(data.join("taskplane.db.before-restore-t-wal")).expect("is kept"), "more of it");
    assert_eq!(open(&data).await.1.last_seq, 5);
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_nothing_is_changed() {
    let (parent, from, _) = a_backup().await;
    let target = parent.path().join("target");
    let whole = fs::read(&from).expect("can be read");
    let refused = |name: &str, bytes: &[u8], words: &str| {
        let file = parent.path().join(name);
        fs::write(&file, bytes).expect("is written");
        let error = restore(&target, &file, false, "t").expect_err(name).to_string();
        assert!(error.contains(words) && error.contains(name), "{name}: {error}");
        assert!(!target.join("taskplane.db").exists(), "{name}");
    };
    refused("list", b"This is a shopping list.", "not a Taskplane database");
    refused("empty", b"", "not a Taskplane database");
    refused("half", &whole[..whole.len() / 2], "damaged");
    let other = parent.path().join("other");
    rusqlite::Connection::open(&other).expect("opens").execute_batch("CREATE TABLE shopping (item)").expect("is made");
    refused("shopping", &fs::read(&other).expect("can be read"), "not a Taskplane database");
    rusqlite::Connection::open(&from).expect("opens").pragma_update(None, "user_version", 999).expect("is set");
    refused("newer", &fs::read(&from).expect("can be read"), "newer Taskplane");
    let with_log = parent.path().join("with-log");
    fs::write(&with_log, &whole).expect("is written");
    fs::write(parent.path().join("with-log-wal"), "not nothing").expect("is written");
    let error = restore(&target, &with_log, false, "t").expect_err("is not whole").to_string();
    assert!(error.contains("write-ahead log") && error.contains("taskplane backup"), "{error}");
    let error = restore(&target, &parent.path().join("nowhere"), false, "t").expect_err("is not there").to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn a_folder_in_which_a_brain_was_only_started_is_empty() {
    let (parent, from, _) = a_backup().await;
    let started = parent.path().join("started");
    let store = SqliteStore::open(&started).expect("opens");
    let link: SecretHash = [7; 32];
    store.create_signin_link(link, Role::Admin, NOW.plus(1_000), NOW).await.expect("is made");
    drop(store);
    let restored = restore(&started, &from, false, "t").expect("is restored");
    assert_eq!((restored.copied.tasks, restored.kept), (50, None));
}

#[tokio::test]
async fn after_an_old_state_came_back_numbers_that_are_missing_are_counted_as_lost() {
    let (_parent, from, data) = a_backup().await;
    let (store, stream) = open(&data).await;
    store_batches(&store, stream, 6, 9).await;
    drop(store);
    restore(&data, &from, true, "t").expect("is restored");
    let (store, stream) = open(&data).await;
    assert_eq!(stream.last_seq, 5);
    // The agent has forgotten 6 and 7, which were acknowledged, and still has 8 and 9.
    let recorded =
        store.record_batches(vec![batch(stream, 8, 10), batch(stream, 9, 10)], false).await.expect("is stored");
    let verdicts: Vec<Verdict> = recorded.batches.iter().map(|(verdict, _)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::Stored { lost: 2 }, Verdict::Stored { lost: 0 }]);
    for (seq, is_there) in [(5, true), (6, false), (8, true)] {
        let task = store.task(1, "celery", &task_id(seq, 0)).await.expect("can be read");
        assert_eq!(task.is_some(), is_there, "{seq}");
    }
    // Ids of the backup are known to the new run: a late event of theirs makes no second task.
    let mut late = batch(stream, 10, 0);
    late.tasks = batch(stream, 3, 10).tasks;
    store.record_batches(vec![late], false).await.expect("is stored");
    drop(store);
    assert_eq!(copy(&data, &data.join("again.db")).expect("is copied").tasks, 70);
}

#[tokio::test]
async fn what_an_earlier_version_has_made_can_shrink_when_it_is_restored() {
    let (_parent, to, data) = a_backup().await;
    let db = rusqlite::Connection::open(&to).expect("opens");
    db.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = DELETE").expect("is made as it was");
    drop(db);
    let restored = restore(&data, &to, true, "now").expect("is restored");
    assert_eq!(restored.copied.tasks, 50);
    let store = SqliteStore::open(&data).expect("opens");
    assert!(taskplane_store::RetentionStore::storage(&store).await.expect("can be read").gives_back);
    assert!(store.task(1, "celery", &task_id(3, 3)).await.expect("can be read").is_some());
    let names = names_in(&data);
    assert!(names.iter().all(|name| !name.contains(".part")), "{names:?}");
}
