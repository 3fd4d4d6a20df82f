//! What agents tell of schedulers.

use taskplane_protocol::frame::ScheduleSync;
use taskplane_store::Store;
use taskplane_store::fleet::SchedulesTold;

use super::BatchOrigin;
use crate::clock;

/// Keeps what a `schedule_sync` says. It is not acked, and a failure is only logged: the next full one, at most five minutes
/// away, makes up for it.
pub(crate) async fn keep_schedules(store: &dyn Store, origin: &BatchOrigin, sync: ScheduleSync) {
    let ScheduleSync { scheduler, full, schedules, removed } = sync;
    let told = SchedulesTold { project: origin.project, agent: origin.agent, scheduler, full, schedules, removed };
    if let Err(error) = store.keep_schedules(told, clock::now()).await {
        tracing::warn!(%error, agent = origin.agent, "schedules were not kept; the agent tells them again");
    }
}
