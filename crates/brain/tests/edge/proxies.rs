//! Reverse proxies that are believed, and everybody else who is not.

use std::net::Ipv4Addr;

use taskplane_brain::server::{ServerOptions, TrustedProxies};
use taskplane_brain::{auth, clock};

use crate::brain::{Answer, TestBrain, get};

async fn behind(networks: &[&str]) -> TestBrain {
    let networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
    let options = ServerOptions { trusted_proxies: TrustedProxies::new(networks), ..ServerOptions::default() };
    TestBrain::start(Ipv4Addr::LOCALHOST.into(), "", options).await
}

async fn sign_in(brain: &TestBrain, headers: &str) -> Answer {
    let link =
        auth::issue_signin_link(&*brain.brain.store, &brain.brain.public_url, clock::now()).await.expect("a link");
    let path = link.strip_prefix(&*brain.brain.public_url).expect("at the public URL").to_owned();
    get(&mut brain.tcp().await, &path, headers).await
}

const TOLD: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /queues\r\n";

#[tokio::test]
async fn a_trusted_proxy_says_how_browsers_reach_us() {
    let brain = behind(&["127.0.0.0/8"]).await;
    let signed_in = sign_in(&brain, TOLD).await;
    assert_eq!((signed_in.status(), signed_in.header("location")), (303, "/queues/"));
    let cookie = signed_in.header("set-cookie");
    assert!(cookie.contains("; Path=/queues/;") && cookie.ends_with("; Secure"), "{cookie}");
    let page = get(&mut brain.tcp().await, "/tasks", &format!("{TOLD}Accept: text/html\r\n")).await;
    assert!(page.body.contains(r#"<base href="/queues/">"#));
}

#[tokio::test]
async fn anybody_else_says_it_in_vain() {
    for networks in [&[][..], &["10.0.0.0/8"]] {
        let brain = behind(networks).await;
        let signed_in = sign_in(&brain, TOLD).await;
        assert_eq!((signed_in.status(), signed_in.header("location")), (303, "/"));
        let cookie = signed_in.header("set-cookie");
        assert!(cookie.contains("; Path=/;") && !cookie.contains("Secure"), "{cookie}");
    }
}

/// How many wrong keys are refused as wrong, before there are too many of them.
async fn tries(brain: &TestBrain, from: impl Fn(usize) -> String) -> usize {
    let mut stream = brain.tcp().await;
    for tried in 0..40 {
        let headers = format!("Authorization: Bearer tpk_wrong\r\n{}", from(tried));
        match get(&mut stream, "/api/v1/session", &headers).await.status() {
            401 => {}
            status => {
                assert_eq!(status, 429);
                return tried;
            }
        }
    }
    40
}

#[tokio::test]
async fn wrong_keys_are_counted_by_whom_a_trusted_proxy_names() {
    let brain = behind(&["127.0.0.1/32"]).await;
    let client = |i: usize| format!("X-Forwarded-For: 198.51.100.{i}, 192.0.2.1\r\n");
    assert!(tries(&brain, client).await < 40, "what the client wrote itself does not make it another one");
    assert_eq!(tries(&brain, |i| format!("X-Forwarded-For: 192.0.2.{}\r\n", i + 2)).await, 40);
}

#[tokio::test]
async fn wrong_keys_are_not_counted_by_made_up_headers() {
    let brain = behind(&["10.0.0.0/8"]).await;
    assert!(tries(&brain, |i| format!("X-Forwarded-For: 192.0.2.{i}\r\nForwarded: for=192.0.2.{i}\r\n")).await < 40);
}

#[tokio::test]
async fn a_page_behind_a_trusted_proxy_is_of_the_host_that_the_browser_asked_for() {
    let brain = behind(&["127.0.0.1/32"]).await;
    let signed_in = sign_in(&brain, "").await;
    let cookie = signed_in.header("set-cookie").split(';').next().expect("a pair").to_owned();
    let ask = async |more: &str| {
        let headers = format!("Cookie: {cookie}\r\nOrigin: https://tasks.example.com\r\n{more}");
        let mut stream = brain.tcp().await;
        let request = format!("DELETE /api/v1/session HTTP/1.1\r\nHost: inner\r\n{headers}\r\n");
        answer_to(&mut stream, &request).await
    };
    assert_eq!(ask("").await, 403, "a page of another site");
    let told = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: tasks.example.com\r\n";
    assert_eq!(ask(told).await, 204);
}

async fn answer_to(stream: &mut tokio::net::TcpStream, request: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut head = [0; 12];
    crate::brain::soon(stream.read_exact(&mut head)).await.expect("an answer");
    std::str::from_utf8(&head[9..]).expect("text").parse().expect("a status")
}
