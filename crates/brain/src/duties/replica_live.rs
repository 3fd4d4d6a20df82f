//! Tells other brains what changed in projects that are read there.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::brain::Brain;
use crate::live::Change;
use crate::replicas::Message;

/// Between two messages: at most ten a second.
const PAUSE: Duration = Duration::from_millis(100);
/// Most bytes of one message; beyond it, only numbers are told.
const MOST: usize = 128 << 10;

pub(super) async fn run(brain: Brain) {
    if brain.replicas.store().is_none() {
        return;
    }
    let mut reads = Vec::new();
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            () = brain.live.to_tell() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => brain.live.forget_readers(Instant::now()),
        }
        let now = brain.live.reads();
        if now != reads {
            reads = now;
            brain.replicas.look_again();
        }
        let changes = brain.live.take_outgoing();
        if !changes.is_empty() {
            tell(&brain, changes).await;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn tell(brain: &Brain, mut changes: Vec<Change>) {
    let size = |changes: &[Change]| serde_json::to_string(changes).map_or(usize::MAX, |text| text.len());
    if size(&changes) > MOST {
        changes.iter_mut().for_each(|change| change.items.clear());
    }
    let projects: BTreeSet<u64> = changes.iter().map(|change| change.project).collect();
    if let Err(error) = brain.replicas.tell_now(None, &Message::Live { changes }).await {
        tracing::debug!(%error, "other brains were not told what changed");
        for project in projects {
            brain.replicas.tell(None, Message::Resync { project: Some(project) });
        }
    }
}
