//! Watches what workers and queues do over time, which no single look shows. Every brain does it for itself: what is remembered is small,
//! and any of them may be asked.

use std::collections::BTreeSet;
use std::time::Duration;

use taskplane_store::StoreError;
use tokio::time::MissedTickBehavior;

use crate::brain::Brain;
use crate::{clock, problems};

const EVERY: Duration = Duration::from_secs(5);
/// What has to be searched for among tasks is looked for in every so many looks.
const CLOSER_EVERY: u32 = 12;

pub(super) async fn run(brain: Brain) {
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 1_u32.. {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            _ = ticker.tick() => {}
        }
        tokio::select! {
            () = brain.stop.cancelled() => return,
            looked = look(&brain, round.is_multiple_of(CLOSER_EVERY)) => if let Err(error) = looked {
                tracing::warn!(%error, "what workers and queues do could not be looked at; trying again soon");
            }
        }
    }
}

async fn look(brain: &Brain, closer: bool) -> Result<(), StoreError> {
    let projects = brain.store.projects().await?;
    brain.watches.keep(&projects.iter().map(|project| project.id).collect::<BTreeSet<u64>>());
    for project in projects {
        problems::look_on(brain, project.id, clock::now()).await?;
        if closer {
            problems::look_closer(brain, project.id, clock::now()).await?;
        }
    }
    Ok(())
}
