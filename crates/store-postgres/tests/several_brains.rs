//! Several brains on one database: whatever they do at once, it counts once, and none ever stands in another's way for good.

#![expect(clippy::expect_used, reason = "these are tests")]

mod samples;

use std::sync::Arc;

use samples::{NOW, batch, counted, deliver, open};
use taskplane_model::TaskEventKind::{Sent, Started};
use taskplane_model::command::{Command, CommandOutcome, CommandStatus};
use taskplane_store::fleet::Heard;
use taskplane_store::ingest::Verdict;
use taskplane_store::replicas::NewReplica;
use taskplane_store::{CommandStore, IngestStore, ReplicaStore, TaskStore};
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::PostgresDatabase;

const ROUNDS: u64 = 60;
const TASKS: usize = 40;

fn command(id: &str) -> Command {
    Command {
        id: id.to_owned(),
        cmd: "retry_task".into(),
        args: serde_json::json!({}),
        agent: None,
        status: CommandStatus::Pending,
        result: None,
        error: None,
        message: None,
        created_at: NOW,
        finished_at: None,
        created_by: "tester".into(),
        task_id: None,
    }
}

async fn stores(database: &PostgresDatabase, count: usize) -> Vec<Arc<PostgresStore>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        let store = PostgresStore::connect(&database.url()).await.expect("opens");
        store.join(NewReplica::default()).await.expect("enters");
        stores.push(Arc::new(store));
    }
    stores
}

/// Two brains take in the same batches of the same streams, of two projects, in opposite orders, while agents are heard,
/// streams are opened and retries are linked: everything is stored once. Takes a few seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_brains_hammer_the_same_tasks_and_everything_counts_once() {
    let database = PostgresDatabase::create().expect("a database");
    let brains = stores(&database, 2).await;
    database.sql("INSERT INTO projects (name) VALUES ('other')").expect("is made");
    let (a, b) = (open(&*brains[0], 1, "a").await, open(&*brains[0], 2, "b").await);
    let mut work = Vec::new();
    for (number, brain) in brains.iter().enumerate() {
        let ingest = Arc::clone(brain);
        work.push(tokio::spawn(async move {
            let mut stored = 0;
            for seq in 1..=ROUNDS {
                // In each batch the same tasks, in another order; the second brain is told the other way round.
                let kind = if seq % 2 == 0 { Sent } else { Started };
                let mut told: Vec<_> = (0..TASKS).map(|n| (format!("{n:0>width$}", width = n % 7 + 1), kind)).collect();
                told.rotate_left((seq as usize * 7 + number * 13) % TASKS);
                let mut group = vec![batch(1, a, seq, &told), batch(2, b, seq, &told)];
                if number == 1 {
                    group.reverse();
                }
                let recorded = ingest.record_batches(group, seq % 3 == 0).await.expect("is stored");
                for (verdict, last) in recorded.batches {
                    assert!(last >= seq && matches!(verdict, Verdict::Stored { .. } | Verdict::Replay), "{verdict:?}");
                    stored += u64::from(matches!(verdict, Verdict::Stored { .. }));
                }
            }
            stored
        }));
        let others = Arc::clone(brain);
        work.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                let heard = |agent| Heard { agent, at: NOW, buffer: None, adapters: None };
                let all = if round % 2 == 0 {
                    vec![heard(a.agent), heard(b.agent)]
                } else {
                    vec![heard(b.agent), heard(a.agent)]
                };
                others.note_heard(all).await.expect("is noted");
                let (project, agent) = if round % 2 == 0 { (1, "a") } else { (2, "b") };
                assert!(open(&*others, project, agent).await.last_seq <= ROUNDS);
                let id = format!("c{number}-{round}");
                others.create_command(1, command(&id), None).await.expect("is recorded");
                let done =
                    CommandOutcome { status: CommandStatus::Succeeded, result: None, error: None, message: None };
                let pair = ("celery".to_owned(), "0".to_owned(), format!("retry-{number}-{round}"));
                others.finish_command(1, &id, done, vec![pair], NOW).await.expect("is ended");
                others.abandon_open_commands(NOW).await.expect("works");
            }
            0
        }));
    }
    let mut stored = 0;
    for one in work {
        stored += one.await.expect("does not panic");
    }
    // Batches that lie behind a gap another brain has jumped are replays, but each number was stored by exactly one of them.
    assert_eq!(stored, 2 * ROUNDS);
    assert_eq!(
        database.sql("SELECT count(*), count(DISTINCT (stream, seq)) FROM batches").expect("can be read"),
        "120|120"
    );
    let tasks = TASKS as i64;
    assert_eq!(counted(&*brains[1], 2).await, (tasks, tasks));
    let retries = 2 * ROUNDS.cast_signed();
    assert_eq!(counted(&*brains[0], 1).await, (tasks + retries, tasks));
    for brain in &brains {
        let task = brain.task(1, "celery", "0").await.expect("can be read").expect("is stored");
        assert_eq!((task.record.marks.len(), task.record.retried_as.is_some()), (2, true));
    }
    let deadlocks =
        "SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.sql(deadlocks).expect("can be read"), "|0");
}

/// New names, of which each brain knows some, get one number each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn brains_that_learn_the_same_names_at_once_agree_on_their_numbers() {
    let database = PostgresDatabase::create().expect("a database");
    let brains = stores(&database, 4).await;
    let mut work = Vec::new();
    for (number, brain) in brains.iter().enumerate() {
        let brain = Arc::clone(brain);
        // Projects of their own: nothing but the names is shared.
        database.sql(&format!("INSERT INTO projects (name) VALUES ('p{number}')")).expect("is made");
        work.push(tokio::spawn(async move {
            let project = 2 + number as u64;
            let stream = open(&*brain, project, "a").await;
            for seq in 1..=20 {
                let mut one = batch(project, stream, seq, &[(format!("t{seq}"), Sent)]);
                for n in 0..10 {
                    let mut delta = one.tasks[0].clone();
                    delta.task_id = format!("t{seq}-{n}");
                    delta.record.name = Some(format!("name{}", (n + number as u64 * 3) % 10 + seq * 10));
                    one.tasks.push(delta);
                }
                deliver(&*brain, &one).await;
            }
        }));
    }
    for one in work {
        one.await.expect("does not panic");
    }
    let doubles = "SELECT count(*) - count(DISTINCT text) FROM terms";
    assert_eq!(database.sql(doubles).expect("can be read"), "0");
    for (number, brain) in brains.iter().enumerate() {
        assert_eq!(counted(&**brain, 2 + number as u64).await.0, 220);
    }
}
