//! An agent that does what a test says, over one WebSocket.

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::PATIENCE;

/// A connection of an agent that has said hello and knows where its stream stands.
pub struct ScriptedAgent {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Number of the last batch that the brain has of its stream, when it connected.
    pub last_seq: u64,
}

impl ScriptedAgent {
    /// Connects to the brain on `port` on 127.0.0.1, as the stream `main` of the agent `name`.
    ///
    /// # Errors
    /// When the brain does not let it in.
    pub async fn connect(port: u16, token: &str, name: &str) -> Result<Self> {
        let mut request = format!("ws://127.0.0.1:{port}/ws").into_client_request()?;
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse()?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.context("connecting")?;
        let mut agent = Self { socket, last_seq: 0 };
        let hello = json!({"type": "hello", "protocol": "v1", "agent_name": name, "instance_id": "main",
            "framework": "script", "engines": ["celery"]});
        agent.send(&hello).await?;
        let ack = agent.frame().await?;
        agent.last_seq = ack["seq"].as_u64().with_context(|| format!("an ack, not {ack}"))?;
        Ok(agent)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        Ok(self.socket.send(Message::text(frame.to_string())).await?)
    }

    /// Sends one event of a task in a batch of its own, and waits for the ack.
    ///
    /// # Errors
    /// When none comes.
    pub async fn tell(&mut self, seq: u64, event_type: &str, task_id: &str) -> Result<()> {
        let event = json!({"event_type": event_type, "engine": "celery", "name": "script.work", "task_id": task_id});
        self.send(&json!({"type": "event_batch", "seq": seq, "events": [event]})).await?;
        let ack = self.frame().await?;
        ensure!(ack == json!({"type": "ack", "seq": seq}), "an ack of {seq}, not {ack}");
        Ok(())
    }

    /// Says that a command was done.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn done(&mut self, command: &Value, result: Value) -> Result<()> {
        self.send(&json!({"type": "command_result", "cmd_id": command["cmd_id"], "ok": true, "result": result})).await
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes in time.
    pub async fn frame(&mut self) -> Result<Value> {
        loop {
            match self.message().await? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => bail!("the brain closed the connection: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Waits for the brain to close the connection; returns the code.
    ///
    /// # Errors
    /// When it ends without one, or does not end in time.
    pub async fn closed(&mut self) -> Result<u16> {
        loop {
            if let Message::Close(frame) = self.message().await? {
                return Ok(frame.context("a close code")?.code.into());
            }
        }
    }

    async fn message(&mut self) -> Result<Message> {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        Ok(next.context("nothing came")?.context("the connection ended")??)
    }
}
