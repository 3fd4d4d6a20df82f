//! A whole deployment for one test: a Redis, a Celery worker, a brain and an agent, each a real process with its own port
//! and folder, and all of them gone when the test ends.

mod accounting;
mod api;
mod brain_store;
mod celery;
mod dice;
mod disk;
mod faulty_disk;
mod feed;
mod firewall;
mod flood;
mod pipeline;
mod pressure;
mod process;
mod replicas;
mod scripted_agent;
mod stack;

pub use accounting::{Account, account, all_tasks, check_agents, statistics, stored_events};
pub use api::{Api, no_worker_replied};
pub use brain_store::BrainStore;
pub use celery::{CeleryApp, Producer};
pub use dice::Dice;
pub use disk::SmallDisk;
pub use faulty_disk::FaultyDisk;
pub use feed::{Epoch, Feed, captured, patient_redis};
pub use firewall::Firewall;
pub use flood::{Flood, FloodPlan};
pub use pipeline::{Ground, Pipeline, PipelineOptions, Site};
pub use pressure::{pause, peak_memory, resume};
pub use process::{Process, binary, repository, run_binary};
pub use replicas::{FedAgent, Replica, Replicas};
pub use scripted_agent::ScriptedAgent;
pub use stack::{Stack, StackOptions};
pub use taskplane_testkit::{Network, free_port};

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take to come true. Generous: a worker alone takes a quarter of a minute to start on a busy machine, and an
/// agent that was refused for a while waits for up to a minute before it connects again.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again until `condition` gives something, and fails naming `what` when [`PATIENCE`] is over.
///
/// # Errors
/// When the condition does not come true in time.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    eventually_within(PATIENCE, what, condition).await
}

/// As [`eventually`], with a patience of its own for what takes long by design.
///
/// # Errors
/// When the condition does not come true in time.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let until = Instant::now() + patience;
    let mut last_error = None;
    loop {
        match condition().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last_error = Some(error),
        }
        if Instant::now() >= until {
            bail!("waited in vain for: {what}; last error: {last_error:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Says what a test found; to be seen with `--nocapture`, or when it fails.
#[expect(clippy::print_stdout, reason = "it is for whoever runs the test")]
pub fn say(found: &str) {
    println!("{found}");
}
