//! `connections`: what idle agents cost, and how all of them come back after the brain was killed.
//!
//! All agents connect from as few addresses as the system has ports for, with one token, and keep to the protocol: heartbeats,
//! backoff, one batch in the buffer until its ack. Then the brain is killed with SIGKILL while every agent is sending a batch,
//! and started again. Everything must come back: every agent online, no ack taken back, every event stored once.

mod agent;
mod sources;
mod tally;
mod waits;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::brain_process::{self, BrainProcess, Usage};
use crate::target::Target;
use crate::{open_files, report};
use agent::{Fleet, Orders};
use sources::Sources;
use tally::Tally;

/// What the brain and the system are given to settle before anything is measured.
const SETTLE: Duration = Duration::from_secs(5);
/// Agents seal their batch within so long after they were told to; the brain is killed in the middle of it.
const SEAL_WITHIN: Duration = Duration::from_secs(1);
/// How long a storm is waited for before it counts as failed.
const GIVE_UP: Duration = Duration::from_secs(120);
/// Statistics count three of the four events of a task.
const COUNTED_PER_BATCH: u64 = 3;

/// How many agents to connect, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Agents, one connection each.
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// Seconds between two heartbeats of an agent.
    #[arg(long, default_value_t = 30)]
    heartbeat: u64,
    /// Seconds of idleness to measure; at least one heartbeat.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds within which the agents connect at first.
    #[arg(long, default_value_t = 10)]
    ramp: u64,
    /// KiB of a batch beside its events: what a brain keeps of a large one would be kept for each agent.
    #[arg(long, default_value_t = 0)]
    batch_kib: usize,
    /// Do not kill the brain.
    #[arg(long)]
    no_storm: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    agents: usize,
    heartbeat_seconds: u64,
    source_addresses: usize,
    connected_within_seconds: f64,
    idle: Idle,
    storm: Option<Storm>,
    verified: Verified,
}

/// What idle agents cost the brain.
#[derive(Debug, Serialize)]
struct Idle {
    seconds: f64,
    heartbeats_sent: u64,
    rss_mib_without_agents: f64,
    rss_mib: f64,
    kib_per_agent: f64,
    cores: f64,
    agents_lost: u64,
}

/// How the agents came back.
#[derive(Debug, Serialize)]
struct Storm {
    /// From the kill until the brain was ready again.
    ready_after_seconds: f64,
    /// From the kill until every agent was connected and every batch acked.
    settled_after_seconds: f64,
    /// Half of the agents, and 99 of 100, had their welcome so long after the kill.
    back_p50_seconds: f64,
    back_p99_seconds: f64,
    attempts: u64,
    attempts_refused_busy: u64,
    attempts_timed_out: u64,
    brain_cpu_seconds: f64,
    peak_rss_mib: f64,
}

#[derive(Debug, Serialize)]
struct Verified {
    ok: bool,
    agents_online: usize,
    /// Of them, those whose last sign of life is no older than a heartbeat and ten seconds.
    agents_heard: usize,
    batches_acked: u64,
    /// Batches that a welcome after the storm did not know although they had been acked.
    acks_failed: u64,
    counted: u64,
    expected_counted: u64,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!((1..=60_000).contains(&options.agents), "--agents must be from 1 to 60000");
    ensure!((1..=80).contains(&options.heartbeat), "--heartbeat must be from 1 to 80 seconds");
    ensure!(options.batch_kib <= 900, "--batch-kib must be at most 900");
    ensure!(options.seconds >= options.heartbeat, "--seconds must be at least --heartbeat");
    open_files::raise_for(options.agents)?;
    let (binary, fresh) = (&options.target.binary, options.target.fresh_store()?);
    let store = &fresh.store;
    let token = brain_process::secret(binary, store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "viewer"];
    let api_key = brain_process::secret(binary, store, &key_args).await?;
    let since = brain_process::now();

    let mut brain = BrainProcess::start(binary, store).await?;
    let bare = brain.usage()?;
    let sources = Sources::for_connections(options.agents)?;
    let source_addresses = sources.count();
    let tally = Arc::new(Tally::new(options.agents));
    let (order, orders) = watch::channel(Orders { batches: 1, seal_within: Duration::ZERO });
    let fleet = Arc::new(Fleet {
        brain: brain.address(),
        token,
        heartbeat: Duration::from_secs(options.heartbeat),
        batch_bytes: options.batch_kib << 10,
        sources,
        tally: Arc::clone(&tally),
    });
    let began = Instant::now();
    let ramp = Duration::from_secs(options.ramp);
    for number in 0..options.agents {
        let first_wait = ramp.mul_f64(number as f64 / options.agents as f64);
        tokio::spawn(agent::run(Arc::clone(&fleet), number, first_wait, orders.clone()));
    }
    tally.wait_until_settled(1, GIVE_UP).await.context("connecting all agents")?;
    let connected_within = began.elapsed();

    tokio::time::sleep(SETTLE).await;
    let idle = idle(options, &brain, &tally, &bare).await?;
    let mut online = online(&brain, &api_key, options).await?;
    let mut batches = 1;
    let mut storm = None;
    if !options.no_storm {
        batches = 2;
        tally.new_storm();
        order.send_replace(Orders { batches, seal_within: SEAL_WITHIN });
        tokio::time::sleep(SEAL_WITHIN / 2).await;
        let killed = Instant::now();
        let port = brain.port();
        brain.kill().await?;
        brain = BrainProcess::start_on(port, binary, store).await?;
        let ready_after = killed.elapsed();
        tally.wait_until_settled(batches, GIVE_UP).await.context("after the brain was killed and started again")?;
        storm = Some(Storm::new(&tally, &brain, killed.elapsed(), ready_after, killed)?);
        online = self::online(&brain, &api_key, options).await?;
    }
    let counted = counted(&brain, &api_key, &since.to_string()).await?;
    let expected_counted = batches * options.agents as u64 * COUNTED_PER_BATCH;
    let acks_failed = tally.acks_failed.load(Ordering::Relaxed);
    let (agents_online, agents_heard) = online;
    let all = options.agents;
    let verified = Verified {
        ok: agents_online == all && agents_heard == all && acks_failed == 0 && counted == expected_counted,
        agents_online,
        agents_heard,
        batches_acked: tally.acked.load(Ordering::Relaxed),
        acks_failed,
        counted,
        expected_counted,
    };
    brain.stop().await?;
    let ok = verified.ok && idle.agents_lost == 0;
    report::print(&Report {
        agents: options.agents,
        heartbeat_seconds: options.heartbeat,
        source_addresses,
        connected_within_seconds: report::round(connected_within.as_secs_f64()),
        idle,
        storm,
        verified,
    })?;
    ensure!(ok, "not every agent and event is where it should be: see \"verified\" and \"agents_lost\"");
    Ok(())
}

/// Watches the brain while nothing but heartbeats happens.
async fn idle(options: &Options, brain: &BrainProcess, tally: &Tally, bare: &Usage) -> Result<Idle> {
    let heartbeats = tally.heartbeats.load(Ordering::Relaxed);
    let lost = tally.disconnects.load(Ordering::Relaxed);
    let (before, began) = (brain.usage()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (after, seconds) = (brain.usage()?, began.elapsed().as_secs_f64());
    Ok(Idle {
        seconds: report::round(seconds),
        heartbeats_sent: tally.heartbeats.load(Ordering::Relaxed) - heartbeats,
        rss_mib_without_agents: report::round(bare.rss_mib),
        rss_mib: report::round(after.rss_mib),
        kib_per_agent: report::round((after.rss_mib - bare.rss_mib) * 1024.0 / options.agents as f64),
        cores: ((after.cpu_seconds - before.cpu_seconds) / seconds * 10_000.0).round() / 10_000.0,
        agents_lost: tally.disconnects.load(Ordering::Relaxed) - lost,
    })
}

impl Storm {
    fn new(
        tally: &Tally,
        brain: &BrainProcess,
        settled_after: Duration,
        ready_after: Duration,
        killed: Instant,
    ) -> Result<Self> {
        let usage = brain.usage()?;
        let mut back = tally.back();
        back.sort_unstable();
        let at = |q: f64| {
            let index = (q * back.len().saturating_sub(1) as f64).round() as usize;
            back.get(index).map_or(0.0, |at| report::round(at.saturating_duration_since(killed).as_secs_f64()))
        };
        Ok(Self {
            ready_after_seconds: report::round(ready_after.as_secs_f64()),
            settled_after_seconds: report::round(settled_after.as_secs_f64()),
            back_p50_seconds: at(0.5),
            back_p99_seconds: at(0.99),
            attempts: tally.attempts.load(Ordering::Relaxed),
            attempts_refused_busy: tally.busy.load(Ordering::Relaxed),
            attempts_timed_out: tally.timeouts.load(Ordering::Relaxed),
            brain_cpu_seconds: report::round(usage.cpu_seconds),
            peak_rss_mib: report::round(usage.peak_rss_mib),
        })
    }
}

/// How many agents the brain says are connected, and how many of them it has heard lately.
async fn online(brain: &BrainProcess, api_key: &str, options: &Options) -> Result<(usize, usize)> {
    let oldest = brain_process::now().0 - i64::try_from(options.heartbeat + 10)? * 1_000_000;
    let client = reqwest::Client::new();
    let (mut online, mut heard, mut cursor) = (0, 0, None::<String>);
    loop {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = get(&client, brain, api_key, &format!("agents?limit=200{after}")).await?;
        for agent in page["items"].as_array().into_iter().flatten().filter(|agent| agent["state"] == "online") {
            online += 1;
            let seen: Option<taskplane_model::Timestamp> = serde_json::from_value(agent["last_seen_at"].clone())?;
            heard += usize::from(seen.is_some_and(|seen| seen.0 >= oldest));
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok((online, heard));
        }
    }
}

/// Events in the brain's statistics.
async fn counted(brain: &BrainProcess, api_key: &str, since: &str) -> Result<u64> {
    let stats = get(&reqwest::Client::new(), brain, api_key, &format!("stats?since={since}&step=60s")).await?;
    let sum = |field: &str| -> u64 {
        stats["items"].as_array().into_iter().flatten().filter_map(|item| item[field].as_u64()).sum()
    };
    Ok(sum("sent") + sum("started") + sum("succeeded"))
}

async fn get(client: &reqwest::Client, brain: &BrainProcess, api_key: &str, path: &str) -> Result<Value> {
    let url = format!("{}/api/v1/projects/default/{path}", brain.api_url());
    let response = client.get(url).bearer_auth(api_key).timeout(Duration::from_secs(60)).send().await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{path}: {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}
