//! One file per command.

pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod api_key;
pub(crate) mod backup;
pub(crate) mod brain;
pub(crate) mod conformance;
pub(crate) mod doctor;
pub(crate) mod problems;
pub(crate) mod queues;
pub(crate) mod restore;
pub(crate) mod schedules;
pub(crate) mod signin_link;
pub(crate) mod tasks;
pub(crate) mod token;
pub(crate) mod workers;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

/// Who did it, in the audit: whoever may write to the store.
const ACTOR: &str = "command line";

/// A token that is cancelled by the first SIGINT or SIGTERM. A second one ends the process at once.
fn stop_on_signal() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        let wait = async |interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal| {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        wait(&mut interrupt, &mut terminate).await;
        cancel.cancel();
        wait(&mut interrupt, &mut terminate).await;
        std::process::exit(1);
    });
    Ok(stop)
}
