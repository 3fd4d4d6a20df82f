//! What the brain does by itself, one file each. What only one of several brains should do asks [`crate::replicas::Leadership`]
//! before each step: folding statistics, indexing, retention, judging the runs of schedules, asking about tasks that may be
//! lost, and tidying up after brains that are gone.

mod bulk_jobs;
mod command_timeouts;
mod fold_statistics;
mod heard;
mod index_tasks;
mod leader;
mod lost_tasks;
mod problem_watch;
mod replica_hear;
mod replica_live;
mod replica_look;
mod replica_tell;
mod retention;
mod revoked_tokens;
mod schedule_runs;

use crate::brain::Brain;

/// Starts all duties; they end with the brain.
pub(crate) fn start(brain: &Brain) {
    brain.tasks.spawn(command_timeouts::run(brain.clone()));
    brain.tasks.spawn(bulk_jobs::run(brain.clone()));
    brain.tasks.spawn(heard::run(brain.clone()));
    brain.tasks.spawn(fold_statistics::run(brain.clone()));
    brain.tasks.spawn(index_tasks::run(brain.clone()));
    brain.tasks.spawn(revoked_tokens::run(brain.clone()));
    brain.tasks.spawn(leader::run(brain.clone()));
    brain.tasks.spawn(retention::run(brain.clone()));
    brain.tasks.spawn(schedule_runs::run(brain.clone()));
    brain.tasks.spawn(lost_tasks::run(brain.clone()));
    brain.tasks.spawn(problem_watch::run(brain.clone()));
    start_replica(brain);
}

/// What a brain does that may have others beside it.
fn start_replica(brain: &Brain) {
    let Some(ends) = brain.replicas.take_ends() else { return };
    brain.tasks.spawn(replica_look::run(brain.clone()));
    brain.tasks.spawn(replica_hear::run(brain.clone(), ends.bus));
    brain.tasks.spawn(replica_tell::run(brain.clone(), ends.outbox));
    brain.tasks.spawn(replica_live::run(brain.clone()));
}
