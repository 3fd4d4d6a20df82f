//! Sequences with holes in them, and sequences that begin anew.

use serde_json::json;

use crate::agent::{Agent, batch, plain, rich};
use crate::brain::TestBrain;
use crate::events::life;

#[tokio::test]
async fn another_batch_under_a_used_number_is_lost_and_told() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, life("t1")).await;
    agent.tell(2, life("t2")).await;
    agent.send(&batch(1, life("other"))).await;
    agent.hears_ack(2).await;
    assert_eq!(brain.task_ids().await, ["t1", "t2"]);
    assert_eq!(brain.totals().await["sent"], 2);
    let web = brain.agent("web").await;
    assert_eq!((&web["lost_batches"], &web["state"]), (&json!(1), &json!("online")));
    let problem = web["problem"].as_str().expect("a problem");
    assert!(problem.contains("restarted") && problem.contains("instance_id"), "{problem}");

    // The remedy works, and the trouble is then forgotten.
    let mut fresh = Agent::open(&brain, &rich("web", "fresh"), 0).await;
    fresh.tell(1, life("other")).await;
    assert_eq!(brain.task_ids().await, ["other", "t1", "t2"]);
    assert_eq!(brain.agent("web").await["problem"], json!(null));
}

#[tokio::test]
async fn batches_that_never_came_are_counted_and_the_rest_is_stored() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, life("t1")).await;
    agent.tell(5, life("t5")).await;
    assert_eq!(brain.agent("web").await["lost_batches"], 3);
    agent.tell(6, life("t6")).await;
    agent.tell(8, life("t8")).await;
    assert_eq!(brain.agent("web").await["lost_batches"], 4);
    assert_eq!(brain.task_ids().await, ["t1", "t5", "t6", "t8"]);
    agent.vanish();
    Agent::open(&brain, &plain("web"), 8).await;
}

#[tokio::test]
async fn a_first_batch_with_a_high_number_is_a_gap_too() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    // The number of the source text's example.
    agent.tell(4281, life("t1")).await;
    assert_eq!(brain.agent("web").await["lost_batches"], 4280);
}

#[tokio::test]
async fn numbers_have_all_of_64_bits() {
    let brain = TestBrain::start().await;
    let hello = rich("web", "i1");
    let mut agent = Agent::open(&brain, &hello, 0).await;
    for seq in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1] {
        agent.tell(seq, life(&format!("t{seq}"))).await;
    }
    agent.vanish();
    let mut agent = Agent::open(&brain, &hello, u64::MAX - 1).await;
    agent.tell(u64::MAX, life("last")).await;
    assert_eq!(brain.task_ids().await.len(), 4);
    let brain = brain.restart().await;
    Agent::open(&brain, &hello, u64::MAX).await;
    assert!(brain.agent("web").await["lost_batches"].as_u64().is_some_and(|lost| lost > 0));
}
