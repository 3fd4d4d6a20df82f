//! How much is kept, and for how long.

use serde_json::json;

use crate::brain::{TestBrain, event};

#[tokio::test]
async fn storage_says_size_horizons_and_how_far_back_it_reaches() {
    let brain = TestBrain::start().await;
    let empty = brain.get("storage").await.json();
    assert_eq!(empty["kept"][1]["oldest"], json!(null));
    brain.tell(1, json!([event("task_sent", "t1", json!({ "name": "mail.send" }))])).await;
    let storage = brain.get("storage").await.json();
    assert!(storage["used_bytes"].as_u64() > Some(0) && storage["file_bytes"].as_u64() > Some(0), "{storage}");
    assert_eq!((&storage["max_bytes"], &storage["limited_by_size"]), (&json!(null), &json!(false)));
    let kept = storage["kept"].as_array().expect("a list");
    let days = |at: usize| {
        (kept[at]["what"].as_str().unwrap_or_default(), kept[at]["keep_seconds"].as_u64().unwrap_or(0) / 86_400)
    };
    let all: Vec<_> = (0..kept.len()).map(days).collect();
    assert_eq!(all, [("events", 7), ("tasks", 30), ("failures", 90), ("minutes", 14), ("hours", 400), ("days", 1825)]);
    assert!(kept[1]["oldest"].is_string() && kept[1]["horizon"].as_str() < kept[1]["oldest"].as_str(), "{storage}");
}
