//! Several connections of one agent.

use serde_json::json;

use crate::agent::{Agent, batch, plain, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::life;

#[tokio::test]
async fn a_second_connection_of_a_stream_takes_over_with_4009() {
    let brain = TestBrain::start().await;
    for hello in [plain("plain"), rich("rich", "i1")] {
        let name = hello["agent_name"].as_str().expect("a name");
        let mut first = Agent::open(&brain, &hello, 0).await;
        first.tell(1, life("t1")).await;
        let mut second = Agent::open(&brain, &hello, 1).await;
        let (code, reason) = first.closed().await;
        assert_eq!(code, 4009, "{reason}");
        second.tell(2, life("t2")).await;
        // The first one's end does not take the second one's place with it.
        until("one connection is left", PATIENCE, async || (brain.agent(name).await["connections"] == 1).then_some(()))
            .await;
        second.tell(3, life("t3")).await;
        assert_eq!(brain.agent(name).await["state"], "online");
    }
}

#[tokio::test]
async fn streams_of_one_agent_live_side_by_side() {
    let brain = TestBrain::start().await;
    let mut streams = Vec::new();
    for instance in ["", "i1", "i2"] {
        streams.push(Agent::open(&brain, &rich("web", instance), 0).await);
    }
    for seq in 1..=3 {
        for (at, stream) in streams.iter_mut().enumerate() {
            stream.tell(seq, life(&format!("t{at}-{seq}"))).await;
        }
    }
    let web = brain.agent("web").await;
    assert_eq!((&web["connections"], &web["lost_batches"], &web["problem"]), (&json!(3), &json!(0), &json!(null)));
    assert_eq!((brain.items("agents").await.len(), brain.task_ids().await.len()), (1, 9));

    streams.pop().expect("three").vanish();
    until("two connections are left", PATIENCE, async || (brain.agent("web").await["connections"] == 2).then_some(()))
        .await;
    Agent::open(&brain, &rich("web", "i2"), 3).await;
}

#[tokio::test]
async fn agents_of_different_names_have_different_streams() {
    let brain = TestBrain::start().await;
    let mut a = Agent::open(&brain, &rich("a", "same"), 0).await;
    a.tell(1, life("t1")).await;
    let mut b = Agent::open(&brain, &rich("b", "same"), 0).await;
    b.tell(1, life("t2")).await;
    a.tell(2, life("t3")).await;
    assert_eq!(brain.task_ids().await, ["t1", "t2", "t3"]);
}

#[tokio::test]
async fn an_agent_is_offline_when_its_last_connection_is_gone() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, life("t1")).await;
    agent.vanish();
    let web = until("the agent is offline", PATIENCE, async || {
        Some(brain.agent("web").await).filter(|web| web["state"] == "offline")
    })
    .await;
    assert_eq!((&web["connections"], &web["connected_at"]), (&json!(0), &json!(null)));
    assert!(web["last_seen_at"].is_string());
}

#[tokio::test]
async fn two_connections_that_replay_one_buffer_store_it_once() {
    let brain = TestBrain::start().await;
    let hello = rich("web", "i1");
    let lives: Vec<_> = (1..=20).map(|seq| life(&format!("t{seq}"))).collect();
    let mut first = Agent::open(&brain, &hello, 0).await;
    for (seq, events) in (1..).zip(&lives[..15]) {
        first.send(&batch(seq, events.clone())).await;
    }
    let token = brain.token(None).await;
    let mut second = Agent::connect(&brain, &token.text).await;
    second.send(&hello).await;
    for (seq, events) in (1..).zip(&lives) {
        second.send(&batch(seq, events.clone())).await;
    }
    while second.frame().await != json!({ "type": "ack", "seq": 20 }) {}
    assert_eq!((brain.task_ids().await.len(), &brain.totals().await["succeeded"]), (20, &json!(20)));
    let web = brain.agent("web").await;
    assert_eq!((&web["lost_batches"], &web["problem"]), (&json!(0), &json!(null)));
}
