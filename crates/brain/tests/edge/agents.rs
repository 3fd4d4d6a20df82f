//! Certificates of agents: required where agents come in, and nowhere else.

use taskplane_testkit::Authority;

use crate::brain::{Certificates, Client, get, try_get};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn without_a_certificate_browsers_come_in_and_agents_do_not() {
    let certificates = Certificates::new(Some(&Authority::new("agents").expect("an authority")));
    let brain = certificates.brain().await;
    let mut stream = brain.tls(&Client::trusting(&certificates.authority)).await.expect("TLS");
    assert_eq!(get(&mut stream, "/healthz", "").await.status(), 200);
    let refused = get(&mut stream, "/ws", UPGRADE).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.body.contains("--client-cert"), "{}", refused.body);
    assert_eq!(get(&mut stream, "/ws/longpoll", "").await.status(), 403);
}

#[tokio::test]
async fn with_a_certificate_of_the_right_authority_agents_come_as_far_as_their_token_does() {
    let agents = Authority::new("agents").expect("an authority");
    let certificates = Certificates::new(Some(&agents));
    let brain = certificates.brain().await;
    let client = Client::trusting(&certificates.authority).showing(agents.client("web-01").expect("a certificate"));
    let mut stream = brain.tls(&client).await.expect("TLS");
    assert_eq!(get(&mut stream, "/ws", UPGRADE).await.status(), 401);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let certificates = Certificates::new(Some(&Authority::new("agents").expect("an authority")));
    let brain = certificates.brain().await;
    let stranger = Authority::new("agents").expect("an authority").client("web-01").expect("a certificate");
    let client = Client::trusting(&certificates.authority).showing(stranger);
    // The client of TLS 1.3 is done before the server has looked at its certificate.
    let outcome = match brain.tls(&client).await {
        Ok(mut stream) => try_get(&mut stream, "/healthz", "").await.map(|answer| answer.status()),
        Err(error) => Err(error),
    };
    assert!(outcome.is_err(), "{outcome:?}");
}

#[tokio::test]
async fn where_no_certificates_are_asked_for_none_is_needed() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    let mut stream = brain.tls(&Client::trusting(&certificates.authority)).await.expect("TLS");
    assert_eq!(get(&mut stream, "/ws", UPGRADE).await.status(), 401);
}
