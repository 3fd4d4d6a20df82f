//! TLS as browsers, the operator's commands and agents meet it.

use std::net::Ipv6Addr;

use taskplane_brain::server::{ServerTls, TlsError, TlsFiles};
use taskplane_testkit::Authority;
use tokio::io::AsyncReadExt;

use crate::brain::{Certificates, Client, TestBrain, get, server_certificate, shown, soon};

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_answered_over_tls() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    let mut stream = brain.tls(&Client::trusting(&certificates.authority)).await.expect("TLS");
    let answer = get(&mut stream, "/healthz", "").await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "ok\n"));
    let ca = reqwest::Certificate::from_pem(certificates.authority.pem().as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([ca]).build().expect("a client");
    let ready = client.get(format!("https://{}/readyz", brain.address)).send().await.expect("an answer");
    assert_eq!(ready.text().await.expect("text"), "ready\n");
}

#[tokio::test]
async fn browsers_get_http2_and_agents_http1() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    const BROWSER: &[&[u8]] = &[b"h2", b"http/1.1"];
    const AGENT: &[&[u8]] = &[b"http/1.1"];
    for (offered, taken) in [(BROWSER, &b"h2"[..]), (AGENT, b"http/1.1")] {
        let client = Client::trusting(&certificates.authority).speaking(offered);
        let stream = brain.tls(&client).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(taken));
    }
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_refuses_the_brain() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    let other = Authority::new("others").expect("an authority");
    let error = brain.tls(&Client::trusting(&other)).await.expect_err("refused");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn a_brain_listens_on_ipv6() {
    let certificates = Certificates::new(None);
    let brain = TestBrain::start(Ipv6Addr::LOCALHOST.into(), "", certificates.options()).await;
    assert!(brain.brain.public_url.starts_with("https://[::1]:"));
    let mut stream = brain.tls(&Client::trusting(&certificates.authority)).await.expect("TLS");
    assert_eq!(get(&mut stream, "/healthz", "").await.status(), 200);
}

#[tokio::test]
async fn those_who_say_nothing_do_not_keep_others_waiting() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(brain.tcp().await);
    }
    let mut stream = brain.tls(&Client::trusting(&certificates.authority)).await.expect("TLS");
    assert_eq!(get(&mut stream, "/healthz", "").await.status(), 200);
    // They are still being waited for.
    let mut byte = [0];
    assert!(silent[0].try_read(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_what_to_do() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    let mut stream = brain.tcp().await;
    let request = "GET /ws HTTP/1.1\r\nHost: brain\r\n\r\n";
    soon(tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())).await.expect("writes");
    let mut said = String::new();
    // What was not read may make the end of the connection a reset; it was said before.
    let _ = soon(stream.read_to_string(&mut said)).await;
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("use https://"), "{said}");
}

#[tokio::test]
async fn a_new_certificate_is_served_without_ending_open_connections() {
    let certificates = Certificates::new(None);
    let brain = certificates.brain().await;
    let client = Client::trusting(&certificates.authority);
    let mut old = brain.tls(&client).await.expect("TLS");
    assert_eq!(get(&mut old, "/healthz", "").await.status(), 200);
    certificates.tls.look();
    assert_eq!(shown(&brain.tls(&client).await.expect("TLS")), shown(&old), "nothing has changed");

    let new = server_certificate(&certificates.authority);
    std::fs::write(&certificates.cert, &new.cert).expect("writes");
    certificates.tls.look();
    assert_eq!(shown(&brain.tls(&client).await.expect("TLS")), shown(&old), "a certificate without its key");
    std::fs::write(&certificates.key, &new.key).expect("writes");
    certificates.tls.look();
    let renewed = brain.tls(&client).await.expect("TLS");
    assert_ne!(shown(&renewed), shown(&old));
    assert_eq!(get(&mut old, "/healthz", "").await.status(), 200, "the open connection goes on");

    for damage in ["", "not PEM"] {
        std::fs::write(&certificates.cert, damage).expect("writes");
        certificates.tls.look();
        assert_eq!(shown(&brain.tls(&client).await.expect("TLS")), shown(&renewed), "{damage:?}");
    }
    std::fs::remove_file(&certificates.key).expect("removes");
    certificates.tls.look();
    assert_eq!(shown(&brain.tls(&client).await.expect("TLS")), shown(&renewed));
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("servers").expect("an authority");
    let (cert, key) = server_certificate(&authority).write(folder.path(), "one").expect("writes");
    let (_, other_key) = server_certificate(&authority).write(folder.path(), "other").expect("writes");
    let absent = folder.path().join("absent");
    let refused = |cert: &std::path::Path, key: &std::path::Path, client_ca: Option<&std::path::Path>| {
        let files = TlsFiles { cert: cert.into(), key: key.into(), client_ca: client_ca.map(Into::into) };
        ServerTls::load(files).err().expect("refused")
    };
    assert!(matches!(refused(&cert, &other_key, None), TlsError::Mismatch { .. }));
    assert!(matches!(refused(&absent, &key, None), TlsError::Read { .. }));
    assert!(matches!(refused(&key, &key, None), TlsError::NoCertificate(_)));
    assert!(matches!(refused(&cert, &cert, None), TlsError::NoKey(_)));
    assert!(matches!(refused(&cert, &key, Some(&key)), TlsError::NoCertificate(_)));
}
