//! Every operation of the OpenAPI document, with every role and without any.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::Value;
use taskplane_brain::api;
use taskplane_model::access::Role;

use crate::brain::{TestBrain, anonymous};

/// What an operation needs. Whoever adds one has to decide here, too.
fn needed(operation: &str) -> Role {
    match operation {
        "create_command" | "create_bulk_job" | "pause_bulk_job" | "resume_bulk_job" | "cancel_bulk_job" => {
            Role::Operator
        }
        "create_agent_token" | "list_agent_tokens" | "delete_agent_token" => Role::Admin,
        "get_session" | "sign_out" | "stream" | "preview_schedule" => Role::Viewer,
        _ if ["list_", "get_", "count_"].iter().any(|reads| operation.starts_with(reads)) => Role::Viewer,
        other => panic!("which role does {other} need?"),
    }
}

fn operations() -> Vec<(String, Method, String)> {
    let document = serde_json::to_value(api::openapi()).expect("serializes");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let path = [
                ("{project}", "default"),
                ("{engine}", "celery"),
                ("{task_id}", "t1"),
                ("{id}", "x"),
                ("{scheduler}", "s"),
            ]
            .iter()
            .fold(path.clone(), |path, (name, value)| path.replace(name, value));
            let method = method.to_uppercase().parse().expect("a method");
            operations.push((operation["operationId"].as_str().expect("an id").to_owned(), method, path));
        }
    }
    assert!(operations.len() >= 20);
    operations
}

fn with_body(request: axum::http::request::Builder) -> Request<Body> {
    request.header(header::CONTENT_TYPE, "application/json").body(Body::from("{}")).expect("a request")
}

#[tokio::test]
async fn nobody_comes_in_without_credentials_that_work() {
    let brain = TestBrain::start().await;
    for (id, method, path) in operations() {
        let answer = brain.send(with_body(anonymous(method.clone(), &path))).await;
        assert_eq!(answer.problem(401), "unauthorized", "{id}");
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer", "{id}");
    }
}

#[tokio::test]
async fn wrong_credentials_of_every_kind_are_refused() {
    let brain = TestBrain::start().await;
    let agent_token = taskplane_brain::auth::issue_agent_token(
        &*brain.brain.store,
        "default",
        None,
        "test",
        taskplane_brain::clock::now(),
    );
    let agent_token = agent_token.await.expect("a token");
    let never_issued = format!("Bearer tpk_{}", "a".repeat(43));
    let as_basic = format!("Basic {}", brain.key(Role::Admin));
    for wrong in ["", "Bearer", "Bearer ", "Bearer x", &never_issued, &as_basic, &format!("Bearer {agent_token}")] {
        let request = anonymous(Method::GET, "tasks").header(header::AUTHORIZATION, wrong);
        let answer = brain.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.problem(401), "unauthorized", "{wrong:?}");
    }
}

#[tokio::test]
async fn each_operation_opens_to_its_role_and_those_above() {
    let brain = TestBrain::start().await;
    for (id, method, path) in operations() {
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let response = brain.respond(with_body(brain.request(role, method.clone(), &path))).await;
            let refused = response.status() == StatusCode::FORBIDDEN;
            assert_eq!(refused, role < needed(&id), "{id} as {role}: {}", response.status());
            assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{id} as {role}");
            assert!(!response.status().is_server_error(), "{id} as {role}: {}", response.status());
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_role_that_is_needed() {
    let brain = TestBrain::start().await;
    let answer = brain.post(Role::Viewer, "commands", &Value::Null).await;
    assert_eq!(answer.problem(403), "role_required");
    assert!(answer.text().contains("operator"), "{}", answer.text());
}
