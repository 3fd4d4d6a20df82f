//! A store that is slow, full, or cannot take one batch.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taskplane_brain::gateway::GatewayLimits;
use tokio_tungstenite::tungstenite::Message;

use crate::agent::{Agent, Said, batch, plain, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::{event_with, life};
use crate::faulty_store::Faults;
use crate::poller::Poller;

const MEMORY: usize = 4 << 20;
/// What one token may hold of it.
const SHARE: i64 = 3 << 20;

/// A brain with little memory, so that little fills it.
async fn small_brain() -> (TestBrain, Arc<Faults>) {
    TestBrain::start_faulty(GatewayLimits { ingest_memory: MEMORY, ..GatewayLimits::default() }).await
}

/// A batch of about so many bytes.
fn large(agent: &str, seq: u64, bytes: usize) -> Message {
    let more = json!({ "traceback": "x".repeat(bytes / 8) });
    let event = |at| event_with("task_failed", &format!("{agent}-{seq}-{at}"), more.clone());
    Message::text(batch(seq, (0..8).map(event).collect()).to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_slow_sockets_are_not_read_and_memory_stays_bounded() {
    const BATCHES: u64 = 40;
    let (brain, faults) = small_brain().await;
    let token = brain.token(None).await;
    faults.hold();
    let mut agents = Vec::new();
    for name in ["a", "b"] {
        let mut agent = Agent::connect(&brain, &token.text).await;
        agent.send(&plain(name)).await;
        agent.hears_ack(0).await;
        agents.push(tokio::spawn(async move {
            for seq in 1..=BATCHES {
                agent.try_send(large(name, seq, 128 << 10)).await.expect("is taken in the end");
            }
            agent
        }));
    }
    let metrics = &brain.brain.metrics;
    until("the token is throttled", PATIENCE, async || (metrics.throttled_tokens.get() == 1).then_some(())).await;
    let held = metrics.memory_bytes.get();
    assert!((1..=SHARE).contains(&held), "a token holds at most its share: {held}");
    // However long it lasts.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(metrics.memory_bytes.get() <= SHARE);
    // Others are heard, and the throttled ones can still be told things.
    let mut other = Poller::open(&brain, &plain("c"), 0).await;
    other.post(batch(1, life("c")).to_string(), 0).await.frames();

    faults.release();
    for agent in agents {
        let mut agent = agent.await.expect("has sent all");
        while agent.frame().await != json!({ "type": "ack", "seq": BATCHES }) {}
    }
    until("all memory is given back", PATIENCE, async || (metrics.memory_bytes.get() == 0).then_some(())).await;
    assert_eq!(brain.totals().await["failed"], 2 * BATCHES * 8);
}

#[tokio::test]
async fn a_connection_that_waits_for_memory_can_still_be_closed() {
    let (brain, faults) = small_brain().await;
    let token = brain.token(None).await;
    faults.hold();
    let mut agent = Agent::connect(&brain, &token.text).await;
    agent.send(&plain("web")).await;
    agent.hears_ack(0).await;
    let (sender, mut sending) = tokio::sync::oneshot::channel::<()>();
    let agent = tokio::spawn(async move {
        let _sender = sender;
        for seq in 1..=60 {
            if agent.try_send(large("web", seq, 1 << 20)).await.is_err() {
                break;
            }
        }
        agent
    });
    let metrics = &brain.brain.metrics;
    until("the token is throttled", PATIENCE, async || (metrics.throttled_tokens.get() == 1).then_some(())).await;
    assert!(sending.try_recv().is_err(), "it is still sending");
    brain.revoke(&token).await;
    let mut agent = tokio::time::timeout(PATIENCE, agent).await.expect("in time").expect("ends");
    let said = agent.next().await;
    assert!(matches!(said, Said::Close(4003, _)), "{said:?}");
    faults.release();
}

#[tokio::test]
async fn while_the_disk_is_full_acks_wait_and_come_when_there_is_space() {
    let (brain, faults) = TestBrain::start_faulty(GatewayLimits::default()).await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let mut poller = Poller::open(&brain, &rich("web", "i2"), 0).await;
    assert_eq!(brain.readiness().await.0, 200);
    faults.fill_disk();
    agent.send(&batch(1, life("t1"))).await;
    let tried = async || (faults.commits() >= 3).then_some(());
    until("it is tried again", PATIENCE, tried).await;
    assert_eq!(poller.post(batch(1, life("t2")).to_string(), 0).await.frames(), Vec::<Value>::new());
    let (status, why) = brain.readiness().await;
    assert_eq!((status, why.contains("no space is left")), (503, true), "{why}");
    assert_eq!(brain.brain.metrics.store_trouble.get(), 1);
    assert_eq!(brain.task_ids().await, Vec::<String>::new());

    faults.free_disk();
    agent.hears_ack(1).await;
    poller.tell(1, life("t2")).await;
    assert_eq!(brain.readiness().await, (200, "ready\n".into()));
    assert_eq!(brain.brain.metrics.store_trouble.get(), 0);
    assert_eq!((brain.task_ids().await, &brain.totals().await["sent"]), (vec!["t1".into(), "t2".into()], &json!(2)));
}

#[tokio::test]
async fn a_batch_that_cannot_be_stored_does_not_take_others_with_it() {
    let (brain, faults) = TestBrain::start_faulty(GatewayLimits::default()).await;
    let mut bad = Agent::open(&brain, &plain("bad"), 0).await;
    let mut good = Agent::open(&brain, &plain("good"), 0).await;
    let mut held = Agent::open(&brain, &plain("held"), 0).await;
    faults.poison(66);
    // While the first commit waits, the next group comes together.
    faults.hold();
    held.send(&batch(1, life("t1"))).await;
    bad.send(&batch(66, life("t2"))).await;
    good.send(&batch(1, life("t3"))).await;
    faults.release();
    good.hears_ack(1).await;
    held.hears_ack(1).await;
    assert_eq!(bad.closed().await.0, 1013);
    assert_eq!(brain.task_ids().await, ["t1", "t3"]);
}

#[tokio::test]
async fn a_brain_that_stops_does_not_wait_for_its_store() {
    let (brain, faults) = TestBrain::start_faulty(GatewayLimits::default()).await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    faults.fill_disk();
    agent.send(&batch(1, life("t1"))).await;
    until("it is tried", PATIENCE, async || (faults.commits() >= 1).then_some(())).await;
    let restarted = tokio::spawn(brain.restart());
    assert_eq!(agent.closed().await.0, 1001);
    let brain = restarted.await.expect("a brain");
    Agent::open(&brain, &plain("web"), 0).await.tell(1, life("t1")).await;
}

#[tokio::test]
async fn behind_a_refused_batch_nothing_of_its_connection_is_stored() {
    let (brain, faults) = TestBrain::start_faulty(GatewayLimits::default()).await;
    let mut held = Agent::open(&brain, &plain("held"), 0).await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(65, life("t65")).await;
    faults.poison(66);
    faults.hold();
    held.send(&batch(1, life("t1"))).await;
    for seq in 66..=68 {
        agent.send(&batch(seq, life(&format!("t{seq}")))).await;
    }
    faults.release();
    held.hears_ack(1).await;
    assert_eq!(agent.closed().await.0, 1013);
    // An ack of 68 would make the agent forget 66.
    Agent::open(&brain, &plain("web"), 65).await;
    assert_eq!(brain.task_ids().await, ["t1", "t65"]);
}
