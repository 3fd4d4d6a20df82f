//! Checks and generators for developers.

mod openapi;
mod schema;
mod tidy;

use anyhow::Result;
use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "xtask")]
enum Task {
    /// Checks that crates depend on each other only in the allowed direction, and that files stay readable.
    Tidy,
    /// Writes dashboard/openapi.json from the API's code; with --check, fails when it is stale.
    Openapi {
        /// Write nothing; fail when the file is not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Writes docs/protocol/schema from the protocol's types; with --check, fails when a file there is stale.
    Schema {
        /// Write nothing; fail when a file is not what would be written.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Tidy => tidy::run(),
        Task::Openapi { check } => openapi::run(check),
        Task::Schema { check } => schema::run(check),
    }
}
