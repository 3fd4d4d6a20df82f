//! Publishing a task on Redis: into the list of its queue and priority.

use redis::AsyncCommands as _;
use taskplane_agent::engine::CommandError;

use super::{Link, bindings::key_for};
use crate::message::{NewTask, Outgoing};

pub(super) async fn publish(link: &Link, new: &NewTask, outgoing: &Outgoing) -> Result<(), CommandError> {
    let key = key_for(&new.queue, new.priority);
    let pushed: Result<u64, _> = link.run(async |c| c.lpush(key, &outgoing.raw).await).await;
    pushed
        .map(drop)
        .map_err(|error| CommandError::Engine(format!("{error}. The task may have been published, as {}", new.id)))
}
