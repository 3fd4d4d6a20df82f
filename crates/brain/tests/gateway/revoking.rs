//! Tokens that are revoked while agents are connected with them.

use std::time::Instant;

use crate::agent::{Agent, plain, rich};
use crate::brain::{SOON, TestBrain};
use crate::events::life;

#[tokio::test]
async fn revoking_a_token_closes_its_connections_within_a_second_with_4003() {
    let brain = TestBrain::start().await;
    let (revoked, other) = (brain.token(None).await, brain.token(None).await);
    let mut agents = Vec::new();
    for (name, token) in [("a", &revoked), ("b", &revoked), ("c", &other)] {
        let mut agent = Agent::connect(&brain, &token.text).await;
        agent.send(&rich(name, "i1")).await;
        agent.hears_ack(0).await;
        agent.tell(1, life(name)).await;
        agents.push(agent);
    }
    let began = Instant::now();
    brain.revoke(&revoked).await;
    for agent in &mut agents[..2] {
        let (code, reason) = agent.closed().await;
        assert_eq!(code, 4003, "{reason}");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    agents[2].tell(2, life("d")).await;

    let again = Agent::try_connect(&brain, Some(&format!("Bearer {}", revoked.text))).await;
    assert_eq!(again.err().expect("is refused").status(), 401);
}

#[tokio::test]
async fn a_token_that_is_revoked_before_hello_opens_nothing() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    let mut agent = Agent::connect(&brain, &token.text).await;
    brain.revoke(&token).await;
    agent.send(&plain("web")).await;
    let (code, reason) = agent.closed().await;
    assert_eq!(code, 4003, "{reason}");
}
