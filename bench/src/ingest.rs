//! `ingest`: how many events a second are acked, and how fast.
//!
//! The brain is started in a folder of its own, loaded, killed with SIGKILL, started again, and asked for what it has: every
//! acked event must be in its statistics, and a sample of tasks must be there with all their events.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::brain_process::{self, BrainProcess};
use crate::report::{self, Report};
use crate::target::Target;
use crate::{load, verify};

/// How to load a brain with events.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
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

pub(crate) async fn run(options: &Options) -> Result<()> {
    anyhow::ensure!(options.batch >= 4 && options.batch.is_multiple_of(4), "--batch must be a multiple of 4");
    anyhow::ensure!(options.agents >= 1 && options.window >= 1, "--agents and --window must be at least 1");
    let (binary, fresh) = (&options.target.binary, options.target.fresh_store()?);
    let store = &fresh.store;
    let token = brain_process::secret(binary, store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "viewer"];
    let api_key = brain_process::secret(binary, store, &key_args).await?;

    let mut brain = BrainProcess::start(binary, store).await?;
    let idle_rss_mib = brain.usage()?.rss_mib;
    let since = brain_process::now();
    let before = brain.usage()?;
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

    // What was acked must be on disk: a brain that is killed at once must still have all of it.
    brain.kill().await?;
    let bytes_on_disk = store.bytes_on_disk()?;
    let mut brain = BrainProcess::start(binary, store).await?;
    let verified = verify::run(&brain.api_url(), &api_key, since, &load).await?;
    brain.stop().await?;

    let report = Report::new(options, &load, &before, &after, idle_rss_mib, bytes_on_disk, &verified);
    report::print(&report)?;
    anyhow::ensure!(verified.ok, "what was acked is not what is stored: see \"verified\"");
    Ok(())
}
