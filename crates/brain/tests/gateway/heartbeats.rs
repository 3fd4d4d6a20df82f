//! What agents say of themselves.

use std::time::Duration;

use serde_json::{Value, json};
use taskplane_brain::clock;

use crate::agent::{Agent, plain, rich};
use crate::brain::{TestBrain, until};

/// Heartbeats are written down a few seconds' worth at a time, and later on a busy machine.
const SOON: Duration = Duration::from_secs(60);

async fn agent_where(brain: &TestBrain, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(what, SOON, async || Some(brain.agent("web").await).filter(|agent| wanted(agent))).await
}

#[tokio::test]
async fn a_heartbeat_shows_buffer_and_adapters() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let web = brain.agent("web").await;
    assert_eq!((&web["buffer"], &web["adapters"]), (&json!(null), &json!({})));
    let oldest = clock::now().to_string();
    let buffer = json!({ "events": 12, "bytes": 3456, "oldest_ts": oldest, "dropped": 7 });
    let adapters = json!({ "celery": "ok", "celery-beat": "the broker is not there" });
    let ts = clock::now().to_string();
    agent.send(&json!({ "type": "heartbeat", "ts": ts, "buffer": buffer, "adapters": adapters })).await;
    let web = agent_where(&brain, "the buffer is shown", |web| web["buffer"].is_object()).await;
    assert_eq!((&web["buffer"], &web["adapters"]), (&buffer, &adapters));

    // A heartbeat that tells nothing takes nothing back; one that tells less than all changes that.
    agent.send(&json!({ "type": "heartbeat", "ts": ts })).await;
    agent.send(&json!({ "type": "heartbeat", "adapters": { "celery": "ok" } })).await;
    let web = agent_where(&brain, "the adapters change", |web| web["adapters"] == json!({ "celery": "ok" })).await;
    assert_eq!(web["buffer"], buffer);
}

#[tokio::test]
async fn the_heartbeat_of_the_source_text_is_a_sign_of_life() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let seen = |web: &Value| web["last_seen_at"].as_str().expect("a time").to_owned();
    let before = seen(&brain.agent("web").await);
    agent.send_text(r#"{"type": "heartbeat", "ts": "2026-04-16T12:34:56.789Z"}"#).await;
    let web = agent_where(&brain, "it is seen again", |web| seen(web) > before).await;
    assert_eq!((&web["state"], &web["connections"]), (&json!("online"), &json!(1)));
}

#[tokio::test]
async fn workers_and_queues_are_shown_by_what_agents_tell() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let ts = clock::now().to_string();
    let worker =
        json!({ "event_type": "worker_online", "engine": "celery", "ts": ts, "worker": "celery@a", "concurrency": 4 });
    let queue = json!({ "event_type": "queue_stats", "engine": "celery", "ts": ts, "queue": "mail", "depth": 9 });
    agent.tell(1, json!([worker, queue])).await;
    let (workers, queues) = (brain.items("workers").await, brain.items("queues").await);
    assert_eq!((&workers[0]["name"], &workers[0]["concurrency"]), (&json!("celery@a"), &json!(4)));
    assert_eq!(
        (&queues[0]["name"], &queues[0]["depth"], &queues[0]["agent"]),
        (&json!("mail"), &json!(9), &json!("web"))
    );
}
