//! Agents that send at a steady rate until they are told to stop, while something else is done.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::brain_process::BrainProcess;
use crate::load::{self, Load, Plan};

const AGENTS: usize = 16;
const BATCH: usize = 500;
const WINDOW: usize = 8;
/// Longer than any measurement.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What is stored, and what comes in meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Beside {
    /// The store that `fill` has made. It is copied first, so that it stays as it is; no brain may run on it.
    #[arg(long, value_name = "FOLDER", default_value = "/tmp/taskplane-bench")]
    pub(crate) filled: PathBuf,
    /// Events per second, over all agents.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) rate: u64,
    /// Seconds of load before, and after.
    #[arg(long, default_value_t = 15)]
    pub(crate) seconds: u64,
}

impl Beside {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Agents at work.
pub(crate) struct Steady {
    stop: watch::Sender<bool>,
    load: JoinHandle<Result<Load>>,
}

impl Steady {
    /// Lets agents send so many events a second.
    pub(crate) fn begin(brain: &BrainProcess, token: &str, rate: u64) -> Self {
        let plan = Plan {
            url: brain.websocket_url(),
            token: token.to_owned(),
            agents: AGENTS,
            batch: BATCH,
            window: WINDOW,
            duration: LONGEST,
            rate,
        };
        let (stop, stopped) = watch::channel(false);
        Self { stop, load: tokio::spawn(async move { load::run_until(&plan, stopped).await }) }
    }

    /// Lets them stop, and waits for their last acks.
    pub(crate) async fn end(self) -> Result<Load> {
        self.stop.send_replace(true);
        self.load.await.context("the load ended badly")?
    }
}
