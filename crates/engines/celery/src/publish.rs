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
    shared.broker.publish(new, &outgoing).await?;
    let observer = lock(&shared.observer).clone();
    if let Some(observer) = observer {
        observer.record(intake::task(clock::now(), outgoing.message.sent(&new.queue))).await;
    }
    Ok(())
}
