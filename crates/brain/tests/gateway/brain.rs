//! A brain that serves on a port of its own, over a store in a folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use taskplane_brain::brain::{Brain, StartOptions};
use taskplane_brain::gateway::GatewayLimits;
use taskplane_brain::replicas::ReplicaName;
use taskplane_brain::{auth, clock, server};
use taskplane_model::access::Role;
use taskplane_model::stuck::AskAfter;
use taskplane_model::time::SECOND;
use taskplane_store::Store;
use taskplane_store_postgres::PostgresStore;
use taskplane_store_sqlite::SqliteStore;
use taskplane_testkit::PostgresDatabase;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::faulty_store::{Faults, FaultyStore};

/// A second is promised. A machine that is busy with other tests may take longer; a heartbeat's time-out takes much longer.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// How long anything may take on a busy machine. Shorter than the polls of these tests wait, which are to end for another reason.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

pub(crate) struct TestBrain {
    pub(crate) brain: Brain,
    pub(crate) address: SocketAddr,
    pub(crate) api_key: String,
    http: reqwest::Client,
    server: JoinHandle<()>,
    folder: Arc<TempDir>,
}

/// An agent token, and the id by which it can be revoked.
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) text: String,
}

impl TestBrain {
    pub(crate) async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a folder"))).await
    }

    /// A brain with limits of its own.
    pub(crate) async fn start_with(limits: GatewayLimits) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let store = Arc::new(SqliteStore::open(folder.path()).expect("a store"));
        Self::start_over(store, folder, limits).await
    }

    /// A brain that asks about tasks which are under way for so long, in seconds.
    pub(crate) async fn start_asking_after(seconds: i64) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let store = Arc::new(SqliteStore::open(folder.path()).expect("a store"));
        let ask_after = AskAfter::new(Some(seconds * SECOND), Vec::new());
        Self::start_as(store, folder, StartOptions { ask_after, ..StartOptions::default() }).await
    }

    /// A brain over a store that can be made to fail.
    pub(crate) async fn start_faulty(limits: GatewayLimits) -> (Self, Arc<Faults>) {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let (store, faults) = FaultyStore::new(SqliteStore::open(folder.path()).expect("a store"));
        (Self::start_over(Arc::new(store), folder, limits).await, faults)
    }

    /// A brain on a database that others may share.
    pub(crate) async fn start_on(database: &PostgresDatabase) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let store = Arc::new(PostgresStore::connect(&database.url()).await.expect("a store"));
        Self::start_over(store, folder, GatewayLimits::default()).await
    }

    async fn start_in(folder: Arc<TempDir>) -> Self {
        let store = Arc::new(SqliteStore::open(folder.path()).expect("a store"));
        Self::start_over(store, folder, GatewayLimits::default()).await
    }

    async fn start_over(store: Arc<dyn Store>, folder: Arc<TempDir>, limits: GatewayLimits) -> Self {
        Self::start_as(store, folder, StartOptions { limits, ..StartOptions::default() }).await
    }

    async fn start_as(store: Arc<dyn Store>, folder: Arc<TempDir>, options: StartOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let url = format!("http://{address}");
        let replica = ReplicaName { name: String::new(), peer_url: Some(url.clone()) };
        let options = StartOptions { replica, ..options };
        let brain = Brain::start_with(store, &url, CancellationToken::new(), options).await.expect("a brain");
        let api_key = auth::issue_api_key(&*brain.store, "default", Role::Admin, "test", clock::now()).await;
        let server = tokio::spawn(server::serve(listener, brain.clone()));
        Self { brain, address, api_key: api_key.expect("a key"), http: reqwest::Client::new(), server, folder }
    }

    /// The folder that the brain's store is in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `/readyz` answers.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        let answer = self.http.get(format!("http://{}/readyz", self.address)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// Stops this brain as `taskplane brain` would, and starts another one on its folder.
    pub(crate) async fn restart(self) -> Self {
        let folder = Arc::clone(&self.folder);
        self.stop().await;
        Self::start_in(folder).await
    }

    /// Stops this brain as `taskplane brain` would.
    pub(crate) async fn stop(self) {
        self.brain.stop.cancel();
        let tasks = self.brain.tasks.clone();
        tasks.close();
        let server = self.server;
        drop(self.brain);
        let ended = async { (server.await, tasks.wait().await) };
        tokio::time::timeout(PATIENCE, ended).await.expect("stops in time").0.expect("the server does not panic");
    }

    /// Serves nobody any more, and goes on otherwise.
    pub(crate) async fn stop_serving(&mut self) {
        self.server.abort();
        assert!((&mut self.server).await.is_err(), "it has been given up");
    }

    /// A token for one agent, or for any.
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

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/api/v1/projects/default/{path}", self.address);
        self.http.request(method, url).bearer_auth(&self.api_key).timeout(PATIENCE)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        json_of(self.request(Method::GET, path).send().await.expect("an answer"), 200).await
    }

    /// The items of a list that fits on one page.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let page = self.get(path).await;
        assert_eq!(page["next_cursor"], Value::Null, "{path}");
        page["items"].as_array().expect("items").clone()
    }

    pub(crate) async fn task(&self, task_id: &str) -> Value {
        self.get(&format!("tasks/celery/{task_id}")).await
    }

    /// The ids of all tasks, sorted.
    pub(crate) async fn task_ids(&self) -> Vec<String> {
        let tasks = self.items("tasks?limit=200").await;
        let mut ids: Vec<_> = tasks.iter().map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect();
        ids.sort_unstable();
        ids
    }

    /// The agent called `name`, or null.
    pub(crate) async fn agent(&self, name: &str) -> Value {
        self.items("agents").await.into_iter().find(|agent| agent["name"] == name).unwrap_or_default()
    }

    /// What the statistics count in all, over the last hours.
    pub(crate) async fn totals(&self) -> Value {
        let points = self.items("stats?since=3h&step=60m").await;
        let sum = |key: &str| points.iter().map(|point| point[key].as_i64().expect("a number")).sum::<i64>();
        ["sent", "started", "succeeded", "failed", "retried"].into_iter().map(|key| (key, sum(key))).collect()
    }

    /// Gives a command; what comes back is its row.
    pub(crate) async fn command(&self, body: &Value) -> Value {
        json_of(self.request(Method::POST, "commands").json(body).send().await.expect("an answer"), 202).await
    }

    /// The row of a command as it stands, once it is neither being sent nor kept waiting.
    pub(crate) async fn ended_or_sent(&self, command: &Value) -> Value {
        self.get(&format!("commands/{}", command["id"].as_str().expect("an id"))).await
    }

    /// The row of a command when it has ended.
    pub(crate) async fn ended(&self, command: &Value) -> Value {
        let path = format!("commands/{}?wait=25", command["id"].as_str().expect("an id"));
        until("the command's end", PATIENCE, async || {
            Some(self.get(&path).await).filter(|row| row["finished_at"].is_string())
        })
        .await
    }
}

async fn json_of(answer: Response, status: u16) -> Value {
    let (got, text) = (answer.status(), answer.text().await.expect("a body"));
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, at_most: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {at_most:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
