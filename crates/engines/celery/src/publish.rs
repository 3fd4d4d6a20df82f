//! Publishing a task.

use taskplane_agent::engine::CommandError;

use crate::{
    broker::PublishError,
    clock, intake,
    message::NewTask,
    shared::{Shared, lock},
};

/// Publishes a task to its queue, and tells of it.
pub(crate) async fn publish(shared: &Shared, new: &NewTask) -> Result<(), PublishError> {
    let outgoing = new.outgoing().map_err(|error| PublishError::NotSent(CommandError::Engine(error.to_string())))?;
    // Known before it is sent: whoever looks into the queue next must not tell of it a second time.
    lock(&shared.tracker).waiting(&outgoing.message, &new.queue);
    // Before it is, too: a worker may be done with it by the time the broker has confirmed it.
    let sent_at = clock::now();
    shared.broker.publish(new, &outgoing).await?;
    let observer = lock(&shared.observer).clone();
    if let Some(observer) = observer {
        observer.record(intake::task(sent_at, outgoing.message.sent(&new.queue))).await;
    }
    Ok(())
}
