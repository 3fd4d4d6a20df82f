//! A whole agent on its way to a brain: TLS with an authority of its own, a real proxy, a client certificate.

#![expect(clippy::expect_used, reason = "what is expected here is what the test is about")]

mod brain;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::connection::{ClientCertificate, ProxySettings, ReconnectTimes, TlsOptions, TokenSource};
use taskplane_agent::engine::{
    CancelRequest, CancelledTask, CommandError, Engine, Observation, Observer, RetriedTask, RetryRequest, Subject,
    TaskObservation,
};
use taskplane_agent::{Agent, AgentConfig};
use taskplane_model::{TaskEventKind, Timestamp};
use taskplane_testkit::{Authority, ConnectProxy};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use brain::TlsBrain;

/// Sees one task.
struct OneTask;

#[async_trait]
impl Engine for OneTask {
    fn name(&self) -> &'static str {
        "celery"
    }

    fn capabilities(&self) -> Value {
        json!({})
    }

    async fn observe(&self, observer: Observer, stop: CancellationToken) {
        let task = TaskObservation { kind: TaskEventKind::Sent, task_id: "t1".into(), ..TaskObservation::default() };
        let ts = Timestamp(1_795_000_000_000_000);
        observer.record(Observation { engine: "celery", ts, subject: Subject::Task(Box::new(task)) }).await;
        stop.cancelled().await;
    }

    async fn retry_task(&self, _: &RetryRequest) -> Result<RetriedTask, CommandError> {
        Err(CommandError::NotFound("there is no such task".into()))
    }

    async fn cancel_task(&self, _: &CancelRequest) -> Result<CancelledTask, CommandError> {
        Err(CommandError::NotFound("there is no such task".into()))
    }

    async fn purge_queue(&self, _: &str) -> Result<u64, CommandError> {
        Ok(0)
    }
}

/// Runs an agent until the brain has its task.
async fn delivers(brain: &TlsBrain, url: &str, tls: TlsOptions, proxy: ProxySettings) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = AgentConfig::new(url, TokenSource::Literal("tp_test".into()), "worker-1", folder.path());
    config.reconnect = ReconnectTimes { min: Duration::from_millis(5), ..ReconnectTimes::default() };
    (config.tls, config.proxy) = (tls, proxy);
    let agent = Agent::new(config, vec![Arc::new(OneTask)], Vec::new()).expect("an agent");
    let stop = CancellationToken::new();
    let running = tokio::spawn(agent.run(stop.clone()));
    brain.receives("t1").await;
    stop.cancel();
    running.await.expect("no panic");
}

fn trusting(folder: &TempDir, authority: &Authority) -> TlsOptions {
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, authority.pem()).expect("writes");
    TlsOptions { ca_cert: Some(path), client: None }
}

fn proxy_for_all(proxy: &ConnectProxy, no_proxy: &str) -> ProxySettings {
    let url = Some(format!("http://me:hunter2@{}", proxy.address));
    ProxySettings { https: url.clone(), http: url, no_proxy: Some(no_proxy.into()) }
}

const CREDENTIALS: Option<&str> = Some("Basic bWU6aHVudGVyMg==");

#[tokio::test]
async fn events_go_over_tls_through_a_proxy() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("own").expect("an authority"));
    let brain = TlsBrain::start(&authority.server(&["brain.test"]).expect("a certificate"), None).await;
    let proxy = ConnectProxy::start(CREDENTIALS).await.expect("a proxy");
    let url = format!("wss://brain.test:{}/tasks", brain.port);
    delivers(&brain, &url, trusting(&folder, &authority), proxy_for_all(&proxy, "other.test")).await;
    assert_eq!(proxy.asked(), [format!("brain.test:{}", brain.port)]);
    assert_eq!(brain.path(), "/tasks/ws");
}

#[tokio::test]
async fn a_brain_that_no_proxy_names_is_reached_without_one() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("own").expect("an authority"));
    // An address of this host that is not its loopback, which would not need NO_PROXY.
    let brain = TlsBrain::start(&authority.server(&["0.0.0.0"]).expect("a certificate"), None).await;
    let proxy = ConnectProxy::start(CREDENTIALS).await.expect("a proxy");
    let url = format!("https://0.0.0.0:{}", brain.port);
    delivers(&brain, &url, trusting(&folder, &authority), proxy_for_all(&proxy, "other.test, 0.0.0.0/8")).await;
    assert!(proxy.asked().is_empty());
    delivers(&brain, &url, trusting(&folder, &authority), proxy_for_all(&proxy, "other.test")).await;
    assert_eq!(proxy.asked().len(), 1, "without it the proxy is asked");
}

#[tokio::test]
async fn a_brain_that_wants_a_certificate_gets_it() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("own").expect("an authority"));
    let agents = Authority::new("agents").expect("an authority");
    let brain = TlsBrain::start(&authority.server(&["127.0.0.1"]).expect("a certificate"), Some(&agents)).await;
    let (cert, key) = agents.client("worker-1").expect("a certificate").write(folder.path(), "agent").expect("writes");
    let tls = TlsOptions { client: Some(ClientCertificate { cert, key }), ..trusting(&folder, &authority) };
    delivers(&brain, &format!("wss://127.0.0.1:{}", brain.port), tls, ProxySettings::default()).await;
}
