//! Publishing a task on Redis: into the list of its queue and priority.

use redis::AsyncCommands as _;
use taskplane_agent::engine::CommandError;

use super::{Link, bindings::key_for, layout::glob};
use crate::{
    broker::PublishError,
    message::{NewTask, Outgoing},
};

pub(super) async fn publish(link: &Link, new: &NewTask, outgoing: &Outgoing) -> Result<(), PublishError> {
    let key = link.layout.key(&key_for(&new.queue, new.priority));
    let right = format!("~{}*", glob(&link.layout.key(&new.queue)));
    let pushed: Result<u64, _> = link.run_once(&right, async |c| c.lpush(key, &outgoing.raw).await).await;
    pushed.map(drop).map_err(|error| {
        let why = format!("{error}. The task may have been published, as {}", new.id);
        PublishError::Unknown(CommandError::Engine(why))
    })
}
