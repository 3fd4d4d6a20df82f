//! Writes down when agents were last heard, a few seconds' worth at a time.

use std::time::Duration;

use crate::brain::Brain;
use crate::live::Topic;

const EVERY: Duration = Duration::from_secs(5);

pub(super) async fn run(brain: Brain) {
    let mut ticker = tokio::time::interval(EVERY);
    loop {
        let stopping = tokio::select! {
            () = brain.stop.cancelled() => true,
            _ = ticker.tick() => false,
        };
        flush(&brain).await;
        if stopping {
            return;
        }
    }
}

async fn flush(brain: &Brain) {
    let (heard, projects) = brain.connections.take_heard();
    if heard.is_empty() {
        return;
    }
    if let Err(error) = brain.store.note_heard(heard).await {
        tracing::warn!(%error, "could not note when agents were last heard");
    }
    for (project, agents) in projects {
        brain.live.note_uncounted(project, Topic::Agents, agents);
    }
}
