//! The `taskplane` binary: arguments, configuration, wiring, terminal output. No logic.

mod api;
mod arguments;
mod commands;
mod config_file;
mod output;
mod store;
mod table;
mod telemetry;
mod wrong_usage;

use std::process::ExitCode;

use arguments::Command;
use wrong_usage::WrongUsage;

/// The ingest path allocates and frees across threads: the store's `ingest_rate` example took 0.1 to 0.6 CPU seconds more per
/// million events with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes: 0 done, 1 failed, 2 wrong usage.
fn main() -> ExitCode {
    // Fails only when there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match config_file::parse_arguments() {
        Ok(cli) => cli,
        Err(error) => {
            output::problem(&error);
            return ExitCode::from(2);
        }
    };
    telemetry::start(&cli.log, cli.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::problem(&anyhow::Error::new(error).context("starting the async runtime"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Brain(options) => commands::brain::run(options).await,
            Command::Agent(options) => commands::agent::run(options).await,
            Command::Token(command) => commands::token::run(command).await,
            Command::ApiKey(command) => commands::api_key::run(command).await,
            Command::SigninLink(options) => commands::signin_link::run(options).await,
            Command::Backup(options) => commands::backup::run(options).await,
            Command::Restore(options) => commands::restore::run(options).await,
            Command::Doctor(options) => commands::doctor::run(options).await,
            Command::Problems(command) => commands::problems::run(command).await,
            Command::Tasks(command) => commands::tasks::run(command).await,
            Command::Queues(command) => commands::queues::run(command).await,
            Command::Schedules(command) => commands::schedules::run(command).await,
            Command::Workers(command) => commands::workers::run(command).await,
            Command::Agents(command) => commands::agents::run(command).await,
            Command::Conformance(options) => commands::conformance::run(options).await,
        }
    });
    // Do not wait for threads that are stuck in a system call.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::problem(&error);
            if error.is::<WrongUsage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
