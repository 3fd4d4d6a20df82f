//! Brains that are killed.

use serde_json::json;
use taskplane_testkit::PostgresDatabase;

use crate::agent::{Agent, plain};
use crate::brain::{TestBrain, until};
use crate::events::event;

/// Takes some seconds: a brain is gone when it has been silent for so long.
#[tokio::test]
async fn what_a_killed_brain_had_sent_is_unknown_and_its_agents_are_offline() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let mut agent = Agent::open(&a, &plain("web"), 0).await;
    b.sees("web", 1).await;
    let restart = json!({ "cmd": "restart_agent", "agent": "web", "args": {} });
    let sent = b.command(&restart).await;
    assert_eq!(agent.command().await["cmd_id"], sent["id"]);
    a.kill();
    // Given while nobody knows yet: it is not sent, and its giver is told so.
    let late = b.command(&restart).await;
    assert_eq!(b.ended(&late).await["status"], "failed");
    until("the command's end", async || (b.row(&sent).await["status"] == "unknown").then_some(())).await;
    b.sees("web", 0).await;
    // The agent comes back to the other one, and nothing is lost.
    let mut agent = Agent::open(&b, &plain("web"), 0).await;
    agent.tell(1, json!([event("task_started", "t1")])).await;
    b.sees("web", 1).await;
}

/// Takes some seconds: as long as a lease lasts.
#[tokio::test]
async fn one_brain_leads_and_another_follows_when_it_is_killed() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let leads = |brain: &TestBrain| brain.brain.leadership.is_mine();
    until("a leader", async || (leads(&a) || leads(&b)).then_some(())).await;
    assert!(leads(&a) != leads(&b));
    let (leader, other) = if leads(&a) { (a, b) } else { (b, a) };
    leader.kill();
    until("another leader", async || leads(&other).then_some(())).await;
    until("the dead to be buried", async || {
        (database.sql("SELECT count(*) FROM replicas").expect("can be read") == "1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_brain_that_stops_leaves_and_another_leads_at_once() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    until("a leader", async || (a.brain.leadership.is_mine() || b.brain.leadership.is_mine()).then_some(())).await;
    let (leader, other) = if a.brain.leadership.is_mine() { (a, b) } else { (b, a) };
    let _agent = Agent::open(&leader, &plain("web"), 0).await;
    other.sees("web", 1).await;
    leader.brain.stop.cancel();
    other.sees("web", 0).await;
    until("another leader", async || other.brain.leadership.is_mine().then_some(())).await;
    assert_eq!(database.sql("SELECT count(*) FROM replicas").expect("can be read"), "1");
}
