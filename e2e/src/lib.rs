//! A whole deployment for one test: a Redis, a Celery worker, a brain and an agent, each a real process with its own port
//! and folder, and all of them gone when the test ends.

mod api;
mod celery;
mod process;
mod stack;

pub use api::Api;
pub use celery::{CeleryApp, Producer};
pub use process::{Process, binary, repository, run_binary};
pub use stack::{Stack, StackOptions};
pub use taskplane_testkit::free_port;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take to come true. Generous: a busy machine must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until `condition` gives something, and fails naming `what` when [`PATIENCE`] is over.
///
/// # Errors
/// When the condition does not come true in time.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
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
