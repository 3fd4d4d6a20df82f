//! Everything below a base path, whether a proxy takes it off or not.

use taskplane_brain::server::ServerOptions;
use taskplane_brain::{auth, clock};

use crate::brain::{Certificates, Client, TestBrain, get};

const PAGE: &str = "Accept: text/html\r\n";

#[tokio::test]
async fn paths_work_with_the_base_and_without_it() {
    let brain = TestBrain::plain("/queues", ServerOptions::default()).await;
    let mut stream = brain.tcp().await;
    for base in ["", "/queues"] {
        assert_eq!(get(&mut stream, &format!("{base}/healthz"), "").await.body, "ok\n", "{base}");
        assert_eq!(get(&mut stream, &format!("{base}/api/v1/session"), "").await.status(), 401, "{base}");
        assert_eq!(get(&mut stream, &format!("{base}/ws"), "").await.status(), 401, "{base}");
        assert_eq!(get(&mut stream, &format!("{base}/assets/gone.js"), PAGE).await.status(), 404, "{base}");
        for path in ["/", "/tasks", "/tasks/celery/1?tab=events"] {
            let page = get(&mut stream, &format!("{base}{path}"), PAGE).await;
            assert!(page.body.contains(r#"<base href="/queues/">"#), "{base}{path}: {}", page.head);
        }
    }
    assert!(get(&mut stream, "/queues", PAGE).await.body.contains(r#"<base href="/queues/">"#));
    assert_eq!(get(&mut stream, "/queuesx/healthz", "").await.status(), 404);
}

#[tokio::test]
async fn the_page_under_another_base_is_another_page() {
    let tag = async |path: &str| {
        let brain = TestBrain::plain(path, ServerOptions::default()).await;
        get(&mut brain.tcp().await, "/", PAGE).await.header("etag").to_owned()
    };
    assert_ne!(tag("/queues").await, tag("").await);
}

#[tokio::test]
async fn signing_in_leads_to_the_base_and_the_cookie_stays_below_it() {
    let brain = TestBrain::plain("/queues", ServerOptions::default()).await;
    let link =
        auth::issue_signin_link(&*brain.brain.store, &brain.brain.public_url, clock::now()).await.expect("a link");
    let path = link.strip_prefix(brain.brain.public_url.origin()).expect("at the public URL").to_owned();
    assert!(path.starts_with("/queues/signin?"), "{path}");
    let mut stream = brain.tcp().await;
    let signed_in = get(&mut stream, &path, PAGE).await;
    assert_eq!((signed_in.status(), signed_in.header("location")), (303, "/queues/"));
    let cookie = signed_in.header("set-cookie").to_owned();
    assert!(cookie.contains("; Path=/queues/;") && !cookie.contains("Secure"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair");
    let session = get(&mut stream, "/queues/api/v1/session", &format!("Cookie: {cookie}\r\n")).await;
    assert_eq!(session.status(), 200);
}

#[tokio::test]
async fn the_api_document_names_the_base() {
    let brain = TestBrain::plain("/queues", ServerOptions::default()).await;
    let document = get(&mut brain.tcp().await, "/queues/api/v1/openapi.json", "").await.body;
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["servers"][0]["url"], "/queues");
    let brain = TestBrain::plain("", ServerOptions::default()).await;
    let document = get(&mut brain.tcp().await, "/api/v1/openapi.json", "").await.body;
    assert!(serde_json::from_str::<serde_json::Value>(&document).expect("JSON")["servers"].is_null());
}

#[tokio::test]
async fn over_tls_cookies_are_secure_and_only_a_host_of_its_own_is_held_to_tls() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    let link =
        auth::issue_signin_link(&*brain.brain.store, &brain.brain.public_url, clock::now()).await.expect("a link");
    let path = link.strip_prefix(brain.brain.public_url.origin()).expect("at the public URL").to_owned();
    let mut stream = brain.tls(&Client::trusting(&certificates.authority)).await.expect("TLS");
    let signed_in = get(&mut stream, &path, PAGE).await;
    assert!(signed_in.header("set-cookie").ends_with("; Secure"), "{}", signed_in.head);
    // Whatever else the host serves on other ports may be without TLS.
    assert_eq!(signed_in.header("strict-transport-security"), "");
}
