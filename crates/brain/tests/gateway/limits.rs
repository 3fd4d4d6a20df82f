//! Limits on what agents may send and how often they may come.

use std::num::NonZeroU32;

use reqwest::{Body, Method};
use serde_json::json;
use taskplane_brain::gateway::GatewayLimits;

use crate::agent::{Agent, batch, plain, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::{event, event_with, life};
use crate::poller::{Poller, Reply, reply};
use crate::transport::{BOTH, Peer};

#[tokio::test]
async fn handshakes_of_one_address_are_limited_before_any_token_is_looked_at() {
    let limits = GatewayLimits {
        handshakes_per_second: NonZeroU32::MIN,
        handshake_burst: NonZeroU32::new(3).expect("not zero"),
        ..GatewayLimits::default()
    };
    let brain = TestBrain::start_with(limits).await;
    let token = brain.token(None).await;
    let mut agents = Vec::new();
    let mut session = Poller::new(&brain, &token.text);
    session.post(rich("web", "poll").to_string(), 25).await.frames();
    for instance in ["i1", "i2"] {
        let mut agent = Agent::connect(&brain, &token.text).await;
        agent.send(&rich("web", instance)).await;
        agent.hears_ack(0).await;
        agents.push(agent);
    }
    // A busy machine may have let a second pass, and with it one more.
    let mut refused = None;
    for _ in 0..20 {
        refused =
            Agent::try_connect(&brain, Some("Bearer nonsense")).await.err().filter(|answer| answer.status() == 429);
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("is refused");
    let seconds = refused.headers()["retry-after"].to_str().expect("text").parse::<u64>().expect("a number");
    assert!((1..=2).contains(&seconds), "{seconds}");
    let mut refusal = None;
    for attempt in 0..20 {
        let mut poller = Poller::new(&brain, &token.text);
        if let Reply::Refused(429, body) = poller.post(rich("web", &format!("another {attempt}")).to_string(), 0).await
        {
            refusal = Some(body);
            break;
        }
    }
    assert_eq!(refusal.expect("is refused")["code"], "too_many_handshakes");
    // Who is in stays in.
    session.tell(1, life("t1")).await;
    for agent in &mut agents {
        agent.tell(1, life("t2")).await;
    }
    assert!(metric(&brain, r#"agent_handshakes_refused_total{reason="Rate"}"#) >= 2);
}

#[tokio::test]
async fn connections_of_one_token_are_limited() {
    let brain = TestBrain::start_with(GatewayLimits { connections_per_token: 2, ..GatewayLimits::default() }).await;
    let (token, other) = (brain.token(None).await, brain.token(None).await);
    let mut kept = Vec::new();
    for transport in BOTH {
        kept.push(Peer::open(&brain, transport, &token.text, &rich("web", &format!("{transport:?}")), 0).await);
    }
    let refused = Agent::try_connect(&brain, Some(&format!("Bearer {}", token.text))).await.err().expect("is refused");
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"30".parse().expect("ok")));
    let mut poller = Poller::new(&brain, &token.text);
    let Reply::Refused(429, body) = poller.post(plain("web").to_string(), 0).await else { panic!("is refused") };
    assert_eq!(body["code"], "too_many_connections");
    assert!(body["detail"].as_str().is_some_and(|text| text.contains("2 connections with this token")), "{body}");
    Peer::open(&brain, BOTH[0], &other.text, &plain("other"), 0).await.tell(1, life("t1")).await;
    // A place that is left can be taken.
    drop(kept);
    let free = async || Agent::try_connect(&brain, Some(&format!("Bearer {}", token.text))).await.ok();
    until("a place is free", PATIENCE, free).await;
    assert_eq!(metric(&brain, r#"agent_handshakes_refused_total{reason="Store"}"#), 0);
}

#[tokio::test]
async fn long_poll_sessions_are_limited() {
    let brain = TestBrain::start_with(GatewayLimits { longpoll_sessions: 1, ..GatewayLimits::default() }).await;
    let mut first = Poller::open(&brain, &plain("a"), 0).await;
    let mut second = Poller::new(&brain, &brain.token(None).await.text);
    let (code, reason) = second.post(plain("b").to_string(), 0).await.closed();
    assert_eq!((code, reason.contains("too many")), (1013, true), "{reason}");
    first.tell(1, life("t1")).await;
    Agent::open(&brain, &plain("b"), 0).await;
}

#[tokio::test]
async fn wrong_tokens_of_one_address_are_limited_and_right_ones_are_not() {
    let brain = TestBrain::start().await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let refused = Agent::try_connect(&brain, Some("Bearer nonsense")).await.err().expect("is refused");
        statuses.push(refused.status().as_u16());
    }
    // How many depends on how long they take: one more is let through every two seconds.
    assert!(statuses[0] == 401 && statuses.contains(&429), "{statuses:?}");
    Agent::open(&brain, &plain("web"), 0).await.tell(1, life("t1")).await;
}

#[tokio::test]
async fn sign_in_links_cannot_be_tried_without_end() {
    let brain = TestBrain::start().await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let url = format!("http://{}/signin?token=tpl_{}", brain.address, "a".repeat(43));
        statuses.push(reqwest::get(url).await.expect("an answer").status().as_u16());
    }
    assert!(statuses[0] == 400 || statuses[0] == 410, "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn deep_nesting_breaks_nothing() {
    let brain = TestBrain::start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for transport in BOTH {
        let name = format!("{transport:?}");
        let token = brain.token(None).await;
        let mut peer = Peer::open(&brain, transport, &token.text, &plain(&name), 0).await;
        peer.tell(1, json!([event("task_sent", "t1")])).await;
        // A value that serde_json would not read: it has to be sent as text.
        let sent =
            json!({ "event_type": "task_sent", "task_id": "deep", "args_redacted": "DEEP", "x": "DEEP" }).to_string();
        let text = batch(2, json!(["EVENT", event("task_started", "t1")])).to_string();
        let text = text.replace(r#""EVENT""#, &sent).replace(r#""DEEP""#, &deep);
        match &mut peer {
            Peer::WebSocket(agent) => {
                agent.send_text(&text).await;
                agent.hears_ack(2).await;
            }
            Peer::LongPoll(poller) => assert_eq!(poller.post(text, 25).await.frames(), [crate::poller::ack(2)]),
        }
        assert_eq!(brain.agent(&name).await["quarantined_events"], 1);
        let (code, _) = peer.closed_after(deep.clone().into_bytes()).await;
        assert_eq!(code, 1007);
    }
    assert_eq!(brain.task_ids().await, ["t1"]);
}

#[tokio::test]
async fn an_event_that_is_too_large_does_not_block_its_batch() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let huge = event_with("task_failed", "huge", json!({ "traceback": "x".repeat(600 << 10) }));
    agent.tell(1, json!([event("task_sent", "t1"), huge, event("task_sent", "t2")])).await;
    assert_eq!(brain.task_ids().await, ["t1", "t2"]);
    assert_eq!(brain.agent("web").await["quarantined_events"], 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    // As long as both have patience: fifteen seconds.
    let brain = TestBrain::start().await;
    let never =
        || Body::wrap_stream(futures_util::stream::once(std::future::pending::<Result<String, std::io::Error>>()));
    let request = brain.request(Method::POST, "agent-tokens").header("content-type", "application/json");
    let poller = Poller::open(&brain, &plain("web"), 0).await;
    let (answer, slow) = tokio::join!(request.body(never()).send(), poller.request(never(), "").send());
    assert_eq!(answer.expect("an answer").status(), 408);
    assert_eq!(reply(slow.expect("an answer")).await, Reply::Refused(408, json!({ "error": "body_too_slow" })));
}

/// A number of `/metrics`; 0 where it is not there.
fn metric(brain: &TestBrain, name: &str) -> u64 {
    let text = brain.brain.metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix("taskplane_")?.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}
