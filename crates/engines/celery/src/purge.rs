//! Purging a queue: its four lists, counted and dropped in one transaction.

use taskplane_agent::engine::{CommandError, TaskObservation};
use taskplane_model::TaskEventKind;

use crate::{
    bindings::{carries_tasks, is_declared, keys},
    clock, intake,
    message::TaskMessage,
    shared::{Shared, lock},
};

/// Most messages of one list that are told as cancelled, since Celery itself tells nobody. Of a longer list the oldest.
const MAX_TOLD: isize = 10_000;

/// Drops all waiting messages. Delivered ones (prefetched, delayed) are with the workers and stay there.
pub(crate) async fn purge(shared: &Shared, queue: &str) -> Result<u64, CommandError> {
    if !carries_tasks(queue) {
        return Err(CommandError::InvalidArgs(format!("{queue:?} is not the name of a task queue")));
    }
    // Before anything is dropped: any list of the application would look like a queue.
    if !exists(shared, queue).await? {
        return Err(CommandError::NotFound(format!(
            "there is no queue {queue:?} on this broker: no worker consumes it and nothing declared it"
        )));
    }
    let lists = keys(queue);
    refuse_other_types(shared, &lists).await?;
    let dropped: Vec<(u64, Vec<Vec<u8>>)> = shared
        .broker
        .run(async |c| {
            let mut pipe = redis::pipe();
            pipe.atomic();
            for key in &lists {
                pipe.llen(key);
                pipe.lrange(key, -MAX_TOLD, -1);
            }
            pipe.del(&lists[..]).ignore();
            let (a, b, c2, d, e, f, g, h) = pipe.query_async(c).await?;
            Ok(vec![(a, b), (c2, d), (e, f), (g, h)])
        })
        .await
        .map_err(|error| CommandError::Engine(error.to_string()))?;
    let purged = dropped.iter().map(|(count, _)| count).sum();
    tracing::info!(queue, purged, "queue purged");
    tell(shared, queue, dropped.into_iter().flat_map(|(_, raw)| raw)).await;
    Ok(purged)
}

/// Redis deletes a key of any type: a transaction does not stop at the command that finds the wrong one.
async fn refuse_other_types(shared: &Shared, lists: &[String]) -> Result<(), CommandError> {
    let types: Vec<String> = shared
        .broker
        .run(async |c| {
            let mut pipe = redis::pipe();
            for key in lists {
                pipe.cmd("TYPE").arg(key);
            }
            pipe.query_async(c).await
        })
        .await
        .map_err(|error| CommandError::Engine(error.to_string()))?;
    match types.iter().find(|kind| !matches!(kind.as_str(), "list" | "none")) {
        Some(kind) => Err(CommandError::InvalidArgs(format!("a key of that name is no queue but a Redis {kind}"))),
        None => Ok(()),
    }
}

/// Tells of each dropped message that its task was cancelled.
async fn tell(shared: &Shared, queue: &str, dropped: impl Iterator<Item = Vec<u8>>) {
    let Some(observer) = lock(&shared.observer).clone() else { return };
    for message in dropped.filter_map(|raw| TaskMessage::read(&raw)) {
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

/// True when the queue is known, consumed, or declared.
pub(crate) async fn exists(shared: &Shared, queue: &str) -> Result<bool, CommandError> {
    if lock(&shared.queues).names.contains(queue) || lock(&shared.workers).queues().contains(queue) {
        return Ok(true);
    }
    is_declared(&shared.broker, queue).await.map_err(|error| CommandError::Engine(error.to_string()))
}
