//! A token that floods, and one that does not.

use serde_json::{Value, json};
use taskplane_brain::gateway::GatewayLimits;
use tokio_tungstenite::tungstenite::Message;

use crate::agent::{Agent, batch, plain, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::{event_with, life};

/// Commits after which a batch must be acked that came when everything was full: the one that is under way, the one that
/// was gathered meanwhile, and its own.
const COMMITS: usize = 3;

fn heavy(seq: u64) -> Value {
    let more = json!({ "traceback": "x".repeat(16 << 10) });
    batch(seq, (0..8).map(|at| event_with("task_failed", &format!("f{at}"), more.clone())).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_one_token_does_not_starve_the_others() {
    let (brain, faults) =
        TestBrain::start_faulty(GatewayLimits { ingest_memory: 4 << 20, ..GatewayLimits::default() }).await;
    let metrics = brain.brain.metrics.clone();
    let token = brain.token(None).await;
    let mut trickle = Agent::open(&brain, &plain("trickle"), 0).await;
    faults.hold();
    let mut floods = Vec::new();
    for connection in 0..4 {
        let mut agent = Agent::connect(&brain, &token.text).await;
        agent.send(&rich("flood", &format!("i{connection}"))).await;
        agent.hears_ack(0).await;
        floods.push(tokio::spawn(async move {
            for seq in 1.. {
                if agent.try_send(Message::text(heavy(seq).to_string())).await.is_err() {
                    break;
                }
            }
        }));
    }
    for seq in 1..=5 {
        until("the flood is throttled", PATIENCE, async || (metrics.throttled_tokens.get() >= 1).then_some(())).await;
        let frames = metrics.unknown_frames.get();
        trickle.send(&batch(seq, life(&format!("t{seq}")))).await;
        // When this is read, the batch before it is in the queue.
        trickle.send(&json!({ "type": "gossip" })).await;
        until("the trickle is heard", PATIENCE, async || (metrics.unknown_frames.get() > frames).then_some(())).await;
        let before = faults.commits();
        faults.let_through(COMMITS);
        trickle.hears_ack(seq).await;
        let taken = async || (faults.commits() >= before + COMMITS).then_some(());
        until("all of these commits are made", PATIENCE, taken).await;
    }
    floods.iter().for_each(tokio::task::JoinHandle::abort);
}
