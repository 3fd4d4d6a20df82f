//! Asks agents about tasks that are under way for too long, and calls lost those of which nothing is found. Of several brains the
//! leader does it.

use std::time::Duration;

use crate::brain::Brain;
use crate::lost::Reconciler;

/// After a failure of the store.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Who does not lead looks so often whether it does.
const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(brain: Brain) {
    let mut reconciler = Reconciler::default();
    loop {
        let pause = if brain.leadership.is_mine() {
            // A step that is broken off has done no harm: what it asked is only asked again.
            tokio::select! {
                () = brain.stop.cancelled() => return,
                stepped = reconciler.step(&brain) => stepped.unwrap_or_else(|error| {
                    tracing::debug!(%error, "tasks that are under way for long could not be looked at; trying again soon");
                    TRY_AGAIN
                }),
            }
        } else {
            reconciler = Reconciler::default();
            EVERY
        };
        tokio::select! {
            () = brain.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
