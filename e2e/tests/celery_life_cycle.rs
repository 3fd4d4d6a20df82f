//! Story 1, first look: an agent beside a running Celery shows what happens, with no change in the application.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{Stack, StackOptions, eventually};

#[tokio::test]
async fn success_failure_retries_and_a_chord_are_seen_as_they_happened() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;

    let added = stack.producer.send("shop.add", json!([2]), json!({"y": 3}), "default").await?;
    // Its result comes by another way than its events, and may come first.
    let is_told =
        |task: &Value| task["state"] == "succeeded" && task["runtime_ms"].as_f64().is_some_and(|ms| ms >= 0.0);
    let task = stack.api.task_where(&added, "succeeded", is_told).await.with_context(|| stack.logs())?;
    assert_eq!((&task["name"], &task["worker"]), (&json!("shop.add"), &json!("w1@test")), "{task}");
    assert_eq!((&task["args_redacted"], &task["kwargs_redacted"]), (&json!([2]), &json!({"y": 3})), "{task}");
    assert_eq!(task["result_redacted"], json!(5), "{task}");

    let secret = json!({"card": "4111 1111 1111 1111"});
    let charged = stack.producer.send("shop.charge", json!([17]), secret, "emails").await?;
    let task = stack.api.task_in_state(&charged, "failed").await?;
    assert_eq!(
        (&task["exception"], &task["exception_message"]),
        (&json!("ValueError"), &json!("card declined for order 17"))
    );
    assert!(task["traceback"].as_str().is_some_and(|t| t.contains("shop.py")), "{task}");
    assert!(!task.to_string().contains("4111 1111"), "a card number left the host: {task}");

    let flaky = stack.producer.send("shop.flaky", json!([2]), json!({}), "default").await?;
    let states = |task: &Value| -> Vec<Value> {
        task["attempts"].as_array().into_iter().flatten().map(|attempt| attempt["state"].clone()).collect()
    };
    let is_told = |task: &Value| states(task) == ["retrying", "retrying", "succeeded"];
    let task = stack.api.task_where(&flaky, "succeeded at the third attempt", is_told).await?;
    assert_eq!((&task["attempt"], &task["state"]), (&json!(2), &json!("succeeded")), "{task}");
    assert_eq!(task["attempts"][0]["exception"], json!("ConnectionError"), "{task}");

    let (members, body) = stack.producer.chord(&[1, 2, 3]).await?;
    let task = stack.api.task_in_state(&body, "succeeded").await?;
    assert_eq!(task["result_redacted"], json!(12), "{task}");
    eventually("the chord's members around its body", async || {
        let tree = stack.api.get(&format!("tasks/celery/{body}/tree")).await?;
        let ids: Vec<&str> =
            tree["items"].as_array().into_iter().flatten().filter_map(|t| t["task_id"].as_str()).collect();
        Ok(members.iter().all(|m| ids.contains(&m.as_str())).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn lists_counts_and_statistics_agree() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let mut last = String::new();
    for i in 0..6 {
        let task = if i % 3 == 0 { "shop.charge" } else { "shop.add" };
        last = stack.producer.send(task, json!([i]), json!({}), "default").await?;
    }
    let finished = async |state: &str| -> Result<usize> {
        let list = stack.api.get(&format!("tasks?state={state}&limit=50")).await?;
        Ok(list["items"].as_array().map_or(0, Vec::len))
    };
    eventually("all six finished", async || Ok((finished("succeeded,failed").await? == 6).then_some(()))).await?;
    assert_eq!((finished("succeeded").await?, finished("failed").await?), (4, 2));
    let counts = stack.api.get("task-counts").await?;
    assert_eq!((&counts["counts"]["succeeded"]["count"], &counts["counts"]["failed"]["count"]), (&json!(4), &json!(2)));
    let stats = stack.api.get("stats?since=1h").await?;
    let sum = |field: &str| -> u64 {
        stats["items"].as_array().into_iter().flatten().filter_map(|i| i[field].as_u64()).sum()
    };
    assert_eq!((sum("succeeded"), sum("failed")), (4, 2));
    let found = stack.api.get("tasks?q=name:shop.ch*%20%22order%203%22").await?;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    let events = stack.api.get(&format!("tasks/celery/{last}/events")).await?;
    assert!(events["items"].as_array().is_some_and(|e| e.len() >= 3), "{events}");
    Ok(())
}
