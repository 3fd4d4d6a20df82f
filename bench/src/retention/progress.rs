//! How far a brain is with dropping, by what it says about itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::verify::Api;

/// How often the brain is asked.
const EVERY: Duration = Duration::from_millis(200);

/// What has been dropped at some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) at: Instant,
    /// Tasks, failures among them.
    pub(super) tasks: u64,
    pub(super) batches: u64,
    at_work: bool,
}

/// How much room the database takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Storage {
    file_bytes: u64,
    used_bytes: u64,
    free_bytes: u64,
    log_bytes: Option<u64>,
}

pub(super) async fn storage(api: &Api) -> Result<Storage> {
    Ok(serde_json::from_value(api.get("storage").await?)?)
}

impl Progress {
    /// Waits until something is being dropped.
    pub(super) async fn begun(api: &Api, within: Duration) -> Result<Self> {
        let has_begun = |progress: Self| progress.at_work && progress.tasks + progress.batches > 0;
        Self::wait(api, within, has_begun).await.context("waiting for the first step")
    }

    /// Waits until everything has been.
    pub(super) async fn done(api: &Api, within: Duration) -> Result<Self> {
        Self::wait(api, within, |progress| !progress.at_work).await.context("waiting for the last step")
    }

    async fn wait(api: &Api, within: Duration, is_so: impl Fn(Self) -> bool) -> Result<Self> {
        let until = Instant::now() + within;
        loop {
            let progress = Self::now(api).await?;
            if is_so(progress) {
                return Ok(progress);
            }
            ensure!(Instant::now() < until, "it took longer than {within:?}: {progress:?}");
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn now(api: &Api) -> Result<Self> {
        let text = api.metrics().await?;
        let number = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
            value.unwrap_or(0)
        };
        let dropped = |what: &str| number(&format!("taskplane_retention_dropped_total{{what=\"{what}\"}}"));
        Ok(Self {
            at: Instant::now(),
            tasks: dropped("Tasks") + dropped("Failures"),
            batches: dropped("Batches"),
            at_work: number("taskplane_retention_at_work ") == 1,
        })
    }
}
