//! From a one-time link to a session, and out again.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use taskplane_brain::{auth, clock};

use crate::brain::{Answer, TestBrain, anonymous};

async fn link(brain: &TestBrain) -> String {
    let url =
        auth::issue_signin_link(&*brain.brain.store, &brain.brain.public_url, clock::now()).await.expect("a link");
    url.strip_prefix(&*brain.brain.public_url).expect("at the public URL").to_owned()
}

async fn visit(brain: &TestBrain, method: Method, path: &str) -> Answer {
    brain.send(anonymous(method, path).body(Body::empty()).expect("a request")).await
}

fn cookie(answer: &Answer) -> String {
    answer.header(header::SET_COOKIE).split(';').next().expect("a cookie").to_owned()
}

async fn with_cookie(brain: &TestBrain, method: Method, path: &str, cookie: &str) -> Answer {
    let request = anonymous(method, path).header(header::COOKIE, cookie).header("sec-fetch-site", "same-origin");
    brain.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_link_works_once() {
    let brain = TestBrain::start().await;
    let link = link(&brain).await;
    assert_eq!(visit(&brain, Method::HEAD, &link).await.status, StatusCode::OK, "looking does not use it up");
    let answer = visit(&brain, Method::GET, &link).await;
    assert_eq!((answer.status, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/"));
    assert_eq!(answer.header(header::REFERRER_POLICY), "no-referrer");
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let set = answer.header(header::SET_COOKIE);
    for part in ["taskplane_session=tps_", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"] {
        assert!(set.contains(part), "{part} in {set}");
    }
    assert!(!set.contains("Secure"), "there is no TLS here");

    let session = with_cookie(&brain, Method::GET, "/api/v1/session", &cookie(&answer)).await.json();
    assert_eq!(session["role"], "admin");
    assert!(session["expires_at"].is_string());

    let again = visit(&brain, Method::GET, &link).await;
    assert_eq!(again.status, StatusCode::GONE);
    assert!(again.text().contains("taskplane signin-link"));
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let brain = TestBrain::start().await;
    let cookie = cookie(&visit(&brain, Method::GET, &link(&brain).await).await);
    let out = with_cookie(&brain, Method::DELETE, "/api/v1/session", &cookie).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header(header::SET_COOKIE).contains("Max-Age=0"));
    with_cookie(&brain, Method::GET, "/api/v1/session", &cookie).await.problem(401);
}

#[tokio::test]
async fn other_links_are_refused_with_a_page() {
    let brain = TestBrain::start().await;
    for path in ["/signin", "/signin?token=", "/signin?token=nonsense", "/signin?token=tpk_x"] {
        let answer = visit(&brain, Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(answer.header(header::CONTENT_TYPE).starts_with("text/html"), "{path}");
    }
    let never_issued = format!("/signin?token=tpl_{}", "a".repeat(43));
    assert_eq!(visit(&brain, Method::GET, &never_issued).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_link_is_too_old_after_a_quarter_of_an_hour() {
    let brain = TestBrain::start().await;
    let long_ago = clock::now().plus(-16 * 60 * 1_000_000);
    let url = auth::issue_signin_link(&*brain.brain.store, "", long_ago).await.expect("a link");
    assert_eq!(visit(&brain, Method::GET, &url).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_browser_that_only_fetches_ahead_does_not_use_the_link_up() {
    let brain = TestBrain::start().await;
    let link = link(&brain).await;
    let ahead = anonymous(Method::GET, &link).header("sec-purpose", "prefetch;prerender");
    let answer = brain.send(ahead.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(visit(&brain, Method::GET, &link).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn with_tls_the_cookie_is_secure() {
    let brain = TestBrain::start_at("https://tasks.example.org/").await;
    let answer = visit(&brain, Method::GET, &link(&brain).await).await;
    assert!(answer.header(header::SET_COOKIE).ends_with("; Secure"));
}
