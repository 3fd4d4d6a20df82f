//! A network that lets no WebSocket through: events and commands go by long-poll.

use anyhow::{Context, Result};
use serde_json::json;
use taskplane_e2e::{Firewall, Stack, StackOptions, eventually};

#[tokio::test]
async fn events_and_commands_go_by_long_poll_and_outlive_the_brain() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    stack.agent.take().context("the agent")?.kill().await?;
    let firewall = Firewall::before(stack.brain_port()).await?;
    stack.start_agent_through(firewall.port())?;
    // What happens before it listens nobody hears; the first agent has said it in the same log.
    eventually("the agent listening", async || {
        let log = stack.agent.as_ref().context("the agent")?.log();
        Ok((log.matches("observing engine").count() >= 2).then_some(()))
    })
    .await?;

    let old = stack.producer.send("shop.charge", json!([17]), json!({"card": "tok"}), "emails").await?;
    stack.api.task_in_state(&old, "failed").await.with_context(|| stack.logs())?;
    let command = stack.api.command("retry_task", json!({"engine": "celery", "task_id": old})).await?;
    assert_eq!(command["status"], "succeeded", "{command}\n{}", stack.logs());
    let new = command["result"]["new_task_id"].as_str().context("a new id")?.to_owned();
    stack.api.task_in_state(&new, "failed").await?;

    stack.brain.take().context("the brain")?.kill().await?;
    let id = stack.producer.send("shop.add", json!([1]), json!({}), "emails").await?;
    let worker = stack.worker.as_ref().context("the worker")?;
    eventually("the worker done", async || Ok(worker.log().contains(&format!("[{id}] succeeded")).then_some(())))
        .await?;
    stack.start_brain().await?;
    stack.api.task_in_state(&id, "succeeded").await.with_context(|| stack.logs())?;
    let log = stack.agent.as_ref().context("the agent")?.log();
    assert!(log.contains("trying long-poll"), "{log}");
    let agents = stack.api.get("agents").await?;
    assert_eq!((&agents["items"][0]["lost_batches"], &agents["items"][0]["state"]), (&json!(0), &json!("online")));
    Ok(())
}
