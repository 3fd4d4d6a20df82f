//! Databases that cannot be opened are refused with a sentence that says what to do, and left alone.

#![expect(clippy::expect_used, reason = "these are tests")]

use taskplane_store::{AccessStore, StoreError};
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::{Authority, PostgresDatabase, PostgresServer};

fn database() -> PostgresDatabase {
    PostgresDatabase::create().expect("a database")
}

async fn refusal(url: &str) -> StoreError {
    PostgresStore::connect(url).await.expect_err("is refused")
}

async fn assert_says(url: &str, words: &[&str]) {
    let error = refusal(url).await;
    let text = error.to_string();
    assert!(matches!(error, StoreError::CannotOpen(_)), "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
    for secret in ["horse", "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    let database = database();
    drop(PostgresStore::connect(&database.url()).await.expect("opens"));
    let sql =
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (999, 'later', '', '0')";
    database.sql(sql).expect("is written");
    let error = refusal(&database.url()).await;
    assert!(matches!(&error, StoreError::NewerSchema(text) if text.contains("999")), "{error}");
    assert_eq!(database.sql("SELECT count(*) FROM tasks").expect("is left as it was"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_something_else_are_left_alone() {
    let database = database();
    database.sql("CREATE TABLE shopping (item text)").expect("is made");
    assert_says(&database.url(), &["not a Taskplane database", "of its own"]).await;
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(database.sql(tables).expect("can be read"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_programs_may_open_a_new_database_at_once() {
    let database = database();
    let opens = (0..8).map(|_| {
        let url = database.url();
        tokio::spawn(async move { PostgresStore::connect(&url).await })
    });
    for open in opens.collect::<Vec<_>>() {
        let store = open.await.expect("does not panic").expect("opens");
        assert_eq!(store.projects().await.expect("can be read").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_its_own_is_enough() {
    let database = database();
    database.sql("CREATE SCHEMA monitoring").expect("is made");
    database.sql("CREATE TABLE public.shopping (item text)").expect("is made");
    let url = database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-csearch_path%3Dmonitoring");
    let store = PostgresStore::connect(&url).await.expect("opens");
    assert_eq!(store.projects().await.expect("can be read").len(), 1);
    assert_eq!(database.sql("SELECT count(*) FROM monitoring.tasks").expect("is there"), "0");
}

/// Takes a few seconds: servers of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_way_in_is_said() {
    let server = PostgresServer::start(None).expect("a server");
    assert_says(&server.url_as("hunter2", "postgres"), &["127.0.0.1", "postgres", "password"]).await;
    assert_says(&server.url_as("correct horse", "nowhere"), &["no database nowhere", "createdb"]).await;
    assert_says(&format!("{}?sslmode=require", server.url()), &["127.0.0.1", "TLS"]).await;
    PostgresStore::connect(&server.url()).await.expect("opens");
    server.crash().expect("ends");
    assert_says(&server.url(), &["127.0.0.1", "cannot be reached", "start it"]).await;
}

/// Takes a few seconds: a server of its own.
#[tokio::test(flavor = "multi_thread")]
async fn with_tls_the_server_is_who_the_authority_says() {
    let authority = Authority::new("ours").expect("an authority");
    let server =
        PostgresServer::start(Some(&authority.server(&["127.0.0.1"]).expect("a certificate"))).expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, authority: &Authority| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).expect("is written");
        path.display().to_string()
    };
    let (ours, other) = (file("ours", &authority), file("other", &Authority::new("other").expect("an authority")));
    let with = |query: &str| format!("{}?{query}", server.url());
    for query in
        ["sslmode=require", "sslmode=disable", "sslmode=prefer", &format!("sslmode=verify-full&sslrootcert={ours}")]
    {
        PostgresStore::connect(&with(query)).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    for query in ["sslmode=verify-full".to_owned(), format!("sslmode=verify-full&sslrootcert={other}")] {
        assert_says(&with(&query), &["certificate"]).await;
    }
    assert_says(&with("sslmode=verify-full&sslrootcert=/nowhere.pem"), &["/nowhere.pem"]).await;
}
