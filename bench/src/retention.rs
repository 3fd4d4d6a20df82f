//! `retention`: what dropping old tasks costs agents who wait for their acks, and whether it does what it should.
//!
//! A real brain runs on a copy of a store that `fill` has made. Events come in at a steady rate: first alone; then the brain is started
//! again and told to keep things for so short a time that the oldest tasks fall away, with their raw events. At the end the brain is
//! killed with SIGKILL and started again: what is older than the horizon must be gone, what is younger must be there, statistics must be
//! what they were, and every acked event must be there.

mod ages;
mod progress;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use taskplane_model::Timestamp;

use crate::brain_process::{self, BrainProcess};
use crate::load::Load;
use crate::report::{self, Latencies, round};
use crate::steady::{Beside, Steady};
use crate::target::Target;
use crate::verify::{self, Api, Verified};
use ages::{Ages, Left};
use progress::{Progress, Storage};

/// What to drop, and what to write meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    beside: Beside,
    /// About so many of the oldest tasks are dropped: one day of ten. Ages are whole hours, so it may be an hour's tasks more.
    #[arg(long, default_value_t = 1_000_000)]
    drop: u64,
    /// Most seconds that it may take.
    #[arg(long, default_value_t = 900)]
    within: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    tasks: u64,
    rate: u64,
    kept_hours: u64,
    tasks_dropped: u64,
    batches_dropped: u64,
    /// From the first step to the last, giving back space included.
    seconds: f64,
    tasks_per_second: f64,
    acks_before: Latencies,
    acks_while: Latencies,
    acks_after: Latencies,
    storage_before: Storage,
    storage_after: Storage,
    brain_peak_rss_mib: f64,
    cores_before: f64,
    cores_while: f64,
    left: Left,
    verified: Verified,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let (target, beside) = (&options.target, &options.beside);
    let (fresh, manifest) = target.copy_of(&beside.filled)?;
    let (binary, store) = (&target.binary, &fresh.store);
    let token = brain_process::secret(binary, store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "viewer"];
    let key = brain_process::secret(binary, store, &key_args).await?;
    let (since, all) = (brain_process::now(), Timestamp(manifest.from));

    // Alone: nothing is old enough.
    let mut brain = BrainProcess::start_with(binary, store, &ages::FOREVER.arguments()).await?;
    let api = Api::of(&brain, &key);
    let (counted_since, counted_all) = (api.counted(since, "60s").await?, api.counted(all, "1d").await?);
    let began = Instant::now();
    let used = brain.usage()?;
    let load = Steady::begin(&brain, &token, beside.rate);
    tokio::time::sleep(beside.time()).await;
    let first = load.end().await?;
    let cores_before = (brain.usage()?.cpu_seconds - used.cpu_seconds) / began.elapsed().as_secs_f64();
    let storage_before = progress::storage(&api).await?;
    brain.stop().await?;
    // The first acks after the start are another matter.
    let acks_before = Latencies::between(&first.acks, began + beside.time() / 5, Instant::now());

    let ages = Ages::to_drop(&manifest, options.drop, brain_process::now())?;
    let mut brain = BrainProcess::start_with(binary, store, &ages.arguments()).await?;
    let api = Api::of(&brain, &key);
    let load = Steady::begin(&brain, &token, beside.rate);
    let begun = Progress::begun(&api, Duration::from_secs(60)).await?;
    let used = brain.usage()?;
    let done = Progress::done(&api, Duration::from_secs(options.within)).await?;
    let seconds = (done.at - begun.at).as_secs_f64();
    let cores_while = (brain.usage()?.cpu_seconds - used.cpu_seconds) / seconds;
    tokio::time::sleep(beside.time()).await;
    let second = load.end().await?;
    let storage_after = progress::storage(&api).await?;
    let brain_peak_rss_mib = brain.usage()?.peak_rss_mib.round();

    brain.kill().await?;
    let mut brain = BrainProcess::start_with(binary, store, &ages.arguments()).await?;
    let api = Api::of(&brain, &key);
    let expected = counted_all + (first.events_acked + second.events_acked) / 4 * 3;
    let left = ages.look(&api, &manifest, expected).await?;
    let acks_while = Latencies::between(&second.acks, begun.at, done.at);
    let acks_after = Latencies::between(&second.acks, done.at, Instant::now());
    let verified = verify::run(&api, since, counted_since, &both(first, second), None).await?;
    brain.stop().await?;

    let report = Report {
        tasks: manifest.tasks,
        rate: beside.rate,
        kept_hours: ages.hours(),
        tasks_dropped: done.tasks,
        batches_dropped: done.batches,
        seconds: round(seconds),
        tasks_per_second: (done.tasks as f64 / seconds).round(),
        acks_before,
        acks_while,
        acks_after,
        storage_before,
        storage_after,
        brain_peak_rss_mib,
        cores_before: round(cores_before),
        cores_while: round(cores_while),
        left,
        verified,
    };
    report::print(&report)?;
    ensure!(report.left.ok, "what is left is not what should be: see \"left\"");
    ensure!(report.verified.ok, "what was acked is not what is stored: see \"verified\"");
    Ok(())
}

/// What both loads came to.
fn both(first: Load, second: Load) -> Load {
    Load {
        events_acked: first.events_acked + second.events_acked,
        sample_ids: first.sample_ids.into_iter().step_by(2).take(100).chain(second.sample_ids).collect(),
        ..Load::default()
    }
}
