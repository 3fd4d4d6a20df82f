//! Purging a queue.

use taskplane_agent::engine::{CommandError, TaskObservation};
use taskplane_model::TaskEventKind;

use crate::{
    clock, intake,
    message::TaskMessage,
    queues::carries_tasks,
    shared::{Shared, lock},
};

/// Drops all waiting messages. Delivered ones (prefetched, delayed) are with the workers and stay there.
pub(crate) async fn purge(shared: &Shared, queue: &str) -> Result<u64, CommandError> {
    if !carries_tasks(queue) {
        return Err(CommandError::InvalidArgs(format!("{queue:?} is not the name of a task queue")));
    }
    // Before anything is dropped: on Redis, any list of the application would look like a queue.
    if !exists(shared, queue).await? {
        return Err(CommandError::NotFound(format!(
            "there is no queue {queue:?} on this broker: no worker consumes it and nothing declared it"
        )));
    }
    let purged = shared.broker.purge(queue).await?;
    tracing::info!(queue, purged = purged.count, "queue purged");
    tell(shared, queue, purged.messages).await;
    Ok(purged.count)
}

/// Tells of each dropped message that its task was cancelled.
async fn tell(shared: &Shared, queue: &str, dropped: Vec<TaskMessage>) {
    let Some(observer) = lock(&shared.observer).clone() else { return };
    for message in dropped {
        let mut seen = TaskObservation {
            kind: TaskEventKind::Revoked,
            exception_message: Some("purged from its queue".to_owned()),
            ..message.sent(queue)
        };
        let ts = clock::now();
        lock(&shared.tracker).observe(&mut seen, (None, None), ts);
        observer.record(intake::task(ts, seen)).await;
    }
}

/// True when the broker has the queue, or would make it for the first message.
pub(crate) async fn exists(shared: &Shared, queue: &str) -> Result<bool, CommandError> {
    let consumed = lock(&shared.workers).queues().contains(queue);
    shared.broker.has_queue(queue, consumed).await.map_err(|error| CommandError::Engine(error.to_string()))
}
