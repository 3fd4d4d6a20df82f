//! Agent tokens.

use axum::body::Body;
use axum::http::{HeaderValue, Method};
use serde_json::json;
use taskplane_brain::auth::{self, Unauthorized};
use taskplane_model::access::Role;

use crate::brain::TestBrain;

async fn grant(brain: &TestBrain, token: &str) -> Result<taskplane_store::access::TokenGrant, Unauthorized> {
    let header = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    auth::agent_grant(&*brain.brain.store, auth::agent_token(Some(&header))?).await
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let brain = TestBrain::start().await;
    let answer = brain.post(Role::Admin, "agent-tokens", &json!({ "agent": "web" })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let created = answer.json();
    let (id, token) = (created["id"].as_str().expect("an id"), created["token"].as_str().expect("a token"));
    assert!(token.starts_with("tpa_"));
    let opened = grant(&brain, token).await.expect("it opens");
    assert_eq!((opened.token_id.as_str(), opened.agent.as_deref()), (id, Some("web")));

    let request = |method, path: &str| brain.request(Role::Admin, method, path).body(Body::empty()).expect("a request");
    let list = brain.send(request(Method::GET, "agent-tokens")).await;
    assert!(list.text().contains(id) && !list.text().contains(token));

    let path = format!("agent-tokens/{id}");
    assert_eq!(brain.send(request(Method::DELETE, &path)).await.status, 204);
    assert!(matches!(grant(&brain, token).await, Err(Unauthorized::Unknown)));
    assert_eq!(brain.send(request(Method::DELETE, &path)).await.problem(404), "agent_token_not_found");
}

#[tokio::test]
async fn a_token_need_not_be_bound() {
    let brain = TestBrain::start().await;
    let request = brain.request(Role::Admin, Method::POST, "agent-tokens").body(Body::empty()).expect("a request");
    let created = brain.send(request).await.json();
    assert_eq!(created["agent"], json!(null));
    assert_eq!(brain.post(Role::Admin, "agent-tokens", &json!({ "agent": "" })).await.problem(422), "bad_agent_name");
}

#[tokio::test]
async fn what_is_not_an_agent_token_opens_nothing() {
    let brain = TestBrain::start().await;
    assert!(matches!(auth::agent_token(None), Err(Unauthorized::Missing)));
    assert!(matches!(grant(&brain, brain.key(Role::Admin)).await, Err(Unauthorized::Malformed)));
    assert!(matches!(grant(&brain, &format!("tpa_{}", "a".repeat(43))).await, Err(Unauthorized::Unknown)));
}
