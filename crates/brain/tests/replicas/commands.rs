//! Commands that are given at one brain for an agent of another.

use serde_json::{Value, json};
use taskplane_testkit::PostgresDatabase;

use crate::agent::{Agent, plain, rich};
use crate::brain::{TestBrain, until};
use crate::events::event;

fn retry(task_id: &str) -> Value {
    json!({ "cmd": "retry_task", "args": { "engine": "celery", "task_id": task_id, "override": { "args": ["secret"] } } })
}

#[tokio::test]
async fn a_command_reaches_an_agent_of_another_brain_and_its_answer_comes_back() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let mut agent = Agent::open(&a, &plain("web"), 0).await;
    agent.tell(1, json!([event("task_failed", "old")])).await;
    b.sees("web", 1).await;
    let row = b.command(&retry("old")).await;
    let frame = agent.command().await;
    assert_eq!((&frame["cmd_id"], &frame["args"]["override"]["args"]), (&row["id"], &json!(["secret"])));
    assert_eq!(b.row(&row).await["args"]["override"]["args"], "<not kept>");
    agent.answer(&frame["cmd_id"], json!({ "ok": true, "result": { "new_task_id": "new" } })).await;
    for brain in [&b, &a] {
        let ended = brain.ended(&row).await;
        assert_eq!((&ended["status"], &ended["agent"]), (&json!("succeeded"), &json!("web")));
        assert_eq!(brain.get("tasks/celery/old").await["retried_as"], "new");
    }
}

#[tokio::test]
async fn of_an_agents_connections_to_several_brains_the_newest_gets_the_command() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let _older = Agent::open(&a, &rich("web", "one"), 0).await;
    let mut newer = Agent::open(&b, &rich("web", "two"), 0).await;
    a.sees("web", 2).await;
    b.sees("web", 2).await;
    let restart = json!({ "cmd": "restart_agent", "agent": "web", "args": {} });
    for brain in [&a, &b] {
        let row = brain.command(&restart).await;
        assert_eq!(newer.command().await["cmd_id"], row["id"]);
    }
}

#[tokio::test]
async fn of_an_agents_connections_the_one_that_has_the_original_gets_the_retry_at_whichever_brain_it_is() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let inside = |role: &str| {
        let mut hello = rich("shop", role);
        hello["worker_role"] = json!(role);
        hello["capabilities"] = json!({ "celery": { "originals": "captured" } });
        hello["metadata"] = json!({ "hostname": "h" });
        hello
    };
    let mut worker = Agent::open(&a, &inside("worker"), 0).await;
    let _web = Agent::open(&b, &inside("web"), 0).await;
    let mut failed = event("task_failed", "old");
    failed["worker"] = json!("celery@h");
    worker.tell(1, json!([failed])).await;
    for brain in [&a, &b] {
        brain.sees("shop", 2).await;
        let row = brain.command(&retry("old")).await;
        let frame = worker.command().await;
        assert_eq!(frame["cmd_id"], row["id"]);
        worker.answer(&frame["cmd_id"], json!({ "ok": false, "error": "busy" })).await;
        brain.ended(&row).await;
    }
}

#[tokio::test]
async fn an_agent_that_leaves_before_its_command_comes_ends_it() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let agent = Agent::open(&a, &plain("web"), 0).await;
    b.sees("web", 1).await;
    agent.vanish();
    let restart = json!({ "cmd": "restart_agent", "agent": "web", "args": {} });
    let row = b.command(&restart).await;
    let ended = b.ended(&row).await;
    let status = ended["status"].as_str().expect("a status");
    // Whether the brain had noticed already.
    assert!(["failed", "unknown"].contains(&status), "{ended}");
}

#[tokio::test]
async fn an_agent_is_seen_and_reached_again_after_its_brain_was_taken_for_gone() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let mut agent = Agent::open(&a, &plain("web"), 0).await;
    b.sees("web", 1).await;
    database
        .sql("WITH c AS (DELETE FROM replica_connections) DELETE FROM replicas WHERE name = 'a'")
        .expect("is deleted");
    let back = "SELECT count(*) FROM replica_connections";
    until("the brain's return", async || (database.sql(back).expect("can be read") == "1").then_some(())).await;
    b.sees("web", 1).await;
    let row = b.command(&json!({ "cmd": "restart_agent", "agent": "web", "args": {} })).await;
    assert_eq!(agent.command().await["cmd_id"], row["id"]);
}
