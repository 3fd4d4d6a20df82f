//! `ingest`: how many events a second are acked, and how fast.
//!
//! The brain is started in a folder of its own, loaded, killed with SIGKILL, started again, and asked for what it has: every
//! acked event must be in its statistics, and a sample of tasks must be there with all their events.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::brain_process::{self, BrainProcess};
use crate::load;
use crate::report::{self, Report};
use crate::target::Target;
use crate::verify::{self, Api};

/// How to load a brain with events.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Begin with a copy of the store that `fill` has made in this folder, rather than with an empty one. No brain may run on it.
    #[arg(long, value_name = "FOLDER", conflicts_with = "database_url")]
    filled: Option<PathBuf>,
    /// Agents, one connection each.
    #[arg(long, default_value_t = 16)]
    pub(crate) agents: usize,
    /// Events in a batch; a multiple of 4.
    #[arg(long, default_value_t = 500)]
    pub(crate) batch: usize,
    /// Batches that an agent has in flight without an ack.
    #[arg(long, default_value_t = 8)]
    pub(crate) window: usize,
    /// Seconds of load.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events per second over all agents; 0 means as fast as they are acked.
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
}

/// How the brain was started, and on what.
pub(crate) struct Starting {
    /// Tasks that were stored before.
    pub(crate) tasks: u64,
    /// When the process was started.
    pub(crate) spawned: Instant,
    /// How long it was until it was ready.
    pub(crate) ready: Duration,
    /// When the agents began.
    pub(crate) load_began: Instant,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    anyhow::ensure!(options.batch >= 4 && options.batch.is_multiple_of(4), "--batch must be a multiple of 4");
    anyhow::ensure!(options.agents >= 1 && options.window >= 1, "--agents and --window must be at least 1");
    let target = &options.target;
    let (fresh, manifest) = match &options.filled {
        Some(filled) => target.copy_of(filled).map(|(copy, manifest)| (copy, Some(manifest)))?,
        None => (target.fresh_store()?, None),
    };
    let (binary, store) = (&target.binary, &fresh.store);
    let token = brain_process::secret(binary, store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "viewer"];
    let api_key = brain_process::secret(binary, store, &key_args).await?;

    // Asked of a brain of its own, so that the one that is measured begins with the load.
    let since = brain_process::now();
    let mut asked = BrainProcess::start(binary, store).await?;
    let counted_before = Api::of(&asked, &api_key).counted(since, "60s").await?;
    asked.stop().await?;

    let bytes_before = store.bytes_on_disk()?;
    let mut brain = BrainProcess::start(binary, store).await?;
    let ready = brain.spawned().elapsed();
    let before = brain.usage()?;
    let load_began = Instant::now();
    let load = load::run(&load::Plan {
        url: brain.websocket_url(),
        token,
        agents: options.agents,
        batch: options.batch,
        window: options.window,
        duration: Duration::from_secs(options.seconds),
        rate: options.rate,
    })
    .await?;
    let after = brain.usage()?;
    let tasks = manifest.as_ref().map_or(0, |manifest| manifest.tasks);
    let starting = Starting { tasks, spawned: brain.spawned(), ready, load_began };

    // What was acked must be on disk: a brain that is killed at once must still have all of it.
    brain.kill().await?;
    let grown = store.bytes_on_disk()?.zip(bytes_before).map(|(after, before)| after.saturating_sub(before));
    let mut brain = BrainProcess::start(binary, store).await?;
    let verified = verify::run(&Api::of(&brain, &api_key), since, counted_before, &load, manifest.as_ref()).await?;
    brain.stop().await?;

    let report = Report::new(options, &starting, &load, &before, &after, grown, &verified);
    report::print(&report)?;
    anyhow::ensure!(verified.ok, "what was acked is not what is stored: see \"verified\"");
    Ok(())
}
