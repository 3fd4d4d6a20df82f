//! Sessions of API keys, the audit log, and peers that guess.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, header};
use serde_json::json;
use taskplane_brain::auth::{Secret, SecretKind};
use taskplane_brain::clock;
use taskplane_model::access::Role;
use taskplane_store::access::NewAudit;

use crate::brain::{TestBrain, anonymous};

#[tokio::test]
async fn a_key_says_what_it_may_do() {
    let brain = TestBrain::start().await;
    let session = brain.get("/api/v1/session").await.json();
    assert_eq!(session["role"], "viewer");
    assert_eq!((&session["project"], &session["projects"]), (&json!("default"), &json!(["default"])));
    assert!(session["principal"].as_str().is_some_and(|name| name.starts_with("api-key:")));
    assert_eq!(session["expires_at"], json!(null));
    assert_eq!(session["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_key_of_another_project_sees_nothing_of_this_one() {
    let brain = TestBrain::start().await;
    let key = Secret::generate(SecretKind::ApiKey).expect("a key");
    let (actor, action) = ("test".into(), "create_api_key".into());
    let audit = NewAudit { actor, action, target: None, detail: None };
    let elsewhere = brain.project_id().await + 1;
    brain.brain.store.create_api_key(elsewhere, Role::Admin, key.hash(), audit, clock::now()).await.expect("kept");
    for path in ["tasks", "/api/v1/projects/nothing/tasks"] {
        let bearer = format!("Bearer {}", key.expose());
        let request = anonymous(Method::GET, path).header(header::AUTHORIZATION, bearer);
        let answer = brain.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.problem(404), "project_not_found", "{path}");
    }
}

#[tokio::test]
async fn what_was_done_is_in_the_audit_log_page_by_page() {
    let brain = TestBrain::start().await;
    for agent in ["a", "b", "c"] {
        brain.post(Role::Admin, "agent-tokens", &json!({ "agent": agent })).await;
    }
    let seen = brain.pages("audit", 2).await;
    let created: Vec<_> = seen.iter().filter(|e| e["action"] == "create_agent_token").map(|e| &e["target"]).collect();
    assert_eq!(created, ["c", "b", "a"]);
    assert!(seen.iter().all(|entry| entry["id"].is_string() && entry["actor"].is_string()));
    assert_eq!(brain.get("audit?cursor=nonsense").await.problem(400), "bad_cursor");
}

#[tokio::test]
async fn a_peer_that_guesses_is_slowed_down_and_nobody_else() {
    let brain = TestBrain::start().await;
    let guess = |last: u8, key: &str| {
        let mut request = anonymous(Method::GET, "/api/v1/session")
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .body(Body::empty())
            .expect("a request");
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, last], 1))));
        request
    };
    let mut refused = None;
    for _ in 0..100 {
        let answer = brain.send(guess(1, "tpk_wrong")).await;
        if answer.status != 401 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("an end of guessing");
    assert_eq!(refused.problem(429), "too_many_attempts");
    assert!(!refused.header(header::RETRY_AFTER).is_empty());
    brain.send(guess(2, "tpk_wrong")).await.problem(401);
    assert_eq!(brain.send(guess(1, brain.key(Role::Viewer))).await.status, 200, "the right key always works");
}
