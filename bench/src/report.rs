//! What was measured, as JSON.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::brain_process::Usage;
use crate::ingest::Options;
use crate::load::Load;
use crate::verify::Verified;

#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    agents: usize,
    batch: usize,
    window: usize,
    rate_asked: u64,
    seconds: f64,
    events_acked: u64,
    events_per_second: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    cpu_seconds_per_million_events: f64,
    idle_rss_mib: f64,
    peak_rss_mib: f64,
    bytes_on_disk_per_event: Option<f64>,
    verified: &'a Verified,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        options: &Options,
        load: &Load,
        before: &Usage,
        after: &Usage,
        idle_rss_mib: f64,
        bytes_on_disk: Option<u64>,
        verified: &'a Verified,
    ) -> Self {
        let events = load.events_acked.max(1) as f64;
        let seconds = load.elapsed.as_secs_f64().max(f64::EPSILON);
        Self {
            agents: options.agents,
            batch: options.batch,
            window: options.window,
            rate_asked: options.rate,
            seconds: round(seconds),
            events_acked: load.events_acked,
            events_per_second: (events / seconds).round(),
            ack_p50_ms: round(quantile_ms(&load.ack_latencies, 0.50)),
            ack_p99_ms: round(quantile_ms(&load.ack_latencies, 0.99)),
            cpu_seconds_per_million_events: round((after.cpu_seconds - before.cpu_seconds) / events * 1e6),
            idle_rss_mib: round(idle_rss_mib),
            peak_rss_mib: round(after.peak_rss_mib),
            bytes_on_disk_per_event: bytes_on_disk.map(|bytes| round(bytes as f64 / events)),
            verified,
        }
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
