//! Turns noted changes into events of the live stream.

use std::time::Duration;

use crate::brain::Brain;
use crate::live::TICKS_PER_SECOND;

pub(super) async fn run(brain: Brain) {
    let mut ticker = tokio::time::interval(Duration::from_millis(1_000 / TICKS_PER_SECOND));
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            _ = ticker.tick() => brain.live.tick(),
        }
    }
}
