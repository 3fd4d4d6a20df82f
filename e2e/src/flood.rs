//! Agents that do not wait for acks: they send whatever the brain's socket takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::dice::Dice;

/// What they send.
#[derive(Clone, Copy, Debug)]
pub struct FloodPlan {
    /// Agents, one connection each.
    pub agents: u64,
    /// Batches of each agent.
    pub batches: u64,
    /// Events of each batch, each of a task of its own.
    pub events: u64,
    /// Bytes of each event, about.
    pub event_bytes: usize,
}

/// A flood under way.
pub struct Flood {
    plan: FloodPlan,
    sent: Arc<AtomicU64>,
    ebb: watch::Sender<bool>,
    agents: JoinSet<Result<u64>>,
}

impl Flood {
    /// Begins to send to the brain at `url` (`ws://host:port`).
    pub fn begin(url: &str, token: &str, plan: FloodPlan) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let ebb = watch::Sender::new(false);
        let mut agents = JoinSet::new();
        for agent in 0..plan.agents {
            agents.spawn(send_all(
                format!("{url}/ws"),
                token.to_owned(),
                agent,
                plan,
                Arc::clone(&sent),
                ebb.subscribe(),
            ));
        }
        Self { plan, sent, ebb, agents }
    }

    /// Batches that the sockets have taken so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// All batches that there are to send.
    pub fn batches(&self) -> u64 {
        self.plan.agents * self.plan.batches
    }

    /// Sends no more batches and waits until all that were sent are acked. Returns how many events that are.
    ///
    /// # Errors
    /// When a connection breaks.
    pub async fn ebb(mut self) -> Result<u64> {
        self.ebb.send_replace(true);
        let mut batches = 0;
        while let Some(ended) = self.agents.join_next().await {
            batches += ended??;
        }
        Ok(batches * self.plan.events)
    }
}

/// Sends until the plan is fulfilled or the ebb comes, and waits for the acks. Returns how many batches it sent.
async fn send_all(
    url: String,
    token: String,
    agent: u64,
    plan: FloodPlan,
    sent: Arc<AtomicU64>,
    mut ebb: watch::Receiver<bool>,
) -> Result<u64> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("Authorization", format!("Bearer {token}").parse()?);
    let (socket, _) = tokio_tungstenite::connect_async(request).await.context("connecting")?;
    let (mut sink, mut stream) = socket.split();
    let hello = json!({"type": "hello", "protocol": "v1", "agent_name": format!("flood-{agent}"),
        "instance_id": "flood", "framework": "flood", "engines": ["celery"]});
    sink.send(Message::text(hello.to_string())).await?;
    let noise = noise(plan);
    let (acks, mut acked) = watch::channel(0);
    let sending = async {
        let mut seq = 0;
        while seq < plan.batches && !*ebb.borrow_and_update() {
            seq += 1;
            sink.send(Message::text(batch(agent, seq, plan, &noise))).await?;
            sent.fetch_add(1, Ordering::SeqCst);
        }
        acked.wait_for(|acked| *acked >= seq).await?;
        Ok(seq)
    };
    let receiving = async {
        loop {
            match stream.next().await.context("the brain closed the connection")?? {
                Message::Text(text) => {
                    let seq = serde_json::from_str::<Value>(&text)?["seq"].as_u64();
                    acks.send_replace(seq.unwrap_or_default());
                }
                Message::Close(frame) => bail!("the brain closed the connection: {frame:?}"),
                _ => {}
            }
        }
    };
    tokio::select! {
        sent = sending => sent,
        broken = receiving => broken,
    }
}

/// Times are left out: the brain takes the time of receiving.
fn batch(agent: u64, seq: u64, plan: FloodPlan, noise: &str) -> String {
    let event = |number: u64| {
        let from = number as usize * plan.event_bytes;
        json!({"event_type": "task_sent", "engine": "celery", "name": "flood.work",
            "task_id": format!("{agent:08x}-0000-4000-8000-{:012x}", seq * plan.events + number),
            "args_redacted": [noise.get(from..from + plan.event_bytes)]})
    };
    let events: Vec<Value> = (0..plan.events).map(event).collect();
    json!({"type": "event_batch", "seq": seq, "events": events}).to_string()
}

/// Text for all events of a batch that does not become small by compressing it.
fn noise(plan: FloodPlan) -> String {
    let mut dice = Dice::seeded(plan.agents);
    let mut text = String::new();
    while text.len() < plan.event_bytes * plan.events as usize {
        text.push_str(&format!("{:016x}", dice.below(u64::MAX)));
    }
    text
}
