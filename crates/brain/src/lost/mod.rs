//! Tasks that are under way for too long: agents are asked how they stand, and those of which nothing is found are called lost.
//!
//! [`Reconciler`] walks over the tasks that have not ended, page by page. Those that are due wait in a line per agent; each agent
//! is asked about some of them at a time, by `query_state`, and what it answers is judged ([`taskplane_model::stuck`]). What the
//! reconciler remembers only spares work: whoever begins to lead begins anew.

mod answer;
mod memory;
mod project;
mod surroundings;
mod typical;
mod walk;

use std::collections::BTreeMap;
use std::time::Duration;

use taskplane_store::StoreError;

use crate::brain::Brain;
use project::ProjectWatch;

/// Longest time between two steps: so soon a new project is looked at.
const IDLE: Duration = Duration::from_secs(5);

/// Takes the steps for all projects.
#[derive(Default)]
pub(crate) struct Reconciler {
    projects: BTreeMap<u64, ProjectWatch>,
}

impl Reconciler {
    /// One step in each project, which is a bounded piece of work. Returns when to take the next.
    ///
    /// # Errors
    /// When the store cannot be read or written; the next step makes up for it.
    pub(crate) async fn step(&mut self, brain: &Brain) -> Result<Duration, StoreError> {
        let projects: Vec<u64> = brain.store.projects().await?.into_iter().map(|project| project.id).collect();
        self.projects.retain(|id, _| projects.contains(id));
        let mut pause = IDLE;
        for id in projects {
            if brain.stop.is_cancelled() || !brain.leadership.is_mine() {
                break;
            }
            let watch = self.projects.entry(id).or_insert_with(|| ProjectWatch::new(id));
            pause = pause.min(watch.step(brain).await?);
        }
        Ok(pause)
    }
}
