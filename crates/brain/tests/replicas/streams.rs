//! Agents that move from brain to brain.

use serde_json::json;
use taskplane_testkit::PostgresDatabase;

use crate::agent::{Agent, Said, batch, plain};
use crate::brain::{TestBrain, until};
use crate::events::event;

#[tokio::test]
async fn a_stream_that_opens_at_another_brain_supersedes_the_first_and_counts_once() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let mut first = Agent::open(&a, &plain("web"), 0).await;
    first.tell(1, json!([event("task_started", "t1")])).await;
    let mut second = Agent::open(&b, &plain("web"), 1).await;
    assert_eq!(first.closed().await.0, 4009);
    // What it may have sent before, and something new.
    second.send(&batch(1, json!([event("task_started", "t1")]))).await;
    second.hears_ack(1).await;
    second.tell(2, json!([event("task_started", "t2")])).await;
    for brain in [&a, &b] {
        brain.sees("web", 1).await;
        assert_eq!(brain.get("tasks").await["items"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT seq) FROM batches").expect("can be read"), "2|2");
}

#[tokio::test]
async fn an_agent_moves_to_and_fro_and_the_newest_connection_stays() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let mut current = Agent::open(&a, &plain("web"), 0).await;
    for round in 1..=6 {
        let brain = if round % 2 == 0 { &a } else { &b };
        let mut next = Agent::open(brain, &plain("web"), round - 1).await;
        assert_eq!(current.closed().await.0, 4009);
        next.tell(round, json!([event("task_started", &format!("t{round}"))])).await;
        current = next;
    }
    for brain in [&a, &b] {
        brain.sees("web", 1).await;
    }
    current.tell(7, json!([event("task_started", "t7")])).await;
}

#[tokio::test]
async fn a_stream_that_was_opened_elsewhere_while_nobody_could_tell_is_closed_all_the_same() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let mut first = Agent::open(&a, &plain("web"), 0).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'taskplane'";
    let token = b.token(None).await;
    database.sql(cut).expect("can be run");
    // A connection of the pool that is found dead refuses one agent; the next one finds another.
    let _second = until("the second connection", async || {
        let mut agent = Agent::try_connect(&b, Some(&format!("Bearer {}", token.text))).await.ok()?;
        agent.send(&plain("web")).await;
        matches!(agent.next().await, Said::Frame(_)).then_some(agent)
    })
    .await;
    assert_eq!(first.closed().await.0, 4009);
}

#[tokio::test]
async fn a_token_that_is_revoked_at_one_brain_is_closed_at_another() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let token = a.token(None).await;
    let mut agent = Agent::connect(&a, &token.text).await;
    agent.send(&plain("web")).await;
    agent.hears_ack(0).await;
    b.revoke(&token).await;
    assert_eq!(agent.closed().await.0, 4003);
}
