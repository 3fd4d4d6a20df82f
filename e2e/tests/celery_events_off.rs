//! Task events are the user's choice: what they cost is said, and what is not known without them is shown as not known.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{Stack, StackOptions, eventually};

#[tokio::test]
async fn an_agent_with_events_off_turns_off_what_one_with_events_on_had_turned_on() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let worker = worker(&stack, &json!(true)).await.with_context(|| stack.logs())?;
    assert_eq!(worker["visibility_timeout_s"], json!(3600.0), "{worker}");
    says(&stack, "about 0.4 ms of CPU a task").await?;
    let heard = stack.producer.send("shop.add", json!([1]), json!({"y": 1}), "default").await?;
    let is_heard = |task: &Value| task["started_at"].is_string() && task["runtime_ms"].is_number();
    stack.api.task_where(&heard, "heard to its end", is_heard).await.with_context(|| stack.logs())?;

    stack.agent.take().context("an agent")?.terminate().await?;
    stack.agent_options = vec!["--events".to_owned(), "off".to_owned()];
    stack.start_agent()?;
    self::worker(&stack, &json!(false)).await.with_context(|| stack.logs())?;
    says(&stack, "task events are off").await?;
    let agent = &stack.api.get("agents").await?["items"][0];
    let said = (&agent["metadata"]["celery_task_events"], &agent["capabilities"]["celery"]["task_events"]);
    assert_eq!(said, (&json!("off"), &json!(false)), "{agent}");

    let unheard = stack.producer.send("shop.add", json!([2]), json!({"y": 2}), "default").await?;
    let task = stack.api.task_in_state(&unheard, "succeeded").await.with_context(|| stack.logs())?;
    assert_eq!(task["result_redacted"], json!(4), "{task}");
    for unknown in ["received_at", "started_at", "wait_ms", "runtime_ms"] {
        assert_eq!(task[unknown], Value::Null, "{unknown} of {task}");
    }
    Ok(())
}

/// Waits until somebody has printed it.
async fn says(stack: &Stack, what: &str) -> Result<()> {
    let said = eventually(what, async || Ok(stack.logs().contains(what).then_some(()))).await;
    said.with_context(|| stack.logs())
}

/// The worker, once it is said to send task events or not.
async fn worker(stack: &Stack, sends: &Value) -> Result<Value> {
    eventually("what is known of the worker's events", async || {
        let workers = stack.api.get("workers").await?;
        let worker = workers["items"].as_array().and_then(|all| all.first().cloned());
        Ok(worker.filter(|worker| &worker["task_events"] == sends))
    })
    .await
}
