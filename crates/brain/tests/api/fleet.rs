//! Agents, workers and queues.

use serde_json::json;
use taskplane_brain::clock;

use crate::brain::TestBrain;

fn told(event_type: &str, more: serde_json::Value) -> serde_json::Value {
    let mut event = json!({ "event_type": event_type, "ts": clock::now().to_string(), "engine": "celery" });
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

#[tokio::test]
async fn agents_workers_and_queues_are_shown_by_their_last_word() {
    let brain = TestBrain::start().await;
    let long_ago = clock::now().plus(-120 * 1_000_000).to_string();
    brain
        .tell(
            1,
            json!([
                told(
                    "worker_online",
                    json!({ "worker": "w1", "concurrency": 4, "queues": ["emails"], "pool": "prefork" })
                ),
                told("worker_offline", json!({ "worker": "w2" })),
                told("worker_heartbeat", json!({ "worker": "w3", "ts": long_ago })),
                told("queue_stats", json!({ "queue": "emails", "depth": 7, "consumers": 1 })),
            ]),
        )
        .await;

    let workers = brain.get("workers").await.json();
    let states: Vec<_> =
        workers["items"].as_array().expect("items").iter().map(|w| (&w["name"], &w["state"])).collect();
    assert_eq!(json!(states), json!([["w1", "online"], ["w2", "offline"], ["w3", "unknown"]]));
    let worker = &workers["items"][0];
    assert_eq!((&worker["concurrency"], &worker["queues"]), (&json!(4), &json!(["emails"])));
    assert_eq!((&worker["agent"], &worker["loadavg"]), (&json!("web"), &json!(null)));

    let queues = brain.get("queues").await.json();
    assert_eq!((&queues["items"][0]["name"], &queues["items"][0]["depth"]), (&json!("emails"), &json!(7)));

    let agents = brain.get("agents").await.json();
    let agent = &agents["items"][0];
    assert_eq!((&agent["name"], &agent["state"], &agent["connections"]), (&json!("web"), &json!("offline"), &json!(0)));
    assert_eq!((&agent["engines"], &agent["capabilities"]), (&json!(["celery"]), &json!({})));
    assert!(agent["id"].is_string() && agent["last_seen_at"].is_string());
}

#[tokio::test]
async fn events_that_were_not_understood_are_shown_with_the_reason() {
    let brain = TestBrain::start().await;
    let events =
        json!([told("task_sent", json!({})), { "task_id": "t" }, told("deployment", json!({ "version": "7" }))]);
    brain.tell(1, events).await;
    let page = brain.get("quarantine?limit=1").await.json();
    assert_eq!((&page["items"][0]["agent"], &page["items"][0]["reason"]), (&json!("web"), &json!("no event_type")));
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = brain.get(&format!("quarantine?limit=9&cursor={cursor}")).await.json();
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["next_cursor"]), (Some(1), &json!(null)));
    assert!(rest["items"][0]["raw"].as_str().is_some_and(|raw| raw.contains("task_sent")));
}
