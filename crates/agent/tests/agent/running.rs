//! Starting an agent, or not.

use taskplane_agent::connection::{ProxySettings, TlsOptions};
use taskplane_agent::{Agent, AgentConfig};

use crate::engine::{config, engine, start};

fn refusal(config: AgentConfig, engines: usize) -> String {
    let engines = (0..engines).map(|_| engine().0).collect();
    match Agent::new(config, engines, Vec::new()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn two_agents_share_a_folder_and_not_a_stream() {
    let dir = tempfile::tempdir().expect("dir");
    let first = start(config("ws://127.0.0.1:9", dir.path()));
    let second = start(config("ws://127.0.0.1:9", dir.path()));
    assert_ne!(first.stream_id, second.stream_id);
    first.stop().await;
    second.stop().await;
}

#[test]
fn what_cannot_work_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().expect("dir");
    assert_eq!(refusal(config("ws://brain", dir.path()), 0), "the agent has no engine to observe");
    assert_eq!(refusal(config("ws://brain", dir.path()), 2), "the agent has two engines named celery");
    let nameless = AgentConfig { name: " ".into(), ..config("ws://brain", dir.path()) };
    assert_eq!(refusal(nameless, 1), "the agent's name must have 1 to 512 bytes");
    let absent = TlsOptions { ca_cert: Some("/nonexistent/ca.pem".into()), client: None };
    let untrusting = AgentConfig { tls: absent, ..config("wss://brain", dir.path()) };
    assert!(refusal(untrusting, 1).starts_with("/nonexistent/ca.pem cannot be read: "));
    let proxy = ProxySettings { http: Some("socks5://proxy".into()), ..ProxySettings::default() };
    let tunnelled = AgentConfig { proxy, ..config("ws://brain", dir.path()) };
    assert!(refusal(tunnelled, 1).starts_with("HTTP_PROXY begins with socks5://"));
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("writes");
    assert!(refusal(config("ws://brain", &file), 1).starts_with("the data folder cannot be used: "));
    let mut odd = config("ws://brain", dir.path());
    odd.redaction.extra_patterns = vec!["(".into()];
    assert!(refusal(odd, 1).starts_with("an extra redaction pattern cannot be used: "));
}
