//! Redis, worker, brain and agent.

use std::path::PathBuf;

use anyhow::{Context, Result};
use taskplane_testkit::free_port;
use tempfile::TempDir;
use tokio::process::Command;

use crate::api::Api;
use crate::brain_store::BrainStore;
use crate::celery::{CeleryApp, Producer};
use crate::eventually;
use crate::process::{Process, binary, run_binary};

/// What a test wants.
#[derive(Clone, Copy, Debug)]
pub struct StackOptions {
    /// Queues that the worker consumes, separated by commas; empty for no worker.
    pub queues: &'static str,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self { queues: "default,emails" }
    }
}

/// A whole deployment. Parts that a test takes away are `None`.
pub struct Stack {
    /// Celery.
    pub celery: CeleryApp,
    /// Sends tasks.
    pub producer: Producer,
    /// Calls the brain as an operator.
    pub api: Api,
    /// The operator's API key.
    pub api_key: String,
    /// The worker.
    pub worker: Option<Process>,
    /// The agent.
    pub agent: Option<Process>,
    /// The brain.
    pub brain: Option<Process>,
    /// The broker.
    pub redis: Option<Process>,
    /// Address of the brain.
    pub url: String,
    /// Address of the broker.
    pub broker: String,
    /// What else the agent is told when it is started the next time.
    pub agent_options: Vec<String>,
    /// What else the brain is told when it is started the next time.
    pub brain_options: Vec<String>,
    brain_port: u16,
    redis_port: u16,
    token: String,
    store: BrainStore,
    folder: TempDir,
}

impl Stack {
    /// Starts everything, and waits until the brain knows the worker.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(options: StackOptions) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = BrainStore::new(&folder.path().join("brain"))?;
        Self::start_in(folder, store, options).await
    }

    /// As [`Stack::start`], with the brain's data in a folder, whatever the environment says.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start_on_folder(options: StackOptions) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = BrainStore::Folder(folder.path().join("brain"));
        Self::start_in(folder, store, options).await
    }

    async fn start_in(folder: TempDir, store: BrainStore, options: StackOptions) -> Result<Self> {
        let (brain_port, redis_port) = (free_port()?, free_port()?);
        let broker = format!("redis://127.0.0.1:{redis_port}/0");
        let secret = async |args: &[&str]| -> Result<String> {
            let [flag, place] = store.options();
            let output = run_binary(&[args, &["--project", "default", &flag, &place]].concat()).await?;
            anyhow::ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        let token = secret(&["token", "create"]).await?;
        let key = secret(&["api-key", "create", "--role", "operator"]).await?;
        let url = format!("http://127.0.0.1:{brain_port}");
        let celery = CeleryApp::new(&broker)?;
        let producer = celery.producer().await?;
        let mut stack = Self {
            api: Api::new(&url, &key),
            api_key: key,
            celery,
            producer,
            worker: None,
            agent: None,
            brain: None,
            redis: None,
            url,
            broker,
            agent_options: Vec::new(),
            brain_options: Vec::new(),
            brain_port,
            redis_port,
            token,
            store,
            folder,
        };
        stack.start_redis().await?;
        stack.start_brain().await?;
        stack.start_agent()?;
        if !options.queues.is_empty() {
            stack.start_worker("w1", options.queues).await?;
        }
        Ok(stack)
    }

    /// Starts the broker.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_redis(&mut self) -> Result<()> {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &self.redis_port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(self.folder.path());
        let redis = Process::start("redis", self.folder.path(), command)?;
        let port = self.redis_port;
        eventually("Redis", async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok())).await?;
        self.redis = Some(redis);
        Ok(())
    }

    /// Starts the brain on the same folder and port as before.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_brain(&mut self) -> Result<()> {
        let mut command = Command::new(binary()?);
        command.args(["brain", "--listen", &format!("127.0.0.1:{}", self.brain_port)]).args(self.store.options());
        command.args(&self.brain_options);
        let brain = Process::start("brain", self.folder.path(), command)?;
        let ready = format!("{}/readyz", self.url);
        let found = eventually("the brain", async || {
            let response = reqwest::get(&ready).await?;
            Ok(response.status().is_success().then_some(()))
        })
        .await;
        found.with_context(|| brain.log())?;
        self.brain = Some(brain);
        Ok(())
    }

    /// Starts the agent on the same folder as before.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(&mut self) -> Result<()> {
        self.start_agent_through(self.brain_port)
    }

    /// Starts the agent on the same folder as before, with a port that leads to the brain.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent_through(&mut self, port: u16) -> Result<()> {
        let mut command = Command::new(binary()?);
        command.args(["agent", "--brain", &format!("ws://127.0.0.1:{port}"), "--name", "sidecar"]);
        command.args(["--celery", &self.broker, "--data-dir"]).arg(self.agent_dir());
        command.args(&self.agent_options).env("TASKPLANE_TOKEN", &self.token);
        self.agent = Some(Process::start("agent", self.folder.path(), command)?);
        Ok(())
    }

    /// Starts a worker instead of the one there is, and waits until the brain knows it.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_worker(&mut self, name: &str, queues: &str) -> Result<()> {
        self.worker = Some(self.celery.worker(name, queues, self.folder.path())?);
        self.worker_is_known(&format!("{name}@test")).await
    }

    /// Waits until the brain knows a worker and the queues it consumes: from then on its events are on.
    ///
    /// # Errors
    /// When that does not happen.
    async fn worker_is_known(&self, name: &str) -> Result<()> {
        let found = eventually(&format!("worker {name}"), async || {
            let workers = self.api.get("workers").await?;
            let known = workers["items"].as_array().into_iter().flatten().any(|worker| {
                worker["name"] == name && worker["queues"].as_array().is_some_and(|queues| !queues.is_empty())
            });
            Ok(known.then_some(()))
        })
        .await;
        found.with_context(|| self.logs())
    }

    /// The options that name the brain's data to the binary.
    pub fn store_options(&self) -> [String; 2] {
        self.store.options()
    }

    /// The port that the brain listens on.
    pub fn brain_port(&self) -> u16 {
        self.brain_port
    }

    /// The folder of everything that is started.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The agent's folder.
    pub fn agent_dir(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// What all parts have printed.
    pub fn logs(&self) -> String {
        let parts = [("brain", &self.brain), ("agent", &self.agent), ("worker", &self.worker)];
        let log = |(name, part): (&str, &Option<Process>)| {
            format!("--- {name}\n{}\n", part.as_ref().map(Process::log).unwrap_or_default())
        };
        parts.into_iter().map(log).collect()
    }
}
