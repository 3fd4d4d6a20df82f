//! Folds statistics into longer spans, so that long windows are cheap to read. Of several brains the leader does it.

use std::time::{Duration, Instant};

use taskplane_store::StoreError;
use tokio::time::MissedTickBehavior;

use crate::brain::Brain;
use crate::clock;

const EVERY: Duration = Duration::from_secs(10);
/// After each piece at least as long a time as it took belongs to others, and never less than this.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn run(brain: Brain) {
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            _ = ticker.tick() => {}
        }
        tokio::select! {
            () = brain.stop.cancelled() => return,
            folded = fold(&brain) => if let Err(error) = folded {
                // Nothing is wrong while it is not done: long windows are only slower to read.
                tracing::debug!(%error, "statistics could not be folded; trying again soon");
            }
        }
    }
}

async fn fold(brain: &Brain) -> Result<(), StoreError> {
    while brain.leadership.is_mine() {
        let began = Instant::now();
        if !brain.store.fold_statistics(clock::now()).await? {
            break;
        }
        tokio::time::sleep(began.elapsed().max(LEAST_PAUSE)).await;
    }
    Ok(())
}
