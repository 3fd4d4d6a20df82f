//! An agent that sends batches at a steady rate and notes when each was acked.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::load::{Socket, ack};
use crate::workload::Workload;

/// How long an ack may take before the measurement has failed.
const ACK_WITHIN: Duration = Duration::from_secs(60);

/// A batch that was sent and acked.
pub(super) struct Sent {
    /// When it was to be sent; it went out then, or as soon as the one before was acked.
    pub(super) due: Instant,
    pub(super) acked: Instant,
    /// How many tasks it changes.
    pub(super) tasks: u64,
}

pub(super) struct Agent {
    socket: Socket,
    workload: Workload,
    next_seq: u64,
}

impl Agent {
    /// Connects, and sends a first batch: from the second on, all of a batch's tasks are the agent's own.
    pub(super) async fn connect(url: &str, token: &str, number: usize, batch: usize) -> Result<Self> {
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse()?);
        let (mut socket, _) =
            tokio_tungstenite::connect_async_with_config(request, None, true).await.context("connecting")?;
        let hello = serde_json::json!({
            "type": "hello", "protocol": "v1", "agent_name": format!("bench-{number:03}"), "instance_id": "bench",
            "framework": "bench", "engines": ["celery"], "schedulers": [], "capabilities": {}, "metadata": {},
        });
        socket.send(Message::text(hello.to_string())).await?;
        let next_seq = ack(&mut socket).await? + 1;
        let mut agent = Self { socket, workload: Workload::new(number, batch), next_seq };
        agent.send(Instant::now()).await?;
        Ok(agent)
    }

    /// Sends a batch at `first` and one every `pause` until `until`.
    pub(super) async fn send_until(mut self, first: Instant, pause: Duration, until: Instant) -> Result<Vec<Sent>> {
        let mut sent = Vec::new();
        let mut due = first;
        while due < until {
            tokio::time::sleep_until(due.into()).await;
            sent.push(self.send(due).await?);
            due += pause;
        }
        Ok(sent)
    }

    /// Sends a batch and waits for its ack. One at a time: two batches of one agent in one commit would count a task once that
    /// is in both.
    async fn send(&mut self, due: Instant) -> Result<Sent> {
        let (text, _) = self.workload.batch(self.next_seq);
        let tasks = tasks_of(&text);
        self.socket.send(Message::text(text)).await?;
        while tokio::time::timeout(ACK_WITHIN, ack(&mut self.socket)).await.context("no ack within 60 s")??
            < self.next_seq
        {}
        self.next_seq += 1;
        Ok(Sent { due, acked: Instant::now(), tasks })
    }
}

fn tasks_of(batch: &str) -> u64 {
    let ids: HashSet<&str> = batch.split(r#""task_id":""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    ids.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_of_a_batch_are_counted_once_each() {
        assert_eq!(tasks_of(r#"{"task_id":"a"},{"task_id":"b"},{"task_id":"a","root_id":"c"}"#), 2);
    }
}
