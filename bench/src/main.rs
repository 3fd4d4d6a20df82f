//! Load generator: plays agents against a real brain process, verifies that what was acked is stored, prints JSON.
//!
//! The brain is started in a folder of its own, loaded, killed with SIGKILL, started again, and asked for what it has: every
//! acked event must be in its statistics, and a sample of tasks must be there with all their events.

mod brain_process;
mod load;
mod report;
mod verify;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use brain_process::{BrainProcess, BrainStore};
use report::Report;

/// Plays agents against a brain and prints what it measured as JSON.
#[derive(Debug, Parser)]
struct Options {
    /// The taskplane binary to measure.
    #[arg(long, default_value = "target/release/taskplane")]
    binary: PathBuf,
    /// Agents, one connection each.
    #[arg(long, default_value_t = 16)]
    agents: usize,
    /// Events in a batch; a multiple of 4.
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Batches that an agent has in flight without an ack.
    #[arg(long, default_value_t = 8)]
    window: usize,
    /// Seconds of load.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events per second over all agents; 0 means as fast as they are acked.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Where the brain's folder is made; the default is the system's folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Keep the data in this PostgreSQL database instead of a folder; what is in it stays there. It should be a fresh one.
    #[arg(long, value_name = "URL", hide_env_values = true, conflicts_with = "folder")]
    database_url: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    anyhow::ensure!(options.batch >= 4 && options.batch.is_multiple_of(4), "--batch must be a multiple of 4");
    anyhow::ensure!(options.agents >= 1 && options.window >= 1, "--agents and --window must be at least 1");
    let folder = match &options.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }
    .context("making a folder for the brain")?;
    let store = match &options.database_url {
        Some(url) => BrainStore::Database(url.clone()),
        None => BrainStore::Folder(folder.path().join("data")),
    };
    let token = brain_process::secret(&options.binary, &store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "viewer"];
    let api_key = brain_process::secret(&options.binary, &store, &key_args).await?;

    let mut brain = BrainProcess::start(&options.binary, &store).await?;
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
    let mut brain = BrainProcess::start(&options.binary, &store).await?;
    let verified = verify::run(&brain.api_url(), &api_key, since, &load).await?;
    brain.stop().await?;

    let report = Report::new(&options, &load, &before, &after, idle_rss_mib, bytes_on_disk, &verified);
    report.print()?;
    anyhow::ensure!(verified.ok, "what was acked is not what is stored: see \"verified\"");
    Ok(())
}
