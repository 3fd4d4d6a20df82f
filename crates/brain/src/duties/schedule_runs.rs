//! Looks what schedules should have run, and whether they have. Of several brains the leader does it.

use std::time::Duration;

use taskplane_store::StoreError;
use tokio::time::MissedTickBehavior;

use crate::brain::Brain;
use crate::clock;
use crate::schedules;

const EVERY: Duration = Duration::from_secs(5);

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
            looked = look(&brain) => if let Err(error) = looked {
                tracing::warn!(%error, "what schedules have run could not be looked at; trying again soon");
            }
        }
    }
}

async fn look(brain: &Brain) -> Result<(), StoreError> {
    if !brain.leadership.is_mine() {
        return Ok(());
    }
    for project in brain.store.projects().await? {
        if brain.leadership.is_mine() {
            schedules::look(brain, project.id, clock::now()).await?;
        }
    }
    Ok(())
}
