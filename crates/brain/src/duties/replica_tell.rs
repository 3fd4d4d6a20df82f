//! Tells other brains on the database what waits to be told, in order.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::brain::Brain;
use crate::replicas::Message;

/// How long the bus is left alone after a failure.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn run(brain: Brain, mut outbox: mpsc::Receiver<(Option<u32>, Message)>) {
    while let Some((to, message)) = tokio::select! {
        () = brain.stop.cancelled() => None,
        waiting = outbox.recv() => waiting,
    } {
        // Of what there was no room for, only this matters: the rest is read from tables.
        if brain.replicas.take_dropped() {
            brain.replicas.tell(None, Message::Resync { project: None });
        }
        while let Err(error) = brain.replicas.tell_now(to, &message).await {
            tracing::debug!(%error, "what other brains should know waits");
            tokio::select! {
                () = brain.stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}
