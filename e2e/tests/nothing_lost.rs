//! Story 5, trust: what happened while the brain, the agent or the broker was down is not lost, and not counted twice.

use anyhow::{Context, Result};
use serde_json::json;
use taskplane_e2e::{Stack, StackOptions, eventually};

async fn succeeded(stack: &Stack) -> Result<u64> {
    let stats = stack.api.get("stats?since=1h").await?;
    Ok(stats["items"].as_array().into_iter().flatten().filter_map(|item| item["succeeded"].as_u64()).sum())
}

#[tokio::test]
async fn work_done_while_the_brain_was_killed_is_there_once_it_is_back() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(stack.producer.send("shop.add", json!([n]), json!({}), "default").await?);
    }
    stack.api.task_in_state(&ids[0], "succeeded").await.with_context(|| stack.logs())?;
    stack.brain.take().context("the brain")?.kill().await?;
    for n in 20..60 {
        ids.push(stack.producer.send("shop.add", json!([n]), json!({}), "default").await?);
    }
    // The worker has done all of it while nobody was there to be told.
    let worker = stack.worker.as_ref().context("the worker")?;
    let last = ids[59].clone();
    eventually("the worker done", async || Ok(worker.log().contains(&format!("[{last}] succeeded")).then_some(())))
        .await?;

    stack.start_brain().await?;
    for id in &ids {
        stack.api.task_in_state(id, "succeeded").await.with_context(|| stack.logs())?;
    }
    assert_eq!(succeeded(&stack).await?, 60);
    let agents = stack.api.get("agents").await?;
    assert_eq!(agents["items"][0]["lost_batches"], 0, "{agents}");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_was_killed_delivers_what_it_had_buffered() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    stack.brain.take().context("the brain")?.kill().await?;
    let id = stack.producer.send("shop.add", json!([1]), json!({}), "default").await?;
    let worker = stack.worker.as_ref().context("the worker")?;
    eventually("the worker done", async || Ok(worker.log().contains(&format!("[{id}] succeeded")).then_some(())))
        .await?;
    // Its events are on their way through the broker; the last one is safe once it is in the agent's buffer.
    let buffer = stack.agent_dir();
    eventually("the end in the buffer", async || Ok(has_end(&buffer, &id)?.then_some(()))).await?;
    stack.agent.take().context("the agent")?.kill().await?;

    stack.start_brain().await?;
    stack.start_agent()?;
    stack.api.task_in_state(&id, "succeeded").await.with_context(|| stack.logs())?;
    assert_eq!(succeeded(&stack).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_away_is_reported_and_heals() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    stack.redis.take().context("Redis")?.kill().await?;
    // Heartbeats come every 30 s.
    eventually("the adapter's trouble", async || {
        let agents = stack.api.get("agents").await?;
        let adapter = agents["items"][0]["adapters"]["celery"].as_str().map(str::to_owned);
        Ok(adapter.filter(|adapter| adapter != "ok"))
    })
    .await
    .with_context(|| stack.logs())?;
    stack.start_redis().await?;
    // Celery's own worker waits longer and longer before it tries again; a new one is there at once.
    stack.start_worker("w2", "default").await?;
    let id = stack.producer.send("shop.add", json!([1]), json!({}), "default").await?;
    stack.api.task_in_state(&id, "succeeded").await.with_context(|| stack.logs())?;
    Ok(())
}

/// Whether the task's success lies in a file of the folder. Whatever the files' format, an event's own text is in them.
fn has_end(folder: &std::path::Path, task_id: &str) -> Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            has_end(&path, task_id)?
        } else {
            // A file may go while its folder is read.
            let bytes = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let mut events = text.split("\"event_type\":");
            events.any(|event| event.starts_with("\"task_succeeded\"") && event.contains(task_id))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
