//! Brains that share a database, each with threads and a port of its own, so that one can be killed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use taskplane_brain::brain::{Brain, StartOptions};
use taskplane_brain::replicas::ReplicaName;
use taskplane_brain::{auth, clock, server};
use taskplane_model::access::Role;
use taskplane_store_postgres::PostgresStore;
use taskplane_testkit::PostgresDatabase;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestBrain {
    pub(crate) brain: Brain,
    pub(crate) address: SocketAddr,
    api_key: String,
    http: reqwest::Client,
    runtime: Option<Runtime>,
}

/// An agent token, and the id by which it can be revoked.
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) text: String,
}

impl TestBrain {
    pub(crate) async fn start(database: &PostgresDatabase, name: &str) -> Self {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = threads.expect("threads");
        let (url, name) = (database.url(), name.to_owned());
        let started = runtime.spawn(async move {
            let store = Arc::new(PostgresStore::connect(&url).await.expect("a store"));
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let url = format!("http://{address}");
            let replica = ReplicaName { name, peer_url: Some(url.clone()) };
            let options = StartOptions { replica, ..StartOptions::default() };
            let brain = Brain::start_with(store, &url, CancellationToken::new(), options).await.expect("a brain");
            let api_key = auth::issue_api_key(&*brain.store, "default", Role::Admin, "test", clock::now()).await;
            tokio::spawn(server::serve(listener, brain.clone()));
            (brain, address, api_key.expect("a key"))
        });
        let (brain, address, api_key) = started.await.expect("starts");
        Self { brain, address, api_key, http: reqwest::Client::new(), runtime: Some(runtime) }
    }

    /// Two brains that know of each other.
    pub(crate) async fn two(database: &PostgresDatabase) -> (Self, Self) {
        let (a, b) = (Self::start(database, "a").await, Self::start(database, "b").await);
        (a, b)
    }

    /// Ends it as `kill -9` does: nothing more is said, and its connections break.
    pub(crate) fn kill(mut self) {
        self.runtime.take().expect("runs").shutdown_background();
    }

    /// A token for any agent.
    pub(crate) async fn token(&self, agent: Option<&str>) -> Token {
        let created = self.request(Method::POST, "agent-tokens").json(&json!({ "agent": agent }));
        let created = json_of(created.send().await.expect("an answer"), 201).await;
        let text = |key: &str| created[key].as_str().expect("text").to_owned();
        Token { id: text("id"), text: text("token") }
    }

    pub(crate) async fn revoke(&self, token: &Token) {
        let answer = self.request(Method::DELETE, &format!("agent-tokens/{}", token.id)).send().await;
        assert_eq!(answer.expect("an answer").status(), 204);
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/api/v1/projects/default/{path}", self.address);
        self.http.request(method, url).bearer_auth(&self.api_key).timeout(PATIENCE)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        json_of(self.request(Method::GET, path).send().await.expect("an answer"), 200).await
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).await["items"].as_array().expect("items").clone()
    }

    /// The agent called `name`: `(state, connections)`.
    pub(crate) async fn agent(&self, name: &str) -> (Value, Value) {
        let agents = self.items("agents").await;
        let agent = agents.into_iter().find(|agent| agent["name"] == name).unwrap_or_default();
        (agent["state"].clone(), agent["connections"].clone())
    }

    /// Waits until the agent called `name` has so many connections, by what this brain says.
    pub(crate) async fn sees(&self, name: &str, connections: u64) {
        let state = if connections == 0 { "offline" } else { "online" };
        let wanted = (json!(state), json!(connections));
        until("an agent's presence", async || (self.agent(name).await == wanted).then_some(())).await;
    }

    /// Gives a command; what comes back is its row.
    pub(crate) async fn command(&self, body: &Value) -> Value {
        json_of(self.request(Method::POST, "commands").json(body).send().await.expect("an answer"), 202).await
    }

    /// The row of a command.
    pub(crate) async fn row(&self, command: &Value) -> Value {
        self.get(&format!("commands/{}", command["id"].as_str().expect("an id"))).await
    }

    /// The row of a command when it has ended.
    pub(crate) async fn ended(&self, command: &Value) -> Value {
        let path = format!("commands/{}?wait=25", command["id"].as_str().expect("an id"));
        until("the command's end", async || Some(self.get(&path).await).filter(|row| row["finished_at"].is_string()))
            .await
    }
}

impl Drop for TestBrain {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn json_of(answer: Response, status: u16) -> Value {
    let (got, text) = (answer.status(), answer.text().await.expect("a body"));
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
