//! Seeks to lead, and tidies up after brains that are gone while it does.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::brain::Brain;
use crate::clock;
use crate::replicas::Message;

/// A leader that is gone is followed within its lease and this.
const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(brain: Brain) {
    let Some(store) = brain.replicas.store() else { return };
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            _ = ticker.tick() => brain.leadership.seek().await,
        }
        if !brain.leadership.is_mine() {
            continue;
        }
        match store.bury(clock::now()).await {
            Ok(0) => {}
            Ok(ended) => {
                tracing::warn!(ended, "ended commands that a brain which is gone left open");
                brain.live.resync(None);
                brain.replicas.tell(None, Message::Resync { project: None });
            }
            Err(error) => tracing::warn!(%error, "could not tidy up after brains that are gone"),
        }
    }
}
