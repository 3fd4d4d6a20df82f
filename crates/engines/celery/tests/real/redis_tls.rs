//! What is wrong with TLS to Redis is said in one sentence.

use std::sync::Arc;

use taskplane_engine_celery::CeleryConfig;
use taskplane_testkit::{Authority, RedisServer, RedisSetup};

use crate::harness::{Agent, blocking};

/// Nothing but the broker matters here.
fn agent(url: String) -> Agent {
    Agent::begin(CeleryConfig::new(url))
}

#[tokio::test]
async fn whom_the_agent_trusts_decides_whether_it_connects() {
    let ours = Authority::new("ours").expect("an authority");
    let other = Authority::new("other").expect("an authority").pem();
    let server = blocking(move || {
        let setup = RedisSetup { authority: Some(&ours), ..RedisSetup::default() };
        Arc::new(RedisServer::start(&setup).expect("Redis"))
    })
    .await;
    let (folder, port) = (server.folder().display(), server.tls_port().expect("TLS"));
    std::fs::write(server.folder().join("other.pem"), other).expect("written");
    let url = |host: &str, options: &str| format!("rediss://:hunter2@{host}:{port}/0?{options}");

    let wrong = agent(url("localhost", &format!("ssl_ca_certs={folder}/other.pem")));
    let said = wrong.says("shows a certificate that the agent does not trust").await;
    assert!(said.contains("ssl_ca_certs=/path/ca.pem") && !said.contains("hunter2"), "{said}");
    agent(url("localhost", "")).says("does not trust").await;

    let open = |options: &str| agent(format!("rediss://localhost:{port}/0?{options}"));
    open(&format!("ssl_ca_certs={folder}/ca.pem")).is_well().await;
    open("ssl_cert_reqs=CERT_NONE").is_well().await;
    // 127.0.0.2 is the same machine, and not in the certificate.
    let elsewhere = format!("rediss://127.0.0.2:{port}/0?ssl_ca_certs={folder}/ca.pem");
    server.run(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]);
    agent(elsewhere.clone()).says("shows a certificate for another name").await;
    agent(format!("{elsewhere}&ssl_check_hostname=false")).is_well().await;
}

#[tokio::test]
async fn a_port_for_the_other_way_and_a_missing_certificate_are_told() {
    let server = blocking(|| {
        let authority = Authority::new("ours").expect("an authority");
        let setup = RedisSetup { authority: Some(&authority), client_certificates: true, ..RedisSetup::default() };
        RedisServer::start(&setup).expect("Redis")
    })
    .await;
    let (folder, tls) = (server.folder().display(), server.tls_port().expect("TLS"));
    let trusted = format!("ssl_ca_certs={folder}/ca.pem");
    agent(format!("rediss://localhost:{tls}/0?{trusted}")).says("ssl_certfile=/path/cert.pem").await;
    agent(format!("rediss://localhost:{}/0?{trusted}", server.port()))
        .says("if it does not speak TLS on this port, write redis://")
        .await;
    agent(format!("redis://localhost:{tls}/0")).says("write rediss://").await;
}
