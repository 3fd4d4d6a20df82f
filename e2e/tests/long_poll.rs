//! A network that lets no WebSocket through: events and commands go by long-poll.

use anyhow::{Context, Result};
use serde_json::json;
use taskplane_e2e::{Stack, StackOptions, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards to a port, except for upgrades, which it refuses.
struct Firewall {
    port: u16,
    _forwarding: JoinSet<()>,
}

impl Firewall {
    async fn before(brain: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let mut forwarding = JoinSet::new();
        forwarding.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(async move { drop(forward(client, brain).await) });
            }
        });
        Ok(Self { port, _forwarding: forwarding })
    }
}

async fn forward(mut client: TcpStream, brain: u16) -> Result<()> {
    // A connection carries upgrades or long-polls, never both.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    if String::from_utf8_lossy(&head).to_ascii_lowercase().contains("upgrade: websocket") {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
        return Ok(());
    }
    let mut brain = TcpStream::connect(("127.0.0.1", brain)).await?;
    brain.write_all(&head).await?;
    copy_bidirectional(&mut client, &mut brain).await?;
    Ok(())
}

#[tokio::test]
async fn events_and_commands_go_by_long_poll_and_outlive_the_brain() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    stack.agent.take().context("the agent")?.kill().await?;
    let firewall = Firewall::before(stack.brain_port()).await?;
    stack.start_agent_through(firewall.port)?;

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
