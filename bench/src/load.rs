//! The agents: each sends batches over its own connection, a window ahead of the acks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::workload::Workload;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) agents: usize,
    pub(crate) batch: usize,
    pub(crate) window: usize,
    /// At most.
    pub(crate) duration: Duration,
    /// Events per second over all agents; 0 means unlimited.
    pub(crate) rate: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Events acked.
    pub(crate) events_acked: u64,
    /// From the first batch to the last ack.
    pub(crate) elapsed: Duration,
    /// The ack of every batch, in the order of time.
    pub(crate) acks: Vec<Acked>,
    /// From sending a batch to its ack, ascending.
    pub(crate) ack_latencies: Vec<Duration>,
    /// Ids of tasks all of whose events were acked.
    pub(crate) sample_ids: Vec<String>,
}

/// A batch that was acked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    /// When its ack came.
    pub(crate) at: Instant,
    /// From sending it to its ack.
    pub(crate) took: Duration,
}

/// Sends for as long as is planned.
pub(crate) async fn run(plan: &Plan) -> Result<Load> {
    let (_go_on, stop) = watch::channel(false);
    run_until(plan, stop).await
}

/// Sends until `stop` says so, and no longer than is planned.
pub(crate) async fn run_until(plan: &Plan, stop: watch::Receiver<bool>) -> Result<Load> {
    let began = Instant::now();
    let run = |agent| tokio::spawn(run_agent(plan.clone(), agent, began, stop.clone()));
    let agents: Vec<_> = (0..plan.agents).map(run).collect();
    let mut load = Load::default();
    for agent in agents {
        let one = agent.await.context("an agent's task ended badly")??;
        load.events_acked += one.events_acked;
        load.acks.extend(one.acks);
        load.sample_ids.extend(one.sample_ids);
        load.elapsed = load.elapsed.max(one.elapsed);
    }
    load.acks.sort_unstable_by_key(|ack| ack.at);
    load.ack_latencies = load.acks.iter().map(|ack| ack.took).collect();
    load.ack_latencies.sort_unstable();
    Ok(load)
}

async fn run_agent(plan: Plan, agent: usize, began: Instant, stop: watch::Receiver<bool>) -> Result<Load> {
    let mut workload = Workload::new(agent, plan.batch);
    let mut request = plan.url.as_str().into_client_request()?;
    request.headers_mut().insert("Authorization", format!("Bearer {}", plan.token).parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.context("connecting")?;
    let hello = serde_json::json!({
        "type": "hello", "protocol": "v1", "agent_name": format!("bench-{agent:03}"), "instance_id": "bench",
        "framework": "bench", "engines": ["celery"], "schedulers": [], "capabilities": {}, "metadata": {},
    });
    socket.send(Message::text(hello.to_string())).await?;
    let mut acked = ack(&mut socket).await?;
    let mut next_seq = acked + 1;
    let mut in_flight: VecDeque<Instant> = VecDeque::new();
    let mut samples: VecDeque<(u64, String)> = VecDeque::new();
    let mut load = Load::default();
    let pause = pause_between_batches(&plan);
    let mut due = Instant::now() + pause.mul_f64(agent as f64 / plan.agents as f64);
    let goes_on = || began.elapsed() < plan.duration && !*stop.borrow();
    while goes_on() || !in_flight.is_empty() {
        let may_send = goes_on() && in_flight.len() < plan.window;
        if may_send && Instant::now() >= due {
            let (text, sample) = workload.batch(next_seq);
            if next_seq % 16 == 1 {
                samples.push_back((next_seq + workload.batches_of_a_task(), sample));
            }
            in_flight.push_back(Instant::now());
            socket.send(Message::text(text)).await?;
            next_seq += 1;
            due += pause;
            continue;
        }
        let wait_for = if may_send { due } else { Instant::now() + Duration::from_secs(60) };
        let Ok(seq) = tokio::time::timeout_at(wait_for.into(), ack(&mut socket)).await else { continue };
        let seq = seq?;
        for _ in acked..seq {
            if let Some(sent_at) = in_flight.pop_front() {
                load.acks.push(Acked { at: Instant::now(), took: sent_at.elapsed() });
                load.events_acked += plan.batch as u64;
            }
        }
        acked = acked.max(seq);
        load.elapsed = began.elapsed();
    }
    load.sample_ids = samples.into_iter().filter(|(seq, _)| *seq <= acked).map(|(_, id)| id).collect();
    let _ = socket.close(None).await;
    Ok(load)
}

fn pause_between_batches(plan: &Plan) -> Duration {
    match plan.rate {
        0 => Duration::ZERO,
        rate => Duration::from_secs_f64(plan.batch as f64 * plan.agents as f64 / rate as f64),
    }
}

pub(crate) type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub(crate) async fn ack(socket: &mut Socket) -> Result<u64> {
    #[derive(serde::Deserialize)]
    struct Ack {
        seq: u64,
    }
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str::<Ack>(&text)?.seq),
            Some(Ok(Message::Close(frame))) => bail!("the brain closed the connection: {frame:?}"),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => bail!("the connection ended"),
        }
    }
}
