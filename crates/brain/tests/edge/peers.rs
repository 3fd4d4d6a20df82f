//! Brains that pass long-polls on to each other over TLS.

use std::sync::Arc;

use reqwest::{Certificate, Client, Identity};
use taskplane_brain::brain::{Brain, StartOptions};
use taskplane_brain::peers::PeerAuthorities;
use taskplane_brain::replicas::ReplicaName;
use taskplane_brain::server::{self, ServerOptions};
use taskplane_brain::{auth, clock};
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::{Authority, PostgresDatabase};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::brain::{Certificates, soon};

const HELLO: &str =
    r#"{"type":"hello","protocol":"v1","agent_name":"web","instance_id":"i1","framework":"test","engines":["celery"]}"#;

/// A brain with TLS, and its URL.
async fn brain(database: &PostgresDatabase, options: ServerOptions) -> (Brain, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let store = Arc::new(PostgresStore::connect(&database.url()).await.expect("a store"));
    let replica = ReplicaName { name: String::new(), peer_url: Some(url.clone()) };
    let start = StartOptions { replica, ..StartOptions::default() };
    let brain = Brain::start_with(store, &url, CancellationToken::new(), start).await.expect("a brain");
    tokio::spawn(server::serve_with(listener, brain.clone(), options));
    (brain, url)
}

#[tokio::test]
async fn a_peer_is_trusted_by_its_ca_and_asked_for_no_certificate_of_an_agent() {
    let database = PostgresDatabase::create().expect("a database");
    let agents = Authority::new("agents").expect("an authority");
    let certificates = Certificates::new(Some(&agents));
    let (here, here_url) = brain(&database, certificates.options()).await;
    let (trusting, trusting_url) = brain(&database, certificates.options()).await;
    let (careful, careful_url) = brain(&database, certificates.options()).await;
    let pem = certificates.authority.pem();
    trusting.peers.trust(PeerAuthorities::from_pem(pem.as_bytes()).expect("a CA"));
    careful.peers.trust(PeerAuthorities::from_pem(agents.pem().as_bytes()).expect("another CA"));
    assert!(PeerAuthorities::from_pem(b"nothing").is_err());

    let shown = agents.client("web").expect("a certificate");
    let identity = Identity::from_pem(format!("{}\n{}", shown.key, shown.cert).as_bytes()).expect("an identity");
    let ca = Certificate::from_pem(pem.as_bytes()).expect("a CA");
    let agent = Client::builder().tls_certs_only([ca]).identity(identity).build().expect("a client");
    let token = auth::issue_agent_token(&*here.store, "default", None, "test", clock::now()).await.expect("a token");
    let poll = async |url: &str, session: Option<&str>, body: &'static str| {
        let request = agent.post(format!("{url}/ws/longpoll?wait=0")).bearer_auth(&token).body(body);
        let request = session.into_iter().fold(request, |request, name| request.header("taskplane-session", name));
        soon(request.send()).await.expect("an answer")
    };
    let opened = poll(&here_url, None, HELLO).await;
    let session = opened.headers()["taskplane-session"].to_str().expect("text").to_owned();
    assert_eq!(poll(&trusting_url, Some(&session), "").await.status(), 200);
    assert_eq!(poll(&careful_url, Some(&session), "").await.status(), 410, "that is no brain it trusts");
    assert_eq!(poll(&here_url, Some(&session), "").await.status(), 200);
}
