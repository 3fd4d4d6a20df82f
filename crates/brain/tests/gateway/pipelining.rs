//! Many batches without waiting for acks.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::agent::{Agent, batch, rich};
use crate::brain::TestBrain;
use crate::events::event;

const BATCHES: u64 = 40;
const TASKS_PER_BATCH: u64 = 125;

/// Batch `seq` of an agent: 500 events, the whole lives of 125 tasks.
fn full_batch(agent: &str, seq: u64) -> Value {
    let kinds = ["task_sent", "task_received", "task_started", "task_succeeded"];
    let of_task = |at| kinds.map(|kind| event(kind, &format!("{agent}-{seq}-{at}")));
    batch(seq, (0..TASKS_PER_BATCH).flat_map(of_task).collect())
}

/// Sends all batches, then reads the acks: they must rise to the last batch.
async fn pipeline(brain: &TestBrain, name: &str) {
    let mut agent = Agent::open(brain, &rich(name, "i1"), 0).await;
    for seq in 1..=BATCHES {
        agent.send(&full_batch(name, seq)).await;
    }
    let mut acked = 0;
    while acked < BATCHES {
        let ack = agent.frame().await;
        let seq = ack["seq"].as_u64().filter(|_| ack["type"] == "ack").expect("an ack");
        assert!((acked..=BATCHES).contains(&seq), "{seq} after {acked}");
        acked = seq;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_come_faster_than_acks_all_count_once() {
    let brain = TestBrain::start().await;
    tokio::join!(pipeline(&brain, "a"), pipeline(&brain, "b"));
    let tasks = 2 * BATCHES * TASKS_PER_BATCH;
    assert_eq!(
        brain.totals().await,
        json!({ "sent": tasks, "started": tasks, "succeeded": tasks, "failed": 0, "retried": 0 })
    );
    assert_eq!(brain.brain.metrics.events.get(), 4 * tasks);
    assert_eq!(succeeded(&brain).await, tasks);
    for name in ["a", "b"] {
        let agent = brain.agent(name).await;
        assert_eq!((&agent["lost_batches"], &agent["quarantined_events"]), (&json!(0), &json!(0)));
        Agent::open(&brain, &rich(name, "i1"), BATCHES).await;
    }
}

/// Succeeded tasks, counted page by page; none may be on two pages.
async fn succeeded(brain: &TestBrain) -> u64 {
    let mut seen = HashSet::new();
    let mut path = "tasks?state=succeeded&limit=200".to_owned();
    loop {
        let page = brain.get(&path).await;
        for task in page["items"].as_array().expect("items") {
            assert!(seen.insert(task["task_id"].as_str().expect("an id").to_owned()), "{task}");
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("tasks?state=succeeded&limit=200&cursor={cursor}"),
            None => return seen.len() as u64,
        }
    }
}
