//! Who is let in.

use serde_json::json;
use tokio_tungstenite::tungstenite::http::header;

use crate::agent::{Agent, SOURCE_HELLO, plain, rich};
use crate::brain::TestBrain;

#[tokio::test]
async fn without_a_valid_token_the_handshake_is_refused_before_any_upgrade() {
    let brain = TestBrain::start().await;
    let revoked = brain.token(None).await;
    brain.revoke(&revoked).await;
    let unknown = format!("Bearer tpa_{}", "a".repeat(43));
    let revoked = format!("Bearer {}", revoked.text);
    let api_key = format!("Bearer {}", brain.api_key);
    let refused =
        ["", "Bearer", "Bearer ", "Bearer nonsense", "Basic dXNlcjpwdw==", "nonsense", &unknown, &revoked, &api_key];
    for authorization in refused.map(Some).into_iter().chain([None]) {
        let answer = Agent::try_connect(&brain, authorization).await.err();
        let answer = answer.unwrap_or_else(|| panic!("{authorization:?} was let in"));
        assert_eq!(answer.status(), 401, "{authorization:?}");
        assert_eq!(answer.headers().get(header::WWW_AUTHENTICATE).expect("a challenge"), "Bearer", "{authorization:?}");
        assert!(!answer.headers().contains_key(header::UPGRADE), "{authorization:?}");
    }
    assert_eq!(brain.items("agents").await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn without_an_upgrade_a_token_opens_nothing() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    let url = format!("http://{}/ws", brain.address);
    let asked = reqwest::Client::new().get(&url);
    let answer = asked.try_clone().expect("no body").send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["www-authenticate"]),
        (401, &"Bearer".parse().expect("ok"))
    );
    let answer = asked.bearer_auth(&token.text).send().await.expect("an answer");
    assert!(answer.status().is_client_error() && answer.status() != 401, "{}", answer.status());
}

#[tokio::test]
async fn the_scheme_of_the_token_may_be_in_any_case() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    let mut agent = Agent::try_connect(&brain, Some(&format!("bearer {}", token.text))).await.expect("let in");
    agent.send(&plain("web-01")).await;
    agent.hears_ack(0).await;
}

#[tokio::test]
async fn the_hello_of_the_source_text_is_accepted_word_for_word() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    let mut agent = Agent::connect(&brain, &token.text).await;
    agent.send_text(SOURCE_HELLO).await;
    agent.hears_ack(0).await;
    let shown = brain.agent("web-01").await;
    assert_eq!((&shown["state"], &shown["connections"]), (&json!("online"), &json!(1)));
    assert_eq!((&shown["framework"], &shown["framework_version"]), (&json!("django"), &json!("5.0.2")));
    assert_eq!((&shown["engines"], &shown["schedulers"]), (&json!(["celery"]), &json!(["celery-beat"])));
    assert_eq!(shown["capabilities"]["celery"]["native_retry"], true);
    assert_eq!(shown["metadata"], json!({ "hostname": "web-01", "pid": 12345 }));
}

#[tokio::test]
async fn a_bound_token_opens_for_its_agent_only() {
    let brain = TestBrain::start().await;
    let token = brain.token(Some("web-01")).await;
    let mut stranger = Agent::connect(&brain, &token.text).await;
    stranger.send(&rich("web-02", "i1")).await;
    let (code, reason) = stranger.closed().await;
    assert_eq!(code, 4003, "{reason}");
    assert!(reason.contains("another agent name"), "{reason}");
    assert_eq!(brain.agent("web-02").await, json!(null));

    let mut bound = Agent::connect(&brain, &token.text).await;
    bound.send(&rich("web-01", "i1")).await;
    bound.hears_ack(0).await;
}

#[tokio::test]
async fn an_open_token_opens_for_any_agent() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    let mut agents = Vec::new();
    for name in ["worker-1", "worker-2", "worker-3"] {
        let mut agent = Agent::connect(&brain, &token.text).await;
        agent.send(&plain(name)).await;
        agent.hears_ack(0).await;
        agents.push(agent);
    }
    let names: Vec<_> = brain.items("agents").await.iter().map(|agent| agent["name"].clone()).collect();
    assert_eq!(names, ["worker-1", "worker-2", "worker-3"]);
}
