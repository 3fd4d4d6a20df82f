//! Pages of other sites cannot use a signed-in browser.

use axum::body::Body;
use axum::http::{Method, header};
use taskplane_brain::{auth, clock};
use taskplane_model::access::Role;

use crate::brain::{TestBrain, anonymous};

async fn session(brain: &TestBrain) -> String {
    let url = auth::issue_signin_link(&*brain.brain.store, "", clock::now()).await.expect("a link");
    let answer = brain.send(anonymous(Method::GET, &url).body(Body::empty()).expect("a request")).await;
    answer.header(header::SET_COOKIE).split(';').next().expect("a cookie").to_owned()
}

#[tokio::test]
async fn a_cookie_changes_things_only_from_our_own_pages() {
    let brain = TestBrain::start().await;
    let cookie = session(&brain).await;
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("sec-fetch-site", "same-origin")], 201),
        (&[("origin", "http://127.0.0.1:7440")], 201),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9999")], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
    ];
    for (headers, status) in cases {
        let request = anonymous(Method::POST, "agent-tokens").header(header::COOKIE, &cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = brain.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status.as_u16(), *status, "{headers:?}: {}", answer.text());
        if *status == 403 {
            assert_eq!(answer.problem(403), "cross_origin");
        }
    }
}

#[tokio::test]
async fn reading_is_not_hindered() {
    let brain = TestBrain::start().await;
    let request = anonymous(Method::GET, "tasks").header(header::COOKIE, session(&brain).await);
    let request = request.header("sec-fetch-site", "cross-site").body(Body::empty()).expect("a request");
    assert_eq!(brain.send(request).await.status, 200);
}

#[tokio::test]
async fn keys_are_not_hindered_and_do_not_help_cookies() {
    let brain = TestBrain::start().await;
    let post = |request: axum::http::request::Builder| {
        request.header("sec-fetch-site", "cross-site").header("origin", "https://tool.example").body(Body::empty())
    };
    let with_key = post(brain.request(Role::Admin, Method::POST, "agent-tokens")).expect("a request");
    assert_eq!(brain.send(with_key).await.status, 201);
    let cookie = session(&brain).await;
    let both =
        anonymous(Method::POST, "agent-tokens").header(header::COOKIE, cookie).header("authorization", "Bearer x");
    brain.send(post(both).expect("a request")).await.problem(401);
}
