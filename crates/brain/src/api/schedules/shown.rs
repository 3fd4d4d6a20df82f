//! What is shown of the schedules of a project.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_model::schedule_run::{ScheduleKey, ScheduleRun, ScheduleWatch};
use taskplane_store::StoreError;

use crate::api::types::{Known, Schedule};
use crate::brain::Brain;
use crate::schedules::problem::{self, SchedulerHealth};
use crate::schedules::told::{ToldSchedule, merged};
use crate::schedules::{judge, words};

/// Runs that are foretold.
const NEXT_RUNS: usize = 5;

/// The schedules of a project, how far they were judged, and how their schedulers do.
pub(super) struct Schedules {
    pub(super) told: BTreeMap<ScheduleKey, ToldSchedule>,
    watches: BTreeMap<ScheduleKey, ScheduleWatch>,
    pub(super) health: BTreeMap<String, SchedulerHealth>,
}

impl Schedules {
    pub(super) async fn read(brain: &Brain, project: u64) -> Result<Self, StoreError> {
        let told = merged(brain, brain.store.schedules(project).await?);
        let watches = brain.store.schedule_watches(project).await?.into_iter().collect();
        let is_connected = |agent| brain.replicas.presence(&brain.connections, agent).is_some();
        let health = problem::schedulers(&told, &watches, is_connected);
        Ok(Self { told, watches, health })
    }

    /// One schedule with its runs.
    pub(super) fn show(
        &self,
        key: ScheduleKey,
        told: ToldSchedule,
        last_runs: Vec<ScheduleRun>,
        now: Timestamp,
    ) -> Schedule {
        let watch = self.watches.get(&key);
        let schedule = &told.schedule;
        let timing = judge::timing_of(schedule);
        let known = Known {
            words: words::plain(&timing.kind, &timing.expression, timing.timezone.as_deref()).ok(),
            next_runs: judge::next_runs(watch, schedule, now, NEXT_RUNS),
            last_runs,
            problem: problem::of_schedule(&told, watch, self.health.get(&key.scheduler)),
        };
        Schedule::new(key.scheduler, told, known)
    }
}
