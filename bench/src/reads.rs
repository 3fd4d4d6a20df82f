//! `reads`: how long every call takes that reads, with millions of tasks stored and events coming in.
//!
//! A real brain runs on a store that `fill` has made. Calls go over HTTP, one after another, each kind in its turn, with parameters that
//! vary and are taken from the store. What is answered is verified against the filter, and against what `fill` knows.

mod calls;
mod check;
mod filter;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use fastrand::Rng;
use reqwest::Client;
use serde_json::Value;

use crate::brain_process::{self, BrainProcess, now};
use crate::fill::Filled;
use crate::fill::manifest::Manifest;
use crate::load;
use calls::Call;
use check::{Known, Outcome};
use table::Table;

/// What to read, and what to write meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Filled,
    /// The taskplane binary to measure.
    #[arg(long, default_value = "target/release/taskplane")]
    binary: PathBuf,
    /// Seconds of reading. Each kind of call comes as often as the others.
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Events per second that are ingested meanwhile; 0 means none.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Only calls whose name has this in it.
    #[arg(long)]
    only: Option<String>,
}

/// A brain's API as one reader sees it: one connection, kept.
pub(crate) struct Reader {
    client: Client,
    base: String,
    key: String,
}

/// What came back, and how long it took until all of it was there.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

impl Reader {
    /// Calls `path` below the project, with these parameters.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer> {
        let url = format!("{}/api/v1/projects/default/{path}", self.base);
        let url = reqwest::Url::parse_with_params(&url, query)?;
        let began = Instant::now();
        let response = self.client.get(url).bearer_auth(&self.key).send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        let took = began.elapsed();
        Ok(Answer { status, body: serde_json::from_slice(&bytes)?, bytes: bytes.len(), took })
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is this program's output")]
pub(crate) async fn run(options: &Options) -> Result<()> {
    let folder = &options.place.folder;
    let manifest = Manifest::read(folder)?;
    let manifest = manifest
        .with_context(|| format!("{} has no fill.json; run `fill` first, or `make bench-fill`", folder.display()))?;
    let store = options.place.store();
    let binary = &options.binary;
    let token = brain_process::secret(binary, &store, &["token", "create", "--project", "default"]).await?;
    let key_args = ["api-key", "create", "--project", "default", "--role", "admin"];
    let key = brain_process::secret(binary, &store, &key_args).await?;
    let began = Instant::now();
    let mut brain = BrainProcess::start(binary, &store).await?;
    let started_ms = began.elapsed().as_secs_f64() * 1e3;
    let reader = Reader { client: Client::new(), base: brain.api_url(), key };

    let mut problems = check::whole_store(&reader, &manifest).await?;
    let mut calls = calls::all(&reader, &manifest).await?;
    calls.retain(|call| options.only.as_ref().is_none_or(|only| call.label.contains(only.as_str())));
    ensure!(!calls.is_empty(), "there is no such call");
    let before = brain.usage()?;
    let plan = load::Plan {
        url: brain.websocket_url(),
        token,
        agents: 16,
        batch: 500,
        window: 8,
        duration: Duration::from_secs(options.seconds),
        rate: options.rate,
    };
    let ingest = (options.rate > 0).then(|| tokio::spawn(async move { load::run(&plan).await }));
    let mut table = Table::new(&calls);
    read(&reader, &manifest, &calls, Duration::from_secs(options.seconds), &mut table).await?;
    let load = match ingest {
        Some(ingest) => Some(ingest.await??),
        None => None,
    };
    let after = brain.usage()?;
    brain.stop().await?;

    eprintln!("{}", table.as_text());
    problems.extend(table.problems());
    let report = serde_json::json!({
        "tasks": manifest.tasks,
        "rate": options.rate,
        "seconds": options.seconds,
        "brain_started_ms": started_ms.round(),
        "events_acked": load.as_ref().map_or(0, |load| load.events_acked),
        "ack_p99_ms": load.as_ref().map(|load| table::quantile_ms(&load.ack_latencies, 0.99)),
        "brain_cpu_seconds": after.cpu_seconds - before.cpu_seconds,
        "brain_peak_rss_mib": after.peak_rss_mib.round(),
        "calls": table.as_json(),
        "over_50_ms": table.over(50.0),
        "problems": problems,
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    ensure!(problems.is_empty(), "{} answers are wrong: see \"problems\"", problems.len());
    Ok(())
}

/// Each kind of call in its turn, for as long as is asked for and at least once.
async fn read(reader: &Reader, manifest: &Manifest, calls: &[Call], time: Duration, table: &mut Table) -> Result<()> {
    let mut random = Rng::with_seed(now().0.cast_unsigned());
    let began = Instant::now();
    loop {
        for (at, call) in calls.iter().enumerate() {
            let ask = (call.make)(&mut random);
            let answer = reader.get(&ask.path, &ask.query).await?;
            let outcome = ask.expect.judge(&answer, manifest);
            let outcome = match outcome {
                Outcome::Wrong(why) => Outcome::Wrong(format!("{}: {} {:?}: {why}", call.label, ask.path, ask.query)),
                fine => fine,
            };
            table.note(at, &answer, outcome);
        }
        if began.elapsed() >= time {
            return Ok(());
        }
    }
}

impl Known {
    /// What `fill` knows to be there.
    pub(crate) fn is_below_bound(self) -> bool {
        self.0 <= taskplane_store::tasks::COUNT_BOUND
    }
}
