//! Dialing real sockets, and what is said when it does not work.

use std::path::PathBuf;
use std::sync::Arc;

use taskplane_testkit::{Authority, ConnectProxy, Issued};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;

use super::*;
use crate::connection::tls::ClientCertificate;
use crate::connection::token::TokenSource;
use crate::connection::transport::{ConnectError, Transport};
use crate::connection::websocket::WebSocketTransport;

/// A brain's authority, and a folder for files.
struct World {
    authority: Authority,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            authority: Authority::new("brains").expect("an authority"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("writes");
        path
    }

    fn trusting(&self) -> TlsOptions {
        TlsOptions { ca_cert: Some(self.file("ca.pem", &self.authority.pem())), client: None }
    }

    fn showing(&self, issued: &Issued) -> TlsOptions {
        let (cert, key) = issued.write(self.folder.path(), "client").expect("writes");
        TlsOptions { client: Some(ClientCertificate { cert, key }), ..self.trusting() }
    }

    fn certificate(&self) -> Issued {
        self.authority.server(&["127.0.0.1", "brain.test"]).expect("a certificate")
    }
}

fn served(issued: &Issued, client_ca: Option<&Authority>) -> TlsAcceptor {
    issued.acceptor(client_ca).expect("a server's certificate")
}

/// A brain that accepts WebSockets over TLS, and its port.
async fn tls_brain(acceptor: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(tcp).await
                    && let Ok(mut socket) = accept_async(tls).await
                {
                    // Until the agent leaves.
                    while futures_util::StreamExt::next(&mut socket).await.is_some_and(|message| message.is_ok()) {}
                }
            });
        }
    });
    port
}

/// Somebody who answers everything in one way, and the port.
async fn answering(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut some = [0; 1024];
                let _ = tcp.read(&mut some).await;
                let _ = tcp.write_all(answer).await;
                let _ = tcp.shutdown().await;
                let _ = tcp.read(&mut some).await;
            });
        }
    });
    port
}

async fn connect(url: &str, tls: TlsOptions, proxy: &ProxySettings) -> Result<(), ConnectError> {
    let dialer = Dialer::new(url.parse().expect("a URL"), tls, proxy).expect("a dialer");
    let token = TokenSource::Literal("tp_test".into()).read().expect("a token");
    WebSocketTransport::new(Arc::new(dialer)).connect(&token).await.map(|_| ())
}

async fn refusal(url: &str, tls: TlsOptions) -> String {
    connect(url, tls, &ProxySettings::default()).await.expect_err("refused").to_string()
}

fn through(proxy: &ConnectProxy, credentials: &str) -> ProxySettings {
    ProxySettings { https: Some(format!("http://{credentials}{}", proxy.address)), ..ProxySettings::default() }
}

#[tokio::test]
async fn a_brain_of_ones_own_authority_is_trusted() {
    let world = World::new();
    let port = tls_brain(served(&world.certificate(), None)).await;
    let url = format!("wss://127.0.0.1:{port}");
    connect(&url, world.trusting(), &ProxySettings::default()).await.expect("connects");
    let options = world.trusting();
    let dialer = Dialer::new(url.parse().expect("a URL"), options, &ProxySettings::default()).expect("a dialer");
    let mut stream = dialer.dial().await.expect("a stream");
    stream.write_all(b"GET /ws HTTP/1.1\r\nHost: brain\r\n\r\n").await.expect("writes");
}

#[tokio::test]
async fn certificates_that_cannot_be_trusted_are_refused_with_what_to_do() {
    let world = World::new();
    let stranger = Authority::new("brains").expect("an authority").server(&["127.0.0.1"]).expect("a certificate");
    let expired = world.authority.expired_server(&["127.0.0.1"]).expect("a certificate");
    let misnamed = world.authority.server(&["other.test"]).expect("a certificate");
    for (issued, says) in [
        (stranger, "give the certificate of the CA that signed it with --ca-cert"),
        (expired, "renew the brain's certificate"),
        (misnamed, "use a name that the brain's certificate is for"),
    ] {
        let port = tls_brain(served(&issued, None)).await;
        let error = refusal(&format!("wss://127.0.0.1:{port}"), world.trusting()).await;
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_of_a_ca_is_not_one_of_a_server() {
    let world = World::new();
    let careless = Authority::careless(&["127.0.0.1"]).expect("a certificate");
    let port = tls_brain(served(&careless, None)).await;
    let options = TlsOptions { ca_cert: Some(world.file("self.pem", &careless.cert)), client: None };
    let error = refusal(&format!("wss://127.0.0.1:{port}"), options).await;
    assert!(error.contains("basicConstraints=CA:FALSE"), "{error}");
}

#[tokio::test]
async fn without_ca_cert_only_the_system_is_trusted() {
    let world = World::new();
    let port = tls_brain(served(&world.certificate(), None)).await;
    let endpoint = format!("wss://127.0.0.1:{port}").parse().expect("a URL");
    // A host without CA certificates trusts nobody either, and says so at once.
    let error = match Dialer::new(endpoint, TlsOptions::default(), &ProxySettings::default()) {
        Ok(dialer) => dialer.dial().await.err().expect("refused").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("--ca-cert"), "{error}");
}

#[tokio::test]
async fn where_the_sides_disagree_about_tls_the_other_scheme_is_named() {
    let world = World::new();
    let port = answering(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    let error = refusal(&format!("wss://127.0.0.1:{port}/tasks"), world.trusting()).await;
    let expected = format!("the brain does not speak TLS on this port: use ws://127.0.0.1:{port}/tasks/ws");
    assert_eq!(error, expected);

    let port = tls_brain(served(&world.certificate(), None)).await;
    let error = refusal(&format!("ws://127.0.0.1:{port}"), TlsOptions::default()).await;
    assert!(error.contains(&format!("use wss://127.0.0.1:{port}/ws")), "{error}");
    let port = answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 21\r\n\r\nthis port speaks TLS\n").await;
    let error = refusal(&format!("ws://127.0.0.1:{port}"), TlsOptions::default()).await;
    assert!(error.contains("this port speaks TLS") && error.contains("wss://127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_brain_that_wants_a_certificate_gets_the_agents() {
    let world = World::new();
    let agents = Authority::new("agents").expect("an authority");
    let port = tls_brain(served(&world.certificate(), Some(&agents))).await;
    let url = format!("wss://127.0.0.1:{port}");
    let ours = agents.client("web-01").expect("a certificate");
    connect(&url, world.showing(&ours), &ProxySettings::default()).await.expect("connects");
    let error = refusal(&url, world.trusting()).await;
    assert!(error.contains("give one with --client-cert and --client-key"), "{error}");
    let strangers = Authority::new("agents").expect("an authority").client("web-01").expect("a certificate");
    let error = refusal(&url, world.showing(&strangers)).await;
    assert!(error.contains("does not accept the certificate of --client-cert"), "{error}");
}

#[tokio::test]
async fn renewed_certificates_are_used_from_the_next_connection_on() {
    let world = World::new();
    let (old, new) = (Authority::new("agents").expect("an authority"), Authority::new("agents").expect("an authority"));
    let port = tls_brain(served(&world.certificate(), Some(&new))).await;
    let options = world.showing(&old.client("web-01").expect("a certificate"));
    let endpoint = format!("wss://127.0.0.1:{port}").parse().expect("a URL");
    let dialer = Arc::new(Dialer::new(endpoint, options, &ProxySettings::default()).expect("a dialer"));
    let token = TokenSource::Literal("tp_test".into()).read().expect("a token");
    let transport = WebSocketTransport::new(Arc::clone(&dialer));
    assert!(transport.connect(&token).await.is_err(), "the old authority");
    world.file("client.key", "half wr");
    assert!(transport.connect(&token).await.is_err(), "the old authority still");
    world.showing(&new.client("web-01").expect("a certificate"));
    transport.connect(&token).await.map(|_| ()).expect("connects");
}

#[tokio::test]
async fn tls_goes_through_a_proxy_that_never_sees_the_inside() {
    let world = World::new();
    let port = tls_brain(served(&world.certificate(), None)).await;
    let proxy = ConnectProxy::start(Some("Basic bWU6aHVudGVyMg==")).await.expect("a proxy");
    let url = format!("wss://brain.test:{port}");
    connect(&url, world.trusting(), &through(&proxy, "me:hunter2@")).await.expect("connects");
    assert_eq!(proxy.asked(), [format!("brain.test:{port}")], "the proxy, not we, knows what the name means");
}

#[tokio::test]
async fn a_proxy_that_does_not_let_us_through_is_named() {
    let world = World::new();
    let proxy = ConnectProxy::start(Some("Basic bWU6aHVudGVyMg==")).await.expect("a proxy");
    let name = format!("the proxy {}", proxy.address);
    let ask = async |credentials: &str| {
        let error = connect("wss://brain.test:9", world.trusting(), &through(&proxy, credentials)).await;
        error.expect_err("refused").to_string()
    };
    let error = ask("").await;
    assert!(error.starts_with(&name) && error.contains("wants a user name"), "{error}");
    let error = ask("me:wrong@").await;
    assert!(error.starts_with(&name) && error.contains("did not accept") && !error.contains("wrong@"), "{error}");
    let error = ask("me:hunter2@").await;
    assert!(error.contains("refused to connect to the brain: 502 Bad Gateway"), "{error}");
    let settings = ProxySettings { https: Some("http://127.0.0.1:1".into()), ..ProxySettings::default() };
    let error = connect("wss://brain.test", world.trusting(), &settings).await.expect_err("refused").to_string();
    assert!(error.starts_with("the proxy 127.0.0.1:1 cannot be reached"), "{error}");
}

#[test]
fn files_that_cannot_be_used_are_refused_at_the_start() {
    let world = World::new();
    let endpoint = || "wss://brain".parse().expect("a URL");
    let refused = |options: TlsOptions| match Dialer::new(endpoint(), options, &ProxySettings::default()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it is usable"),
    };
    let absent = world.folder.path().join("absent");
    let error = refused(TlsOptions { ca_cert: Some(absent), client: None });
    assert!(error.contains("absent cannot be read"), "{error}");
    let error = refused(TlsOptions { ca_cert: Some(world.file("x.pem", "x")), client: None });
    assert!(error.contains("x.pem holds no certificate"), "{error}");
    let one = world.authority.client("one").expect("a certificate");
    let other = world.authority.client("other").expect("a certificate");
    let error = refused(world.showing(&Issued { cert: one.cert, key: other.key }));
    assert!(error.contains("cannot be used together"), "{error}");
}
