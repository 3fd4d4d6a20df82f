//! Brains that share a database: who is here, who is connected where, who leads, and what they tell one another.

#![expect(clippy::expect_used, reason = "these are tests")]

#[expect(dead_code, reason = "the tests of ingest use more of it")]
mod samples;

use std::time::{Duration, Instant};

use samples::{NOW, open};
use taskplane_model::command::{Command, CommandOutcome, CommandStatus};
use taskplane_store::replicas::{Bus, BusEvent, ConnectionChanges, NewReplica, PeerKey, ReplicaConnection, Vantage};
use taskplane_store::{CommandStore, ReplicaStore, StoreError};
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::PostgresDatabase;

const PATIENCE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(3_600);

struct Brain {
    store: PostgresStore,
    bus: Box<dyn Bus>,
}

impl Brain {
    async fn enter(database: &PostgresDatabase, name: &str) -> Self {
        let store = PostgresStore::connect(&database.url()).await.expect("opens");
        let peer_url = Some(format!("http://{name}:7440"));
        let me = NewReplica { name: name.into(), peer_url, peer_key: Some(PeerKey(format!("key of {name}"))) };
        let mut bus = store.join(me).await.expect("enters");
        assert_eq!(bus.hear().await, Some(BusEvent::Missed), "at the beginning, what matters has to be read");
        Self { store, bus }
    }

    async fn names(&self) -> Vec<String> {
        let mut here = self.store.beat(Vec::new()).await.expect("is here");
        here.sort_by(|a, b| a.name.cmp(&b.name));
        here.into_iter().map(|replica| replica.name).collect()
    }

    async fn hears(&mut self) -> BusEvent {
        tokio::time::timeout(PATIENCE, self.bus.hear()).await.expect("hears something").expect("the bus goes on")
    }

    async fn command(&self, id: &str) {
        let command = Command {
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
        };
        self.store.create_command(1, command, None).await.expect("is recorded");
    }

    async fn status(&self, id: &str) -> CommandStatus {
        self.store.command(1, id).await.expect("can be read").expect("is there").status
    }
}

/// Makes it look as if the brain called `name` had been silent for a minute.
fn silence(database: &PostgresDatabase, name: &str) {
    let sql = format!("UPDATE replicas SET beat_at = beat_at - interval '1 minute' WHERE name = '{name}'");
    database.sql(&sql).expect("is changed");
}

/// Makes it look as if all brains had been beating for an hour.
fn settle(database: &PostgresDatabase) {
    database.sql("UPDATE replicas SET steady_since = steady_since - interval '1 hour'").expect("is changed");
}

/// Makes it look as if the brain called `name` had beaten just now: a slow test is no silent brain.
fn wake(database: &PostgresDatabase, name: &str) {
    database
        .sql(&format!("UPDATE replicas SET beat_at = clock_timestamp() WHERE name = '{name}'"))
        .expect("is changed");
}

fn connection(id: u64, agent: &str) -> ReplicaConnection {
    ReplicaConnection {
        id,
        project: 1,
        agent: 70 + id,
        agent_name: agent.to_owned(),
        stream: 80 + id,
        opening: 90 + id,
        engines: vec!["celery".into(), "rq".into()],
        connected_at: NOW,
        vantage: Vantage { captures: vec!["celery".into()], host: format!("host\0{id}"), role: "worker".into() },
    }
}

fn opened(connections: &[ReplicaConnection]) -> ConnectionChanges {
    ConnectionChanges { opened: connections.to_vec(), ..ConnectionChanges::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn brains_see_one_another_come_and_go() {
    let database = PostgresDatabase::create().expect("a database");
    let a = Brain::enter(&database, "a").await;
    let b = Brain::enter(&database, "b").await;
    assert_eq!(a.names().await, ["a", "b"]);
    let here = b.store.beat(vec![1, 3]).await.expect("is here");
    let seen = a.store.beat(Vec::new()).await.expect("is here");
    let of_b = |list: &[taskplane_store::replicas::Replica]| list.iter().find(|one| one.name == "b").cloned();
    assert_eq!(of_b(&here), of_b(&seen));
    let of_b = of_b(&seen).expect("is here");
    assert_eq!((of_b.run, of_b.peer_url.as_deref()), (b.store.run(), Some("http://b:7440")));
    assert_eq!(of_b.reads, [1, 3]);
    b.store.leave().await.expect("leaves");
    assert_eq!(a.names().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_brain_is_gone_but_not_for_one_that_was_silent_itself() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = (Brain::enter(&database, "a").await, Brain::enter(&database, "b").await);
    b.command("c").await;
    silence(&database, "b");
    database.sql("UPDATE replicas SET steady_since = clock_timestamp()").expect("is changed");
    wake(&database, "a");
    assert_eq!(a.names().await, ["a", "b"], "it has just entered: perhaps the database was away for all");
    assert_eq!(a.store.bury(NOW).await.expect("works"), 0);
    settle(&database);
    wake(&database, "a");
    assert_eq!(a.names().await, ["a"]);
    silence(&database, "a");
    assert_eq!(
        a.store.bury(NOW).await.expect("works"),
        0,
        "it was away itself, and leads before it says that it is back"
    );
    assert_eq!(a.names().await, ["a", "b"], "it was away itself");
    assert_eq!(a.store.bury(NOW).await.expect("works"), 0);
    settle(&database);
    wake(&database, "a");
    assert_eq!(a.store.bury(NOW).await.expect("works"), 1);
    assert_eq!(b.status("c").await, CommandStatus::Failed);
    // It was only slow. It comes back by its next beat, and can tell that it was taken for gone.
    assert_eq!(b.store.note_connections(opened(&[connection(1, "x")])).await.expect("is answered"), None);
    assert_eq!(b.names().await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_gone_are_ended_and_those_of_the_living_are_not() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = (Brain::enter(&database, "a").await, Brain::enter(&database, "b").await);
    settle(&database);
    for id in ["pending", "sent", "taken over"] {
        b.command(id).await;
    }
    a.command("handed over").await;
    a.command("living").await;
    assert!(b.store.command_sent(1, "sent", "x").await.expect("is noted"));
    assert!(a.store.command_sent(1, "taken over", "x").await.expect("is noted"));
    assert!(b.store.command_sent(1, "handed over", "x").await.expect("is noted"));
    wake(&database, "a");
    wake(&database, "b");
    assert_eq!(a.store.bury(NOW).await.expect("works"), 0);
    silence(&database, "b");
    assert_eq!(a.store.abandon_open_commands(NOW).await.expect("works"), 0, "only who leads buries");
    wake(&database, "a");
    assert_eq!(a.store.bury(NOW).await.expect("works"), 3);
    assert_eq!(a.status("pending").await, CommandStatus::Failed);
    assert_eq!(a.status("sent").await, CommandStatus::Unknown);
    assert_eq!(a.status("handed over").await, CommandStatus::Unknown, "it is the brain's that has sent it");
    assert_eq!(a.status("taken over").await, CommandStatus::Sent);
    assert_eq!(a.status("living").await, CommandStatus::Pending);
    assert!(!b.store.command_sent(1, "pending", "x").await.expect("is answered"), "what has ended is not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_either_sent_or_withdrawn() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = (Brain::enter(&database, "a").await, Brain::enter(&database, "b").await);
    let withdrawn = || CommandOutcome::failed("not_sent", "nobody took it");
    for round in 0..20 {
        let id = format!("c{round}");
        a.command(&id).await;
        let (sent, command) =
            tokio::join!(b.store.command_sent(1, &id, "x"), a.store.end_unsent(1, &id, withdrawn(), NOW));
        let status = command.expect("is answered").expect("is there").status;
        let expected = if sent.expect("is answered") { CommandStatus::Sent } else { CommandStatus::Failed };
        assert!(
            a.status(&id).await == expected && (status == expected || status == CommandStatus::Pending),
            "{status:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_seen_by_all_and_their_changes_are_numbered() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = (Brain::enter(&database, "a").await, Brain::enter(&database, "b").await);
    let run = b.store.run();
    let read = async || a.store.connections(run).await.expect("can be read").expect("is here");
    let (first, none) = read().await;
    assert_eq!(none, []);
    let (x, y, z) = (connection(1, "x"), connection(2, "nul\0"), connection(3, "z"));
    let (before, after) =
        b.store.note_connections(opened(&[x.clone(), y.clone()])).await.expect("is noted").expect("is here");
    assert_eq!((before, after > before), (first, true));
    assert_eq!(read().await, (after, vec![x.clone(), y.clone()]));
    let change = ConnectionChanges { all: false, opened: vec![z.clone()], closed: vec![1, 55] };
    let (before, last) = b.store.note_connections(change).await.expect("is noted").expect("is here");
    assert_eq!(before, after);
    assert_eq!(read().await, (last, vec![y.clone(), z]));
    let all = ConnectionChanges { all: true, opened: vec![x.clone(), y.clone()], closed: Vec::new() };
    b.store.note_connections(all).await.expect("is noted").expect("is here");
    assert_eq!(read().await.1, [x, y]);
    settle(&database);
    silence(&database, "b");
    wake(&database, "a");
    a.store.bury(NOW).await.expect("works");
    assert_eq!(a.store.connections(run).await.expect("can be read"), None);
    assert_eq!(database.sql("SELECT count(*) FROM replica_connections").expect("can be read"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_heard_whole_and_only_by_whom_it_is_for() {
    let database = PostgresDatabase::create().expect("a database");
    let a = Brain::enter(&database, "a").await;
    let (mut b, mut c) = (Brain::enter(&database, "b").await, Brain::enter(&database, "c").await);
    let long = "{\"text\":\"ä€😀\"}".repeat(100_000);
    a.store.tell(Some(c.store.run()), "only for c".into()).await.expect("is told");
    a.store.tell(None, long.clone()).await.expect("is told");
    a.store.tell(None, "short".into()).await.expect("is told");
    let told = |text: &str| BusEvent::Told { from: a.store.run(), text: text.to_owned() };
    assert_eq!(c.hears().await, told("only for c"));
    for brain in [&mut b, &mut c] {
        assert!(brain.hears().await == told(&long), "a long message is heard whole");
        assert_eq!(brain.hears().await, told("short"));
    }
    let endless = a.store.tell(None, "x".repeat(8 << 20)).await.expect_err("is refused");
    assert!(matches!(endless, StoreError::Internal(_)), "{endless}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_one_database_do_not_hear_one_another() {
    let database = PostgresDatabase::create().expect("a database");
    let mut here = Brain::enter(&database, "here").await;
    database.sql("CREATE SCHEMA other").expect("is made");
    let separator = if database.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}options=-csearch_path%3Dother", database.url());
    let other = PostgresStore::connect(&url).await.expect("opens");
    let _bus = other.join(NewReplica::default()).await.expect("enters");
    other.tell(None, "not for here".into()).await.expect("is told");
    let neighbour = Brain::enter(&database, "neighbour").await;
    neighbour.store.tell(None, "for here".into()).await.expect("is told");
    assert!(matches!(here.hears().await, BusEvent::Told { text, .. } if text == "for here"));
    assert_eq!(here.names().await, ["here", "neighbour"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brain_that_lost_its_connection_knows_that_it_missed_something() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, mut b) = (Brain::enter(&database, "a").await, Brain::enter(&database, "b").await);
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'taskplane'";
    database.sql(kill).expect("can be run");
    assert_eq!(b.hears().await, BusEvent::Missed);
    let until = Instant::now() + PATIENCE;
    while a.store.tell(None, "again".into()).await.is_err() {
        assert!(Instant::now() < until, "the connection does not come back");
    }
    assert_eq!(b.hears().await, BusEvent::Told { from: a.store.run(), text: "again".into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_until_it_leaves_or_its_lease_ends() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = (Brain::enter(&database, "a").await, Brain::enter(&database, "b").await);
    let lead = async |brain: &Brain, lasting| brain.store.lead("duties", lasting).await.expect("is answered");
    assert!(lead(&a, LEASE).await && !lead(&b, LEASE).await && lead(&a, LEASE).await);
    assert!(b.store.lead("something else", LEASE).await.expect("is answered"));
    a.store.leave().await.expect("leaves");
    assert!(lead(&b, LEASE).await && !lead(&a, LEASE).await);
    database.sql("UPDATE leases SET until = clock_timestamp() - interval '1 second'").expect("is changed");
    assert!(lead(&a, LEASE).await && !lead(&b, LEASE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_want_to_lead_one_does() {
    let database = PostgresDatabase::create().expect("a database");
    let mut brains = Vec::new();
    for name in ["a", "b", "c", "d"] {
        brains.push(Brain::enter(&database, name).await);
    }
    let asked = brains.iter().map(|brain| brain.store.lead("duties", LEASE));
    let mut leading = 0;
    for asked in asked.collect::<Vec<_>>() {
        leading += usize::from(asked.await.expect("is answered"));
    }
    assert_eq!(leading, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_openings_of_a_stream_the_later_has_the_greater_number() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = (Brain::enter(&database, "a").await, Brain::enter(&database, "b").await);
    let mut last = 0;
    for brain in [&a, &b, &b, &a] {
        let opened = open(&brain.store, 1, "agent").await;
        assert!(opened.opening > last, "{opened:?}");
        last = opened.opening;
    }
}
