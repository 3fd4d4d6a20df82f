//! Keeps the search index close behind what is stored. Of several brains the leader does it.

use std::time::Duration;

use crate::brain::Brain;
use crate::clock;

/// Between two looks when there was nothing to do.
const EVERY: Duration = Duration::from_millis(250);
/// Least time between two steps when there is more.
const PAUSE: Duration = Duration::from_millis(10);
/// And at least so many times as long as the step took: what else the machine has to do comes first. The further the index is
/// behind, the larger are the segments that are made at once, and the less each task costs.
const PAUSES_PER_STEP: u32 = 3;

pub(super) async fn run(brain: Brain) {
    let mut has_failed = false;
    loop {
        let began = tokio::time::Instant::now();
        let step = if brain.leadership.is_mine() { brain.store.index_tasks(clock::now()).await } else { Ok(false) };
        let pause = match step {
            Ok(true) => {
                has_failed = false;
                PAUSE.max(began.elapsed() * PAUSES_PER_STEP)
            }
            Ok(false) => {
                has_failed = false;
                EVERY
            }
            // Searches then read more; while the store is away nothing can be stored either.
            Err(error) if has_failed => {
                tracing::debug!(%error, "could not index tasks");
                EVERY
            }
            Err(error) => {
                has_failed = true;
                tracing::warn!(%error, "could not index tasks for search; searching gets slower until that succeeds");
                EVERY
            }
        };
        tokio::select! {
            () = brain.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
