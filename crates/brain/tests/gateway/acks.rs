//! Acks: when they come, and what they promise.

use serde_json::json;

use crate::agent::{Agent, batch, plain, rich};
use crate::brain::TestBrain;
use crate::events::{event, life};

#[tokio::test]
async fn hello_is_answered_with_the_last_persisted_batch() {
    let brain = TestBrain::start().await;
    for hello in [plain("plain"), rich("rich", "i1")] {
        let mut agent = Agent::open(&brain, &hello, 0).await;
        for seq in 1..=3 {
            agent.tell(seq, life(&format!("t{seq}"))).await;
        }
        agent.vanish();
        let mut agent = Agent::open(&brain, &hello, 3).await;
        agent.tell(4, life("t4")).await;
    }
}

#[tokio::test]
async fn a_new_brain_on_the_same_folder_knows_what_was_persisted() {
    let mut brain = TestBrain::start().await;
    for (hello, seq) in [(plain("plain"), 1), (rich("rich", "i1"), 7)] {
        Agent::open(&brain, &hello, 0).await.tell(seq, life(&format!("t{seq}"))).await;
    }
    brain = brain.restart().await;
    assert_eq!(brain.task_ids().await, ["t1", "t7"]);
    let mut plain = Agent::open(&brain, &plain("plain"), 1).await;
    let mut rich = Agent::open(&brain, &rich("rich", "i1"), 7).await;
    // What it cannot know to be acked, an agent sends again: also to a brain that has never seen it come.
    plain.tell(1, life("t1")).await;
    rich.tell(8, life("t8")).await;
    assert_eq!(brain.task_ids().await, ["t1", "t7", "t8"]);
    assert_eq!(brain.totals().await["succeeded"], 3);
}

#[tokio::test]
async fn what_is_acked_can_be_read() {
    let brain = TestBrain::start().await;
    let project = brain.brain.store.project("default").await.expect("a store").expect("a project").id;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    for seq in 1..=20 {
        let id = format!("t{seq}");
        agent.tell(seq, json!([event("task_sent", &id)])).await;
        assert!(brain.brain.store.task(project, "celery", &id).await.expect("a store").is_some(), "{id}");
        assert_eq!(brain.task(&id).await["state"], "pending");
        assert_eq!(brain.totals().await["sent"], seq);
    }
}

#[tokio::test]
async fn batches_may_follow_hello_without_waiting_for_its_answer() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    let mut agent = Agent::connect(&brain, &token.text).await;
    agent.send(&plain("web")).await;
    agent.send(&batch(1, life("t1"))).await;
    agent.send(&batch(2, life("t2"))).await;
    agent.hears_ack(0).await;
    while agent.frame().await != json!({ "type": "ack", "seq": 2 }) {}
    assert_eq!(brain.task_ids().await, ["t1", "t2"]);
}

#[tokio::test]
async fn a_replay_is_acked_again_and_changes_nothing() {
    let brain = TestBrain::start().await;
    let hello = plain("web");
    let mut agent = Agent::open(&brain, &hello, 0).await;
    let batches = [life("t1"), json!([event("task_sent", "t2"), event("task_sent", ""), {}]), life("t3")];
    for (seq, events) in (1..).zip(&batches) {
        agent.tell(seq, events.clone()).await;
    }
    let shown = async || {
        let web = brain.agent("web").await;
        let mut tasks = vec![brain.totals().await, web["lost_batches"].clone(), web["quarantined_events"].clone()];
        for id in ["t1", "t2", "t3"] {
            tasks.extend([brain.task(id).await, brain.get(&format!("tasks/celery/{id}/events")).await]);
        }
        (brain.task_ids().await, tasks)
    };
    let before = shown().await;
    assert_eq!((&before.1[1], &before.1[2]), (&json!(0), &json!(2)));
    // On the same connection, acks never go back.
    for (seq, events) in (1..).zip(&batches) {
        agent.send(&batch(seq, events.clone())).await;
        agent.hears_ack(3).await;
    }
    agent.vanish();
    let mut agent = Agent::open(&brain, &hello, 3).await;
    for (seq, events) in (1..).zip(&batches) {
        agent.send(&batch(seq, events.clone())).await;
        agent.hears_ack(3).await;
    }
    assert_eq!(shown().await, before);
    assert_eq!(brain.agent("web").await["problem"], json!(null));
}
