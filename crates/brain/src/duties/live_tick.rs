//! Turns noted changes into events of the live stream.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::brain::Brain;
use crate::live::TICKS_PER_SECOND;

const EVERY: Duration = Duration::from_millis(1_000 / TICKS_PER_SECOND);
/// After a while without changes, how long the first one waits for those that come with it.
const GATHER: Duration = Duration::from_millis(5);

/// Changes after a quiet while are told at once. While they do not stop, ticks keep their distance, without drifting.
pub(super) async fn run(brain: Brain) {
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            () = brain.live.noted() => {}
        }
        due = due.max(Instant::now() + GATHER);
        tokio::select! {
            () = brain.stop.cancelled() => return,
            () = sleep_until(due) => brain.live.tick(),
        }
        due += EVERY;
    }
}
