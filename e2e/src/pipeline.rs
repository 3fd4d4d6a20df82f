//! A [`Feed`] in place of Celery, and the real agent and brain behind it: what the tests use that break things.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use taskplane_testkit::{FaultProxy, free_port};
use tempfile::TempDir;
use tokio::process::Command;

use crate::api::Api;
use crate::brain_store::BrainStore;
use crate::dice::Dice;
use crate::disk::SmallDisk;
use crate::eventually;
use crate::faulty_disk::FaultyDisk;
use crate::feed::Feed;
use crate::process::{Process, binary};

/// What lies under a process's folder.
#[derive(Clone, Copy, Debug, Default)]
pub enum Ground {
    /// The disk that temporary folders are on.
    #[default]
    Firm,
    /// A disk of so many bytes of its own.
    Small(u64),
    /// A disk that can go bad.
    Faulty,
}

/// What a test wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct PipelineOptions {
    /// Under the brain.
    pub brain: Ground,
    /// Under the agent.
    pub agent: Ground,
    /// The agent reaches the brain over a network that can break.
    pub proxy: bool,
}

/// A folder, and what it is on.
pub struct Site {
    folder: PathBuf,
    small: Option<SmallDisk>,
    faulty: Option<FaultyDisk>,
}

impl Site {
    fn on(ground: Ground, workshop: &Path, name: &str) -> Result<Self> {
        let mount = workshop.join(name);
        let folder = mount.join("data");
        Ok(match ground {
            Ground::Firm => Self { folder, small: None, faulty: None },
            Ground::Small(bytes) => Self { folder, small: Some(SmallDisk::mount(&mount, bytes)?), faulty: None },
            Ground::Faulty => {
                let faulty = FaultyDisk::new(&folder, workshop, name)?;
                Self { folder, small: None, faulty: Some(faulty) }
            }
        })
    }

    /// The folder, for processes that use it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder, for the test.
    pub fn from_outside(&self) -> PathBuf {
        self.small.as_ref().map_or_else(|| self.folder.clone(), |disk| disk.from_outside().join("data"))
    }

    /// The small disk that it is on.
    ///
    /// # Errors
    /// When it is on none.
    pub fn small(&self) -> Result<&SmallDisk> {
        self.small.as_ref().context("a small disk")
    }

    /// The faulty disk that it is on.
    ///
    /// # Errors
    /// When it is on none.
    pub fn faulty(&self) -> Result<&FaultyDisk> {
        self.faulty.as_ref().context("a faulty disk")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = self.small.as_ref().map_or_else(|| Command::new(program), |disk| disk.command(program));
        if let Some(faulty) = &self.faulty {
            faulty.put_under(&mut command);
        }
        command
    }
}

/// Redis, agent and brain. Parts that a test takes away are `None`.
pub struct Pipeline {
    /// Calls the brain as an administrator.
    pub api: Api,
    /// The agent.
    pub agent: Option<Process>,
    /// The brain.
    pub brain: Option<Process>,
    /// The network between them, where the test wants one that breaks.
    pub proxy: Option<FaultProxy>,
    /// Where the agent's buffer is.
    pub agent_site: Site,
    /// Where the brain's database is, unless it is on a server.
    pub brain_site: Site,
    /// Address of the brain.
    pub url: String,
    /// The token's file; the agent reads it.
    pub token_file: PathBuf,
    /// An agent's token.
    pub token: String,
    brain_store: BrainStore,
    brain_port: u16,
    redis_port: u16,
    folder: TempDir,
    _redis: Process,
}

impl Pipeline {
    /// Starts Redis and the brain.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(options: PipelineOptions) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let brain_site = Site::on(options.brain, folder.path(), "brain")?;
        let agent_site = Site::on(options.agent, folder.path(), "agent")?;
        let (brain_port, redis_port) = (free_port()?, free_port()?);
        let brain_store = match options.brain {
            Ground::Firm => BrainStore::new(brain_site.folder())?,
            // What is tried is the disk under the embedded database.
            Ground::Small(_) | Ground::Faulty => BrainStore::Folder(brain_site.folder().to_owned()),
        };
        let secret = async |args: &[&str]| secret(&brain_site, &brain_store, args).await;
        let token = secret(&["token", "create"]).await?;
        let key = secret(&["api-key", "create", "--role", "admin"]).await?;
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, &token)?;
        let url = format!("http://127.0.0.1:{brain_port}");
        let proxy = if options.proxy { Some(FaultProxy::to(brain_port).await?) } else { None };
        let mut pipeline = Self {
            api: Api::new(&url, &key),
            agent: None,
            brain: None,
            proxy,
            agent_site,
            brain_site,
            url,
            token_file,
            token,
            brain_store,
            brain_port,
            redis_port,
            _redis: redis(redis_port, folder.path())?,
            folder,
        };
        eventually("Redis", async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", redis_port)).await.ok())).await?;
        pipeline.start_brain().await?;
        Ok(pipeline)
    }

    /// The broker's database number `database`.
    pub fn broker(&self, database: u8) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.redis_port)
    }

    /// A feed for the broker's database number `database`, once an agent listens there.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn feed(&self, database: u8, dice: &Dice) -> Result<Feed> {
        let mut feed = Feed::connect(&self.broker(database), 1 + u32::from(database) * 1000, dice.clone()).await?;
        self.is_heard(&mut feed).await?;
        Ok(feed)
    }

    /// Waits until an agent listens to the feed.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn is_heard(&self, feed: &mut Feed) -> Result<()> {
        let heard = eventually("an agent listening", async || Ok((feed.listeners().await? == 1).then_some(()))).await;
        heard.with_context(|| self.logs())
    }

    /// Starts the brain on the same folder and port as before and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_brain(&mut self) -> Result<()> {
        self.spawn_brain()?;
        self.is_ready().await
    }

    /// Starts the brain, and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_brain(&mut self) -> Result<()> {
        let mut command = self.brain_site.command(&binary()?);
        command.args(["brain", "--listen", &format!("127.0.0.1:{}", self.brain_port)]);
        command.args(self.brain_store.options());
        self.brain = Some(Process::start("brain", self.folder.path(), command)?);
        Ok(())
    }

    /// Waits until the brain says that it is ready.
    ///
    /// # Errors
    /// When it does not.
    pub async fn is_ready(&self) -> Result<()> {
        let ready = eventually("the brain", async || Ok((self.readiness().await?.0 == 200).then_some(()))).await;
        ready.with_context(|| self.logs())
    }

    /// What the brain says of itself: a status and a text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn readiness(&self) -> Result<(u16, String)> {
        let response = reqwest::get(format!("{}/readyz", self.url)).await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// How many connections of agents the brain has.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connections(&self) -> Result<u64> {
        let agents = self.api.get("agents").await?;
        Ok(agents["items"].as_array().into_iter().flatten().filter_map(|agent| agent["connections"].as_u64()).sum())
    }

    /// A figure of the brain's metrics; 0 when it is not there yet.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let text = reqwest::get(format!("{}/metrics", self.url)).await?.text().await?;
        let value = text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).next();
        Ok(value.unwrap_or(0.0) as u64)
    }

    /// Starts the agent on the same folder as before, beside the broker's database 0.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(&mut self) -> Result<()> {
        self.agent = Some(self.another_agent("agent", 0)?);
        Ok(())
    }

    /// One more agent on the same folder, beside the broker's database number `database`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn another_agent(&self, log: &str, database: u8) -> Result<Process> {
        let port = self.proxy.as_ref().map_or(self.brain_port, FaultProxy::port);
        let mut command = self.agent_site.command(&binary()?);
        command.args(["agent", "--brain", &format!("ws://127.0.0.1:{port}"), "--name", "sidecar"]);
        command.args(["--celery", &self.broker(database), "--token-file"]).arg(&self.token_file);
        command.arg("--data-dir").arg(self.agent_site.folder());
        Process::start(log, self.folder.path(), command)
    }

    /// Kills the agent with SIGKILL; of what it took in, only what is in its buffer is left. A new epoch of `feed` begins.
    ///
    /// # Errors
    /// When there is none.
    pub async fn kill_agent(&mut self, feed: &mut Feed) -> Result<()> {
        self.agent.take().context("an agent")?.kill().await?;
        // Redis must have noticed, or the dead agent would be taken for the next.
        eventually("nobody listening", async || Ok((feed.listeners().await? == 0).then_some(()))).await?;
        feed.begin_epoch(&self.agent_site.from_outside())
    }

    /// Kills the brain with SIGKILL.
    ///
    /// # Errors
    /// When there is none.
    pub async fn kill_brain(&mut self) -> Result<()> {
        self.brain.take().context("a brain")?.kill().await
    }

    /// Brings the feed's tasks to their ends and waits until the brain has the last of them.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn drain(&self, feed: &mut Feed) -> Result<()> {
        feed.finish().await?;
        self.has_last_task(feed).await
    }

    /// Waits until the brain has the end of the feed's last task.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn has_last_task(&self, feed: &Feed) -> Result<()> {
        let id = feed.last_task();
        let ended = eventually("the last task", async || {
            let task = self.api.get(&format!("tasks/celery/{id}")).await?;
            Ok(matches!(task["state"].as_str(), Some("succeeded" | "failed")).then_some(()))
        })
        .await;
        ended.with_context(|| self.logs())
    }

    /// What brain and agent have printed.
    pub fn logs(&self) -> String {
        let log = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("--- brain\n{}\n--- agent\n{}", log("brain.log"), log("agent.log"))
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Runs the binary for a secret that it prints.
async fn secret(site: &Site, store: &BrainStore, args: &[&str]) -> Result<String> {
    let mut command = site.command(&binary()?);
    command.args(args).args(["--project", "default"]).args(store.options());
    let output = command.output().await?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Starts a Redis that keeps nothing.
pub(crate) fn redis(port: u16, folder: &Path) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder);
    Process::start("redis", folder, command)
}
