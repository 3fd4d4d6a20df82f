//! The live stream and who is connected, seen from any brain.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use taskplane_brain::live::{LiveEvent, Next, Subscription, Topic};
use taskplane_testkit::PostgresDatabase;

use crate::agent::{Agent, plain};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::event;

const PROJECT: u64 = 1;

fn reader(brain: &TestBrain) -> Subscription {
    brain.brain.live.subscribe(PROJECT, BTreeSet::from(Topic::ALL), None)
}

/// The next event of a topic that `wanted` is true for.
async fn next(reader: &mut Subscription, topic: Topic, wanted: impl Fn(&Value) -> bool) {
    let heard = async {
        loop {
            match reader.next().await {
                Next::Event(event) if event.topic == topic => {
                    if wanted(&data(&event)) {
                        return;
                    }
                }
                Next::Event(_) | Next::Resync => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("is told");
}

fn data(event: &LiveEvent) -> Value {
    let text = std::str::from_utf8(&event.frame).expect("text");
    let data = text.lines().find_map(|line| line.strip_prefix("data:")).expect("data");
    serde_json::from_str(data).expect("JSON")
}

#[tokio::test]
async fn what_comes_in_at_one_brain_is_told_to_readers_at_another() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let mut reader = reader(&b);
    until("the other brain to know of the reader", async || a.brain.live.has_readers().then_some(())).await;
    let mut agent = Agent::open(&a, &plain("web"), 0).await;
    next(&mut reader, Topic::Agents, |_| true).await;
    agent.tell(1, json!([event("task_failed", "t1")])).await;
    next(&mut reader, Topic::Tasks, |data| data["items"][0]["task_id"] == "t1").await;
    b.sees("web", 1).await;
    let row = b.command(&json!({ "cmd": "retry_task", "args": { "engine": "celery", "task_id": "t1" } })).await;
    let frame = agent.command().await;
    agent.answer(&frame["cmd_id"], json!({ "ok": true })).await;
    let ended = |data: &Value| {
        let items = data["items"].as_array().expect("items");
        items.iter().any(|item| item["id"] == row["id"] && item["status"] == "succeeded")
    };
    next(&mut reader, Topic::Commands, ended).await;
}

#[tokio::test]
async fn who_begins_to_read_fetches_what_the_others_had_not_told() {
    let database = PostgresDatabase::create().expect("a database");
    let (_a, b) = TestBrain::two(&database).await;
    until("the other brain", async || (database.sql("SELECT count(*) FROM replicas").ok()? == "2").then_some(())).await;
    let mut reader = reader(&b);
    let resync = async { while !matches!(reader.next().await, Next::Resync) {} };
    tokio::time::timeout(PATIENCE, resync).await.expect("is told to fetch");
}

#[tokio::test]
async fn nobody_tells_of_what_nobody_reads() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let reader = reader(&b);
    until("the other brain to know of the reader", async || a.brain.live.has_readers().then_some(())).await;
    drop(reader);
    b.brain.live.forget_readers(tokio::time::Instant::now() + Duration::from_secs(60));
    until("the other brain to stop", async || (!a.brain.live.has_readers()).then_some(())).await;
}

#[tokio::test]
async fn every_brain_shows_who_is_connected() {
    let database = PostgresDatabase::create().expect("a database");
    let (a, b) = TestBrain::two(&database).await;
    let web = Agent::open(&a, &plain("web"), 0).await;
    let shop = Agent::open(&b, &plain("shop"), 0).await;
    for brain in [&a, &b] {
        brain.sees("web", 1).await;
        brain.sees("shop", 1).await;
    }
    // One that comes later knows it from the beginning.
    let c = TestBrain::start(&database, "c").await;
    c.sees("web", 1).await;
    web.vanish();
    shop.vanish();
    for brain in [&a, &b, &c] {
        brain.sees("web", 0).await;
        brain.sees("shop", 0).await;
    }
}
