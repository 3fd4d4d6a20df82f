//! The server takes the ways that are meant, also through tables that it knows nothing of yet.

#![expect(clippy::expect_used, reason = "these are tests")]

mod samples;

use std::time::{Duration, Instant};

use samples::{NOW, batch, counted, deliver, open};
use taskplane_model::TaskEventKind::{Sent, Succeeded};
use taskplane_model::filter::TaskFilter;
use taskplane_store::TaskStore;
use taskplane_store::tasks::TaskQuery;
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::PostgresDatabase;

const TASKS: usize = 4_000;
const CALLS: usize = 20;

/// Rows of an index that were read, as far as the server's connections have reported; and how often it was used.
fn used(database: &PostgresDatabase, index: &str) -> (usize, usize) {
    let sql = format!("SELECT idx_tup_read, idx_scan FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
    let said = database.sql(&sql).expect("can be read");
    let (read, scans) = said.split_once('|').expect("two columns");
    (read.parse().expect("a number"), scans.parse().expect("a number"))
}

/// Tasks are looked up by their ids in the index of ids, and rare states in that of states; no look-up reads all tasks.
#[tokio::test(flavor = "multi_thread")]
async fn looking_up_a_task_does_not_read_the_others() {
    let database = PostgresDatabase::create().expect("a database");
    let store = PostgresStore::connect(&database.url()).await.expect("opens");
    database.sql("ALTER TABLE tasks SET (autovacuum_enabled = off)").expect("is set");
    let stream = open(&store, 1, "a").await;
    let mut told: Vec<_> = (0..TASKS).map(|n| (format!("task{n}"), Succeeded)).collect();
    told.extend((0..10).map(|n| (format!("rare{n}"), Sent)));
    deliver(&store, &batch(1, stream, 1, &told)).await;
    assert_eq!(counted(&store, 1).await, (10, 0));
    let page = async |text: &str| {
        let filter = TaskFilter::parse(text, NOW).expect("is a filter");
        let query = TaskQuery { project: 1, filter, limit: 50, cursor: None };
        store.list_tasks(query).await.expect("can be read").items.len()
    };
    for n in 0..CALLS {
        let id = format!("task{n}");
        assert!(store.task(1, "celery", &id).await.expect("can be read").is_some());
        assert_eq!(page(&format!("id:{id}")).await, 1);
        assert_eq!(store.task_batches(1, "celery", &id).await.expect("can be read").len(), 1);
        assert_eq!(store.task_tree(1, "celery", &id, 10).await.expect("can be read").expect("is known").tasks.len(), 1);
        assert_eq!(page("state:pending").await, 10);
    }
    // Connections report once a second, when they do something.
    let until = Instant::now() + Duration::from_secs(60);
    while used(&database, "tasks_by_hash").1 < 4 * CALLS || used(&database, "tasks_by_state").1 < CALLS {
        assert!(Instant::now() < until, "the indexes of ids and states are not used");
        store.task(1, "celery", "task0").await.expect("can be read");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for index in ["tasks_by_name", "tasks_by_state", "tasks_pkey"] {
        let (read, _) = used(&database, index);
        assert!(read < TASKS, "{read} rows of {index} were read");
    }
}
