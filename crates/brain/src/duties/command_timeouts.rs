//! Ends commands that were not answered in time, and records ends that the store could not take before.

use std::time::Duration;

use crate::brain::Brain;

const EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(brain: Brain) {
    let mut ticker = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            _ = ticker.tick() => {
                brain.commands.record_waiting_ends().await;
                brain.commands.end_overdue().await;
            }
        }
    }
}
