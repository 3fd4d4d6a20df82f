//! `live`: how long it takes from an event to the screens of many dashboards, and what readers that do not read do to it.
//!
//! Agents send batches at a steady rate, each after the ack of its last one. Every dashboard counts the changes that it is
//! told of; a batch has arrived at a dashboard with the delta whose count covers it. At the end every dashboard must have been
//! told of every change.

mod dashboard;
mod sender;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::watch;

use crate::brain_process::{self, BrainProcess};
use crate::target::Target;
use crate::{open_files, report};
use dashboard::{Delta, Seen};
use sender::Sent;

/// How long the last changes may take to every dashboard.
const DRAIN: Duration = Duration::from_secs(20);
/// How long a reader that did not read has to find out that it must fetch again, once it reads.
const STUCK_WITHIN: Duration = Duration::from_secs(5);
/// A reader is stuck when it has read nothing for some time after the buffers on its way are full: this many seconds are enough at
/// 5,000 events a second.
const STUCK_AFTER: u64 = 20;

/// How many dashboards to open, and how much to show them.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Dashboards that read.
    #[arg(long, default_value_t = 200)]
    dashboards: usize,
    /// Dashboards that are open and do not read until the end. Takes 20 seconds of load, for them to be found out.
    #[arg(long, default_value_t = 4)]
    stuck: usize,
    /// Events per second over all agents.
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Agents that send them.
    #[arg(long, default_value_t = 16)]
    agents: usize,
    /// Events in a batch; a multiple of 4, at least 32. Our agent seals one every 100 ms.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Seconds of load.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    dashboards: usize,
    stuck_dashboards: usize,
    events_per_second_asked: u64,
    events_per_second: f64,
    seconds: f64,
    event_to_screen_p50_ms: f64,
    event_to_screen_p95_ms: f64,
    event_to_screen_p99_ms: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    deltas_per_second: f64,
    mib_per_second_to_dashboards: f64,
    cores: f64,
    peak_rss_mib: f64,
    verified: Verified,
}

#[derive(Debug, Serialize)]
struct Verified {
    ok: bool,
    /// Changes that every dashboard had to be told of.
    changes: u64,
    /// Dashboards that were told of all of them, and of no more.
    dashboards_told_all: usize,
    /// Dashboards that read and were told to fetch again all the same.
    resyncs: u64,
    /// The most deltas that a dashboard got, and four a second.
    most_deltas: usize,
    allowed_deltas: usize,
    /// Of the dashboards that did not read, those that were told to fetch again when they did, or were closed.
    stuck_found_out: usize,
    /// The most that was kept for one of them, by the brain and the kernels.
    most_kib_held_for_stuck: usize,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(options.batch >= 32 && options.batch.is_multiple_of(4), "--batch must be a multiple of 4, and at least 32");
    ensure!(
        options.agents >= 1 && options.rate >= 1 && options.seconds >= 5,
        "--agents, --rate: at least 1; --seconds: 5"
    );
    ensure!(options.stuck == 0 || options.seconds >= STUCK_AFTER, "--stuck takes --seconds of at least {STUCK_AFTER}");
    ensure!(
        (1..=900).contains(&(options.dashboards + options.stuck)),
        "--dashboards and --stuck: at most 900 together"
    );
    open_files::raise_for(options.dashboards + options.stuck + options.agents)?;
    let (binary, fresh) = (&options.target.binary, options.target.fresh_store()?);
    let store = &fresh.store;
    let token = brain_process::secret(binary, store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "viewer"];
    let api_key = brain_process::secret(binary, store, &key_args).await?;
    let mut brain = BrainProcess::start(binary, store).await?;

    let mut agents = Vec::new();
    for number in 0..options.agents {
        agents.push(sender::Agent::connect(&brain.websocket_url(), &token, number, options.batch).await?);
    }
    let told = Arc::new(AtomicU64::new(0));
    let (finish, finishing) = watch::channel(None::<u64>);
    let mut readers = Vec::new();
    for _ in 0..options.dashboards {
        let stream = dashboard::open(brain.address(), &api_key, None).await?;
        readers.push(tokio::spawn(dashboard::read(stream, Arc::clone(&told), finishing.clone())));
    }
    let mut stuck = Vec::new();
    for _ in 0..options.stuck {
        stuck.push(dashboard::open(brain.address(), &api_key, Some(dashboard::SMALL_BUFFER)).await?);
    }

    let before = brain.usage()?;
    let began = Instant::now();
    let pause = Duration::from_secs_f64(options.batch as f64 * options.agents as f64 / options.rate as f64);
    let until = began + Duration::from_secs(options.seconds);
    let senders: Vec<_> = agents
        .into_iter()
        .enumerate()
        .map(|(number, agent)| {
            let first = began + pause.mul_f64(number as f64 / options.agents as f64);
            tokio::spawn(agent.send_until(first, pause, until))
        })
        .collect();
    let mut sent: Vec<Sent> = Vec::new();
    for sender in senders {
        sent.extend(sender.await.context("an agent's task ended badly")??);
    }
    let elapsed = began.elapsed();
    let after = brain.usage()?;
    sent.sort_by_key(|one| one.acked);
    let changes: u64 = sent.iter().map(|one| one.tasks).sum();

    // Whoever has been told of everything may stop; who has not is waited for, and then not.
    finish.send_replace(Some(changes));
    let give_up = Instant::now() + DRAIN;
    let mut seen = Vec::new();
    for mut reader in readers {
        match tokio::time::timeout_at(give_up.into(), &mut reader).await {
            Ok(one) => seen.push(one.context("a dashboard's task ended badly")??),
            Err(_) => reader.abort(),
        }
    }
    let stuck = join_all(stuck.into_iter().map(|stream| dashboard::read_at_last(stream, STUCK_WITHIN))).await;
    let stuck_found_out = stuck.iter().filter(|one| one.is_found_out).count();
    let most_kib_held_for_stuck = stuck.iter().map(|one| one.held >> 10).max().unwrap_or(0);
    let peak_rss_mib = brain.usage()?.peak_rss_mib;
    brain.stop().await?;

    let most_deltas = seen.iter().map(|one| one.deltas.len()).max().unwrap_or(0);
    // The first may come at once, and the last ones after the load.
    let allowed_deltas = (elapsed.as_secs_f64() * 4.0).ceil() as usize + 2;
    let dashboards_told_all =
        seen.iter().filter(|one| one.deltas.last().map_or(0, |delta| delta.changes) == changes).count();
    let resyncs = seen.iter().map(|one| one.resyncs).sum();
    let ok = dashboards_told_all == options.dashboards
        && resyncs == 0
        && most_deltas <= allowed_deltas
        && stuck_found_out == options.stuck;
    let mut latencies = latencies(&sent, &seen);
    latencies.sort_unstable();
    let mut acks: Vec<Duration> = sent.iter().map(|one| one.acked.saturating_duration_since(one.due)).collect();
    acks.sort_unstable();
    let seconds = elapsed.as_secs_f64();
    let deltas: usize = seen.iter().map(|one| one.deltas.len()).sum();
    report::print(&Report {
        dashboards: options.dashboards,
        stuck_dashboards: options.stuck,
        events_per_second_asked: options.rate,
        events_per_second: ((sent.len() * options.batch) as f64 / seconds).round(),
        seconds: report::round(seconds),
        event_to_screen_p50_ms: report::round(report::quantile_ms(&latencies, 0.50)),
        event_to_screen_p95_ms: report::round(report::quantile_ms(&latencies, 0.95)),
        event_to_screen_p99_ms: report::round(report::quantile_ms(&latencies, 0.99)),
        ack_p50_ms: report::round(report::quantile_ms(&acks, 0.50)),
        ack_p99_ms: report::round(report::quantile_ms(&acks, 0.99)),
        deltas_per_second: report::round(deltas as f64 / seen.len().max(1) as f64 / seconds),
        mib_per_second_to_dashboards: report::round(told.load(Ordering::Relaxed) as f64 / seconds / 1_048_576.0),
        cores: report::round((after.cpu_seconds - before.cpu_seconds) / seconds),
        peak_rss_mib: report::round(peak_rss_mib),
        verified: Verified {
            ok,
            changes,
            dashboards_told_all,
            resyncs,
            most_deltas,
            allowed_deltas,
            stuck_found_out,
            most_kib_held_for_stuck,
        },
    })?;
    ensure!(ok, "the dashboards were not told what they should have been: see \"verified\"");
    Ok(())
}

/// From when each batch was to be sent until each dashboard had the delta that covers it.
fn latencies(sent: &[Sent], seen: &[Seen]) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(sent.len() * seen.len());
    for one in seen {
        let mut deltas = one.deltas.iter().peekable();
        let mut changes = 0;
        for batch in sent {
            changes += batch.tasks;
            while deltas.next_if(|delta: &&Delta| delta.changes < changes).is_some() {}
            if let Some(delta) = deltas.peek() {
                latencies.push(delta.at.saturating_duration_since(batch.due));
            }
        }
    }
    latencies
}
