//! The embedded dashboard.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};

use crate::brain::{Answer, TestBrain, anonymous};

async fn open(brain: &TestBrain, method: Method, path: &str, accept: &str) -> Answer {
    brain.send(anonymous(method, path).header(header::ACCEPT, accept).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn addresses_that_people_open_get_the_page() {
    let brain = TestBrain::start().await;
    for path in ["/", "/tasks", "/tasks/celery/some-id", "/index.html"] {
        let answer = open(&brain, Method::GET, path, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), "text/html; charset=utf-8", "{path}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-cache", "{path}");
        assert!(answer.text().contains("<base href=\"/\">"), "{path}");
    }
}

#[tokio::test]
async fn what_is_missing_is_missing() {
    let brain = TestBrain::start().await;
    for (path, accept) in
        [("/assets/gone-1234.js", "text/html"), ("/favicon.ico", "image/*"), ("/tasks", "application/json")]
    {
        open(&brain, Method::GET, path, accept).await.problem(404);
    }
    open(&brain, Method::GET, "/../../Cargo.toml", "*/*").await.problem(404);
    open(&brain, Method::POST, "/tasks", "text/html").await.problem(405);
}

#[tokio::test]
async fn a_browser_that_has_the_page_is_told_so() {
    let brain = TestBrain::start().await;
    let tag = open(&brain, Method::GET, "/index.html", "text/html").await.header(header::ETAG).to_owned();
    let request = anonymous(Method::GET, "/index.html").header(header::IF_NONE_MATCH, &tag);
    let answer = brain.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(answer.header(header::ETAG), tag);
}

#[tokio::test]
async fn only_a_host_of_our_own_is_held_to_tls() {
    for (url, held) in [
        ("https://tasks.example.com", "max-age=31536000"),
        ("https://tasks.example.com/queues", "max-age=31536000"),
        ("https://tasks.example.com:8443", ""),
        ("http://tasks.example.com", ""),
    ] {
        let brain = TestBrain::start_at(url).await;
        for path in ["/", "/api/v1/session", "/healthz"] {
            let answer = open(&brain, Method::GET, path, "text/html").await;
            assert_eq!(answer.header(header::STRICT_TRANSPORT_SECURITY), held, "{url} {path}");
            assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{url} {path}");
        }
    }
}
