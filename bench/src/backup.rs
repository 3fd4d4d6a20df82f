//! `backup`: what a backup costs agents who wait for their acks.
//!
//! A real brain runs on a copy of a store that `fill` has made. Events come in at a steady rate, before, while and after `taskplane
//! backup` makes a copy of it; the copy is then opened by another brain and must have what was there before.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use taskplane_model::Timestamp;

use crate::brain_process::{self, BrainProcess, BrainStore};
use crate::report::{self, Latencies, round};
use crate::steady::{Beside, Steady};
use crate::target::Target;
use crate::verify::{self, Api, Verified};

/// What to back up, and what to write meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    beside: Beside,
}

#[derive(Debug, Serialize)]
struct Report {
    tasks: u64,
    rate: u64,
    backup_seconds: f64,
    backup_bytes: u64,
    acks_before: Latencies,
    acks_while: Latencies,
    acks_after: Latencies,
    /// The write-ahead log, when the backup was done: it cannot begin anew meanwhile.
    log_bytes_at_the_end: Option<u64>,
    brain_peak_rss_mib: f64,
    /// Sent, started and succeeded, as the brain had them before the backup, in the copy, and as the brain had them after it. The dump of
    /// a database is not looked into, which needs another one.
    counted_before: u64,
    counted_in_copy: Option<u64>,
    counted_after: u64,
    verified: Verified,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let (target, beside) = (&options.target, &options.beside);
    let (fresh, manifest) = target.copy_of(&beside.filled)?;
    let (binary, store) = (&target.binary, &fresh.store);
    let token = brain_process::secret(binary, store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "viewer"];
    let key = brain_process::secret(binary, store, &key_args).await?;
    let copy = tempfile::tempdir()?;
    let file = copy.path().join("copy");

    let mut brain = BrainProcess::start(binary, store).await?;
    let api = Api::of(&brain, &key);
    let (since, all) = (brain_process::now(), Timestamp(manifest.from));
    let counted_since = api.counted(since, "60s").await?;
    let load = Steady::begin(&brain, &token, beside.rate);
    tokio::time::sleep(beside.time()).await;
    let counted_before = api.counted(all, "1d").await?;
    let began = Instant::now();
    let to = file.to_str().context("the path of the copy is no text")?;
    brain_process::secret(binary, store, &["backup", "--to", to]).await?;
    let ended = Instant::now();
    let log_bytes_at_the_end = api.get("storage").await?["log_bytes"].as_u64();
    let counted_after = api.counted(all, "1d").await?;
    tokio::time::sleep(beside.time()).await;
    let load = load.end().await?;
    let peak = brain.usage()?.peak_rss_mib;
    let verified = verify::run(&api, since, counted_since, &load, Some(&manifest)).await?;
    brain.stop().await?;

    let backup_bytes = std::fs::metadata(&file)?.len();
    let counted_in_copy = match store {
        BrainStore::Folder(_) => Some(counted_in(&target.binary, copy.path().join("data"), to, &key, all).await?),
        BrainStore::Database(_) => None,
    };
    let warm = began.checked_sub(beside.time() - Duration::from_secs(beside.seconds / 5)).unwrap_or(began);
    let report = Report {
        tasks: manifest.tasks,
        rate: beside.rate,
        backup_seconds: round((ended - began).as_secs_f64()),
        backup_bytes,
        acks_before: Latencies::between(&load.acks, warm, began),
        acks_while: Latencies::between(&load.acks, began, ended),
        acks_after: Latencies::between(&load.acks, ended, ended + beside.time()),
        log_bytes_at_the_end,
        brain_peak_rss_mib: peak.round(),
        counted_before,
        counted_in_copy,
        counted_after,
        verified,
    };
    report::print(&report)?;
    ensure!(report.verified.ok, "what was acked is not what is stored: see \"verified\"");
    let range = counted_before..=counted_after;
    ensure!(
        counted_in_copy.is_none_or(|counted| range.contains(&counted)),
        "the copy is not what was stored: see \"counted_in_copy\""
    );
    Ok(())
}

/// What a brain counts that has been given the copy.
async fn counted_in(binary: &std::path::Path, folder: PathBuf, copy: &str, key: &str, since: Timestamp) -> Result<u64> {
    let store = BrainStore::Folder(folder);
    brain_process::secret(binary, &store, &["restore", "--from", copy]).await?;
    let mut brain = BrainProcess::start(binary, &store).await?;
    let counted = Api::of(&brain, key).counted(since, "1d").await;
    brain.stop().await?;
    counted
}
