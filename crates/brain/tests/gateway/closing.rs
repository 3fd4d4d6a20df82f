//! Closes at the beginning and at the end of a connection.

use serde_json::{Value, json};

use crate::agent::{Agent, batch, plain, rich};
use crate::brain::TestBrain;
use crate::events::life;

async fn close_after(brain: &TestBrain, first: &str) -> (u16, String) {
    let token = brain.token(None).await;
    let mut agent = Agent::connect(brain, &token.text).await;
    agent.send_text(first).await;
    agent.closed().await
}

#[tokio::test]
async fn a_first_frame_that_is_not_a_hello_closes_with_4000() {
    let brain = TestBrain::start().await;
    let without = |key: &str| {
        let mut hello = plain("web");
        hello.as_object_mut().expect("an object").remove(key);
        hello
    };
    let with = |key: &str, value: Value| {
        let mut hello = plain("web");
        hello[key] = value;
        hello
    };
    let wrong = [
        json!({ "type": "heartbeat" }),
        batch(1, life("t1")),
        json!({ "type": "command_result", "cmd_id": "c", "ok": true }),
        json!({ "type": "gossip" }),
        json!({ "no": "type" }),
        json!({}),
        without("agent_name"),
        without("protocol"),
        with("agent_name", json!(7)),
        with("engines", json!("celery")),
        with("type", json!("HELLO")),
    ];
    for first in wrong {
        let (code, reason) = close_after(&brain, &first.to_string()).await;
        assert_eq!(code, 4000, "{first}: {reason}");
        assert!(!reason.is_empty(), "{first}");
    }
    assert_eq!(brain.items("agents").await, Vec::<Value>::new());
    assert_eq!(brain.task_ids().await, Vec::<String>::new());
}

#[tokio::test]
async fn another_major_version_closes_with_4001() {
    let brain = TestBrain::start().await;
    for version in ["v2", "v0", "v10", "v2.1", "1", "newest"] {
        let mut hello = plain("web");
        hello["protocol"] = json!(version);
        let (code, reason) = close_after(&brain, &hello.to_string()).await;
        assert_eq!(code, 4001, "{version}: {reason}");
        assert!(reason.contains("v1") && reason.contains(version), "{reason}");
    }
    assert_eq!(brain.agent("web").await, json!(null));
}

#[tokio::test]
async fn any_minor_version_is_accepted() {
    let brain = TestBrain::start().await;
    for (at, version) in ["v1", "v1.0", "v1.3", "v1.999"].into_iter().enumerate() {
        let mut hello = rich("web", &format!("i{at}"));
        hello["protocol"] = json!(version);
        Agent::open(&brain, &hello, 0).await.tell(1, life(version)).await;
    }
}

#[tokio::test]
async fn a_brain_that_stops_closes_with_1001() {
    let brain = TestBrain::start().await;
    let mut agents = Vec::new();
    for name in ["a", "b", "c"] {
        let mut agent = Agent::open(&brain, &plain(name), 0).await;
        agent.tell(1, life(name)).await;
        agents.push(agent);
    }
    let token = brain.token(None).await;
    agents.push(Agent::connect(&brain, &token.text).await);
    let restarted = tokio::spawn(brain.restart());
    for mut agent in agents {
        assert_eq!(agent.closed().await.0, 1001);
    }
    let brain = restarted.await.expect("a brain");
    assert_eq!(brain.task_ids().await, ["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        Agent::open(&brain, &plain(name), 1).await;
    }
}
