//! Errors that are not any operation's own.

use axum::body::Body;
use axum::http::{Method, header};
use taskplane_model::access::Role;

use crate::brain::{TestBrain, anonymous};

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let brain = TestBrain::start().await;
    for path in ["/api", "/api/", "/api/v1/nothing", "/api/v2/session", "tasks/celery/t1/nothing"] {
        assert_eq!(brain.get(path).await.problem(404), "not_found", "{path}");
    }
    let put = brain.request(Role::Admin, Method::PUT, "tasks").body(Body::empty()).expect("a request");
    let answer = brain.send(put).await;
    assert_eq!(answer.problem(405), "method_not_allowed");
    assert!(answer.header(header::ALLOW).contains("GET"), "{:?}", answer.headers);
}

#[tokio::test]
async fn bodies_that_are_not_understood_are_problems() {
    let brain = TestBrain::start().await;
    let post = |content_type: &str, body: String| {
        let request =
            brain.request(Role::Operator, Method::POST, "commands").header(header::CONTENT_TYPE, content_type);
        request.body(Body::from(body)).expect("a request")
    };
    assert_eq!(brain.send(post("application/json", "{\"cmd\":".into())).await.problem(400), "bad_json");
    assert_eq!(brain.send(post("application/json", "{}".into())).await.problem(422), "invalid_body");
    assert_eq!(brain.send(post("text/plain", "{}".into())).await.problem(415), "not_json");
    assert_eq!(brain.send(post("application/json", " ".repeat((1 << 20) + 1))).await.problem(413), "too_large");
}

#[tokio::test]
async fn an_unknown_project_is_told_only_to_those_who_are_known() {
    let brain = TestBrain::start().await;
    assert_eq!(brain.get("/api/v1/projects/nothing/tasks").await.problem(404), "project_not_found");
    let request = anonymous(Method::GET, "/api/v1/projects/nothing/tasks").body(Body::empty()).expect("a request");
    brain.send(request).await.problem(401);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let brain = TestBrain::start().await;
    for path in ["tasks", "/api/nothing", "/api/docs", "/", "/signin", "/assets/nothing.js"] {
        let answer = brain.get(path).await;
        assert!(answer.header(header::CONTENT_SECURITY_POLICY).contains("default-src 'self'"), "{path}");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(answer.header(header::X_FRAME_OPTIONS), "DENY", "{path}");
        assert!(!answer.header(header::REFERRER_POLICY).is_empty(), "{path}");
    }
    assert_eq!(brain.get("tasks").await.header(header::CACHE_CONTROL), "no-store");
}

#[tokio::test]
async fn the_documentation_is_public_and_needs_nobody_else() {
    let brain = TestBrain::start().await;
    let public = |path| anonymous(Method::GET, path).body(Body::empty()).expect("a request");
    let document = brain.send(public("/api/v1/openapi.json")).await.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let page = brain.send(public("/api/docs")).await.text();
    assert!(page.contains("/api/v1/projects/{project}/tasks") && page.contains("TaskDetail"));
    assert!(!page.contains("src=") && !page.contains("<script"), "no foreign hosts, no scripts");
}
