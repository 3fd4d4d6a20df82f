//! What was measured, as JSON.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::brain_process::Usage;
use crate::ingest::{Options, Starting};
use crate::load::{Acked, Load};
use crate::verify::Verified;

/// Agents that come back at once find a brain that has just started.
const FIRST: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    /// Tasks that were stored before.
    tasks_before: u64,
    agents: usize,
    batch: usize,
    window: usize,
    rate_asked: u64,
    seconds: f64,
    events_acked: u64,
    events_per_second: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    /// From starting the process until it says that it is ready, and until the first ack.
    ready_ms: f64,
    first_ack_ms: f64,
    /// Acks of the first five seconds of load.
    first_acks: Latencies,
    cpu_seconds_per_million_events: f64,
    idle_rss_mib: f64,
    peak_rss_mib: f64,
    bytes_on_disk_per_event: Option<f64>,
    verified: &'a Verified,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        options: &Options,
        starting: &Starting,
        load: &Load,
        before: &Usage,
        after: &Usage,
        bytes_on_disk: Option<u64>,
        verified: &'a Verified,
    ) -> Self {
        let events = load.events_acked.max(1) as f64;
        let seconds = load.elapsed.as_secs_f64().max(f64::EPSILON);
        let began = starting.load_began;
        let first_ack = load.acks.first().map_or(Duration::ZERO, |ack| ack.at - starting.spawned);
        Self {
            tasks_before: starting.tasks,
            agents: options.agents,
            batch: options.batch,
            window: options.window,
            rate_asked: options.rate,
            seconds: round(seconds),
            events_acked: load.events_acked,
            events_per_second: (events / seconds).round(),
            ack_p50_ms: round(quantile_ms(&load.ack_latencies, 0.50)),
            ack_p99_ms: round(quantile_ms(&load.ack_latencies, 0.99)),
            ready_ms: round(starting.ready.as_secs_f64() * 1e3),
            first_ack_ms: round(first_ack.as_secs_f64() * 1e3),
            first_acks: Latencies::between(&load.acks, began, began + FIRST),
            cpu_seconds_per_million_events: round((after.cpu_seconds - before.cpu_seconds) / events * 1e6),
            idle_rss_mib: round(before.rss_mib),
            peak_rss_mib: round(after.peak_rss_mib),
            bytes_on_disk_per_event: bytes_on_disk.map(|bytes| round(bytes as f64 / events)),
            verified,
        }
    }
}

/// Acks of some stretch of time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latencies {
    pub(crate) batches: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) most_ms: f64,
}

impl Latencies {
    /// Of the acks that came from `from` on and before `until`.
    pub(crate) fn between(acks: &[Acked], from: Instant, until: Instant) -> Self {
        let within = acks.iter().filter(|ack| (from..until).contains(&ack.at));
        let mut took: Vec<Duration> = within.map(|ack| ack.took).collect();
        took.sort_unstable();
        let at = |q| round(quantile_ms(&took, q));
        Self { batches: took.len(), p50_ms: at(0.5), p99_ms: at(0.99), most_ms: at(1.0) }
    }
}

/// Prints a report.
#[expect(clippy::print_stdout, reason = "the report is this program's output")]
pub(crate) fn print(report: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}

pub(crate) fn quantile_ms(sorted: &[Duration], q: f64) -> f64 {
    let at = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
}

pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
