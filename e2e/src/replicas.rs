//! Several brains on one PostgreSQL database behind a balancer, and agents that stream counted events through it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use taskplane_testkit::{Balancer, PostgresDatabase, free_port};
use tempfile::TempDir;
use tokio::process::Command;

use crate::api::Api;
use crate::dice::Dice;
use crate::eventually;
use crate::feed::Feed;
use crate::pipeline::redis;
use crate::process::{Process, binary, run_binary};

/// One brain of several.
pub struct Replica {
    /// Its name.
    pub name: String,
    /// The port that it listens on.
    pub port: u16,
    /// Calls it, and no other, as an administrator.
    pub api: Api,
    /// The process, while it runs.
    pub process: Option<Process>,
}

/// An agent, and the feed that it listens to.
pub struct FedAgent {
    /// What it must bring to the brains.
    pub feed: Feed,
    /// The process.
    pub process: Process,
}

/// Brains, their database, the balancer in front of them, and a Redis for agents.
pub struct Replicas {
    /// The brains.
    pub brains: Vec<Replica>,
    /// What agents connect to.
    pub balancer: Balancer,
    /// The administrator's API key.
    pub key: String,
    /// An agent's token.
    pub token: String,
    /// What all brains share.
    pub database: PostgresDatabase,
    redis_port: u16,
    folder: TempDir,
    _redis: Process,
}

impl Replicas {
    /// Starts so many brains, and waits until all are ready.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(count: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let database = PostgresDatabase::create()?;
        let token = secret(&database, &["token", "create", "--project", "default"]).await?;
        let key = secret(&database, &["api-key", "create", "--project", "default", "--role", "admin"]).await?;
        let brains: Result<Vec<Replica>> = (0..count).map(|number| Replica::new(number, &key)).collect();
        let brains = brains?;
        let ports: Vec<u16> = brains.iter().map(|brain| brain.port).collect();
        let redis_port = free_port()?;
        let mut replicas = Self {
            brains,
            balancer: Balancer::over(&ports).await?,
            key,
            token,
            database,
            redis_port,
            _redis: redis(redis_port, folder.path())?,
            folder,
        };
        eventually("Redis", async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", redis_port)).await.ok())).await?;
        for number in 0..count {
            replicas.spawn(number)?;
        }
        replicas.are_ready().await?;
        Ok(replicas)
    }

    /// Starts a brain, and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self, number: usize) -> Result<()> {
        let brain = &mut self.brains[number];
        let address = format!("127.0.0.1:{}", brain.port);
        let mut command = Command::new(binary()?);
        command.args(["brain", "--listen", &address, "--replica-name", &brain.name]);
        command.env("TASKPLANE_DATABASE_URL", self.database.url());
        brain.process = Some(Process::start(&brain.name, self.folder.path(), command)?);
        Ok(())
    }

    /// Kills a brain with SIGKILL.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self, number: usize) -> Result<()> {
        self.brains[number].process.take().context("a brain that runs")?.kill().await
    }

    /// Waits until all brains that run say that they are ready.
    ///
    /// # Errors
    /// When one does not.
    pub async fn are_ready(&self) -> Result<()> {
        for brain in self.brains.iter().filter(|brain| brain.process.is_some()) {
            let url = format!("http://127.0.0.1:{}/readyz", brain.port);
            let ready = async || Ok(reqwest::get(&url).await?.status().is_success().then_some(()));
            eventually(&brain.name, ready).await.with_context(|| self.logs())?;
        }
        Ok(())
    }

    /// Starts an agent beside the broker's database number `database`, which reaches the brains by `port`. Its name is `agent-`
    /// and that number.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn agent(&self, database: u8, port: u16) -> Result<Process> {
        let (name, broker) = (format!("agent-{database}"), self.broker(database));
        let mut command = Command::new(binary()?);
        command.args(["agent", "--brain", &format!("ws://127.0.0.1:{port}"), "--name", &name, "--celery", &broker]);
        command.arg("--data-dir").arg(self.agent_folder(database)).env("TASKPLANE_TOKEN", &self.token);
        Process::start(&name, self.folder.path(), command)
    }

    /// Starts an agent as [`Replicas::agent`] does, and a feed that it listens to.
    ///
    /// # Errors
    /// When it does not begin to listen.
    pub async fn fed_agent(&self, database: u8, port: u16, dice: &Dice) -> Result<FedAgent> {
        let process = self.agent(database, port)?;
        let mut feed = Feed::connect(&self.broker(database), 1 + u32::from(database) * 1000, dice.clone()).await?;
        let heard = eventually("an agent listening", async || Ok((feed.listeners().await? == 1).then_some(()))).await;
        heard.with_context(|| process.log())?;
        Ok(FedAgent { feed, process })
    }

    /// The broker's database number `database`.
    pub fn broker(&self, database: u8) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.redis_port)
    }

    /// Waits until every brain shows the end of the last task of each feed.
    ///
    /// # Errors
    /// When one does not in time.
    pub async fn have_last_tasks(&self, agents: &[FedAgent]) -> Result<()> {
        for brain in &self.brains {
            for agent in agents {
                let path = format!("tasks/celery/{}", agent.feed.last_task());
                let ended = eventually(&format!("{path} at {}", brain.name), async || {
                    let task = brain.api.get(&path).await?;
                    Ok(matches!(task["state"].as_str(), Some("succeeded" | "failed")).then_some(()))
                })
                .await;
                ended.with_context(|| format!("{}--- agent\n{}", self.logs(), agent.process.log()))?;
            }
        }
        Ok(())
    }

    /// Runs the binary on the database for a secret that it prints.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn secret(&self, args: &[&str]) -> Result<String> {
        secret(&self.database, args).await
    }

    /// What all brains have printed.
    pub fn logs(&self) -> String {
        let log = |brain: &Replica| {
            let log = std::fs::read_to_string(self.folder.path().join(format!("{}.log", brain.name)));
            format!("--- {}\n{}\n", brain.name, log.unwrap_or_default())
        };
        self.brains.iter().map(log).collect()
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn agent_folder(&self, database: u8) -> PathBuf {
        self.folder.path().join(format!("agent-{database}"))
    }
}

impl Replica {
    fn new(number: usize, key: &str) -> Result<Self> {
        let port = free_port()?;
        let api = Api::new(&format!("http://127.0.0.1:{port}"), key);
        Ok(Self { name: format!("brain-{number}"), port, api, process: None })
    }
}

async fn secret(database: &PostgresDatabase, args: &[&str]) -> Result<String> {
    let output = run_binary(&[args, &["--database-url", &database.url()]].concat()).await?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
