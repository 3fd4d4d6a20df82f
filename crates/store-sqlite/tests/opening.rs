//! Files that cannot be opened are refused with a sentence; files that were left in a hurry are not.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::fs;
use std::path::Path;

use taskplane_store::{AccessStore, StoreError};
use taskplane_store_sqlite::SqliteStore;
use tempfile::tempdir;

fn refusal(folder: &Path) -> StoreError {
    SqliteStore::open(folder).expect_err("is refused")
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempdir().expect("a folder");
    drop(SqliteStore::open(folder.path()).expect("opens"));
    let file = folder.path().join("taskplane.db");
    rusqlite::Connection::open(&file).expect("opens").pragma_update(None, "user_version", 999).expect("is set");
    let before = fs::read(&file).expect("can be read");
    let error = refusal(folder.path());
    assert!(
        matches!(&error, StoreError::NewerSchema(text) if text.contains("999") && text.contains("taskplane.db")),
        "{error}"
    );
    assert_eq!(fs::read(&file).expect("can be read"), before, "is left as it was");
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("taskplane.db");
    fs::write(&file, "This is a shopping list. ".repeat(1_000)).expect("is written");
    let error = refusal(folder.path());
    assert!(matches!(&error, StoreError::CannotOpen(text) if text.contains("not a Taskplane database")), "{error}");
    fs::remove_file(&file).expect("is removed");
    let other = rusqlite::Connection::open(&file).expect("opens");
    other.execute_batch("CREATE TABLE shopping (item TEXT)").expect("is made");
    drop(other);
    let error = refusal(folder.path());
    assert!(matches!(&error, StoreError::CannotOpen(text) if text.contains("not a Taskplane database")), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("is written");
    let error = refusal(&file.join("data"));
    assert!(matches!(&error, StoreError::CannotOpen(text) if text.contains("data")), "{error}");
    let error = refusal(&file);
    assert!(matches!(&error, StoreError::CannotOpen(_)), "{error}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // The super-user may write everywhere, so this is a file system that nobody can write.
    let error = refusal(Path::new("/proc/self/taskplane-data"));
    assert!(matches!(&error, StoreError::CannotOpen(text) if text.contains("taskplane-data")), "{error}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempdir().expect("a folder");
    let folder = parent.path().join("deep").join("data");
    let store = SqliteStore::open(&folder).expect("opens");
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).expect("can be read") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(store);
}

#[tokio::test]
async fn two_processes_may_make_it_at_once() {
    let parent = tempdir().expect("a folder");
    let folder = parent.path().join("data");
    let openers: Vec<_> = (0..6)
        .map(|_| {
            let folder = folder.clone();
            std::thread::spawn(move || SqliteStore::open(&folder).map(drop))
        })
        .collect();
    for opener in openers {
        opener.join().expect("does not panic").expect("opens");
    }
    let store = SqliteStore::open(&folder).expect("opens");
    assert_eq!(store.projects().await.expect("can be read").len(), 1);
}
