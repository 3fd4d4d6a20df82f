//! Statistics over time and by task type.

use serde_json::{Value, json};

use crate::brain::{TestBrain, event};

fn sum(page: &Value, field: &str) -> i64 {
    page["items"].as_array().expect("items").iter().filter_map(|point| point[field].as_i64()).sum()
}

async fn with_tasks() -> TestBrain {
    let brain = TestBrain::start().await;
    let named = |name: &str| json!({ "name": name, "queue": "emails" });
    brain
        .tell(
            1,
            json!([
                event("task_sent", "t1", named("mail.send")),
                event("task_started", "t1", named("mail.send")),
                event("task_succeeded", "t1", json!({ "runtime_ms": 12.5 })),
                event("task_sent", "t2", named("billing.charge")),
            ]),
        )
        .await;
    brain
}

#[tokio::test]
async fn the_last_hour_has_one_item_per_minute() {
    let brain = with_tasks().await;
    let stats = brain.get("stats").await.json();
    let items = stats["items"].as_array().expect("items");
    assert!((60..=61).contains(&items.len()), "{}", items.len());
    assert_eq!((sum(&stats, "sent"), sum(&stats, "succeeded")), (2, 1));
    assert!(items.windows(2).all(|pair| pair[0]["ts"].as_str() < pair[1]["ts"].as_str()));
    let run = items.iter().find_map(|point| point["runtime_p50_ms"].as_f64()).expect("a run time");
    assert!((run - 12.5).abs() < 0.2, "{run}");
    assert_eq!(stats["next_cursor"], json!(null));
}

#[tokio::test]
async fn windows_steps_and_names_are_chosen() {
    let brain = with_tasks().await;
    assert_eq!(sum(&brain.get("stats?since=2h&step=5m&name=mail.send").await.json(), "sent"), 1);
    assert_eq!(sum(&brain.get("stats?queue=other").await.json(), "sent"), 0);
    let items = brain.get("stats?since=2h&step=5m").await.json()["items"].as_array().map_or(0, Vec::len);
    assert!((24..=25).contains(&items), "{items}");
    assert_eq!(brain.get("stats?since=7d&step=60").await.problem(400), "bad_step");
    assert_eq!(brain.get("stats?step=often").await.problem(400), "bad_step");
    assert_eq!(brain.get("stats?since=1h&until=2h").await.problem(400), "bad_window");
    assert_eq!(brain.get("stats?since=soon").await.problem(400), "bad_window");
}

#[tokio::test]
async fn task_types_are_told_apart() {
    let brain = with_tasks().await;
    let types = brain.get("task-types?since=1h").await.json();
    let mut names: Vec<&str> =
        types["items"].as_array().expect("items").iter().filter_map(|t| t["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["billing.charge", "mail.send"]);
    assert_eq!(sum(&types, "sent"), 2);
}
