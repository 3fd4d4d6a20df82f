//! Measures a real brain process from outside, verifies what it claims, and prints JSON. One file per measurement.

mod backup;
mod brain_process;
mod connections;
mod fill;
mod ingest;
mod live;
mod load;
mod open_files;
mod reads;
mod report;
mod retention;
mod steady;
mod target;
mod verify;
mod workload;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures a real brain and prints what it found as JSON. Without a command: `ingest`.
#[derive(Debug, Parser)]
#[command(name = "taskplane-bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    measure: Option<Measure>,
    #[command(flatten)]
    ingest: ingest::Options,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// Load a brain with events, and verify what it acked.
    Ingest(ingest::Options),
    /// Connect many idle agents, then kill the brain and let all come back at once.
    Connections(connections::Options),
    /// Open many dashboards while events come in.
    Live(live::Options),
    /// Store millions of tasks.
    Fill(fill::Options),
    /// Read everything that can be read of a store that was filled, while events come in.
    Reads(reads::Options),
    /// Drop the oldest of the tasks of a store that was filled, while events come in.
    Retention(retention::Options),
    /// Back up a store that was filled, while events come in.
    Backup(backup::Options),
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.measure.unwrap_or(Measure::Ingest(cli.ingest)) {
        Measure::Ingest(options) => ingest::run(&options).await,
        Measure::Connections(options) => connections::run(&options).await,
        Measure::Live(options) => live::run(&options).await,
        Measure::Fill(options) => fill::run(&options).await,
        Measure::Reads(options) => reads::run(&options).await,
        Measure::Retention(options) => retention::run(&options).await,
        Measure::Backup(options) => backup::run(&options).await,
    }
}
