//! Copies by PostgreSQL's own programs, and what an examination finds.

#![expect(clippy::expect_used, reason = "these are tests")]

use std::fs;
use std::future::pending;

use taskplane_model::Timestamp;
use taskplane_store::checkup::{Check, Checkup, Health};
use taskplane_store::{AccessStore, StoreError};
use taskplane_store_postgres::PostgresStore;
use taskplane_store_postgres::backup::{back_up, restore};
use taskplane_store_postgres::checkup::examine;
use taskplane_testkit::PostgresDatabase;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn database() -> PostgresDatabase {
    PostgresDatabase::create().expect("a database")
}

/// A database with tables and a token.
async fn used() -> PostgresDatabase {
    let database = database();
    let store = PostgresStore::connect(&database.url()).await.expect("opens");
    let audit = taskplane_store::access::NewAudit {
        actor: "test".into(),
        action: "token.create".into(),
        target: None,
        detail: None,
    };
    store.create_agent_token(1, Some("a"), [7; 32], audit, NOW).await.expect("is made");
    database
}

fn text(result: Result<impl std::fmt::Debug, StoreError>) -> String {
    result.expect_err("is refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_comes_back_in_an_empty_database_and_nowhere_else() {
    let (from, to) = (used().await, database());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copy.dump");
    let dumped = back_up(&from.url(), &file, false, pending()).await.expect("is copied");
    assert_eq!((dumped.tasks, dumped.bytes), (0, fs::metadata(&file).expect("is there").len()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
    }
    assert!(text(back_up(&from.url(), &file, false, pending()).await).contains("--force"));
    back_up(&from.url(), &file, true, pending()).await.expect("is replaced");
    assert_eq!(fs::read_dir(folder.path()).expect("can be read").count(), 1);

    assert_eq!(restore(&to.url(), &file, pending()).await.expect("is restored"), 0);
    let store = PostgresStore::connect(&to.url()).await.expect("opens");
    assert!(store.agent_token([7; 32]).await.expect("can be read").is_some());
    assert!(text(restore(&to.url(), &file, pending()).await).contains("has data already"));
    assert!(problems(&examine(&to.url(), true, NOW).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_copy_of_ours_is_refused() {
    let (from, to) = (used().await, database());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copy.dump");
    for (bytes, words) in [("SQLite format 3\0and more", "--data-dir"), ("rubbish", "not a backup")] {
        fs::write(&file, bytes).expect("is written");
        assert!(text(restore(&to.url(), &file, pending()).await).contains(words));
    }
    let nothing = text(back_up(&to.url(), &folder.path().join("x"), false, pending()).await);
    assert!(nothing.contains("nothing to copy"), "{nothing}");
    back_up(&from.url(), &file, true, pending()).await.expect("is copied");
    let whole = fs::read(&file).expect("can be read");
    fs::write(&file, &whole[..whole.len() / 2]).expect("is written");
    let half = text(restore(&to.url(), &file, pending()).await);
    assert!(half.contains("pg_restore failed") || half.contains("not a backup"), "{half}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(to.sql(tables).expect("can be read"), "0");
    let stopped = text(back_up(&from.url(), &file, true, async {}).await);
    assert!(stopped.contains("given up"), "{stopped}");
}

fn problems(checkup: &Checkup) -> Vec<(Check, &str)> {
    let problems = checkup.findings().iter().filter(|finding| finding.health == Health::Problem);
    problems.map(|finding| (finding.check, finding.found.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_found_and_nothing_is_changed() {
    let empty = database();
    let found = examine(&empty.url(), false, NOW).await;
    assert_eq!(problems(&found).first().map(|(check, _)| *check), Some(Check::Database), "{found:?}");
    assert_eq!(empty.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").expect("can be read"), "0");

    let database = used().await;
    let found = examine(&database.url(), false, NOW).await;
    assert!(problems(&found).is_empty(), "{found:?}");
    let insert = "INSERT INTO tasks (key, hash, project, engine, name, queue, worker, state, task_id, record) \
                  VALUES (1, 1, 1, 0, 0, 0, 0, 0, '\\x0061', '\\x09')";
    database.sql(insert).expect("is written");
    let streams = "INSERT INTO streams (agent, instance_id, last_seq) VALUES (17, '', 0)";
    database.sql(streams).expect("is written");
    for deep in [false, true] {
        let found = examine(&database.url(), deep, NOW).await;
        let checks: Vec<Check> = problems(&found).iter().map(|(check, _)| *check).collect();
        assert_eq!(checks, [Check::Records, Check::References], "{found:?}");
    }
    let nowhere = examine("postgres://me:hunter2@127.0.0.1:1/d", false, NOW).await;
    let said = problems(&nowhere)[0].1.to_owned();
    assert!(said.contains("cannot be reached") && !said.contains("hunter2"), "{said}");
}
