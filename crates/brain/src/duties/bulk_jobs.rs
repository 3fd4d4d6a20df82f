//! Takes the steps of bulk jobs. Of several brains the leader does it.

use std::time::Duration;

use crate::brain::Brain;
use crate::bulk::Runner;

/// After a failure of the store.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Who does not lead looks so often whether it does.
const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(brain: Brain) {
    let mut runner = Runner::default();
    loop {
        let pause = if brain.leadership.is_mine() {
            runner.step(&brain).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "bulk jobs could not be read; trying again soon");
                TRY_AGAIN
            })
        } else {
            runner = Runner::default();
            EVERY
        };
        tokio::select! {
            () = brain.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
