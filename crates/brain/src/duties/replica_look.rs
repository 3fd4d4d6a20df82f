//! Says once a second that this brain lives, what is read live here and who is connected to it, and looks who else is here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use taskplane_store::replicas::{ConnectionChanges, Replica};
use taskplane_store::{ReplicaStore, StoreError};
use tokio::time::{Instant, MissedTickBehavior};

use crate::brain::Brain;
use crate::live::Topic;
use crate::replicas::{ConnectionsTold, Message};

const EVERY: Duration = Duration::from_secs(1);
/// What happens to connections is collected for so long.
const GATHER: Duration = Duration::from_millis(20);
/// Most new connections that are told at once.
const MOST: usize = 1_000;
/// How long a stopping brain waits for its connections to end before it leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn run(brain: Brain) {
    let Some(store) = brain.replicas.store() else { return };
    let mut look = Look { brain, store, reads: Vec::new(), told: None, changes: 0 };
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leave_at: Option<Instant> = None;
    while leave_at.is_none_or(|at| look.brain.connections.count() > 0 && Instant::now() < at) {
        let outcome = tokio::select! {
            () = look.brain.stop.cancelled(), if leave_at.is_none() => {
                leave_at = Some(Instant::now() + LEAVE_WITHIN);
                Ok(())
            }
            _ = ticker.tick() => look.beat().await,
            () = look.brain.replicas.look_asked() => look.beat().await,
            () = look.brain.connections.changed() => {
                tokio::time::sleep(GATHER).await;
                look.tell_connections().await
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "other brains on this database may not see this one for a moment");
        }
    }
    if let Err(error) = look.store.leave().await {
        tracing::debug!(%error, "this brain left without a word");
    }
}

struct Look {
    brain: Brain,
    store: Arc<dyn ReplicaStore>,
    /// Projects that are read live here, as the others were told.
    reads: Vec<u64>,
    /// Connections that stand in the table; `None` when nobody knows what does.
    told: Option<HashSet<u64>>,
    /// The last change of ours.
    changes: u64,
}

impl Look {
    async fn beat(&mut self) -> Result<(), StoreError> {
        let reads = self.brain.live.reads();
        let here = self.store.beat(reads.clone()).await?;
        // First in the table: whoever looks there next must not find less than it was told.
        if reads != self.reads && self.brain.replicas.tell(None, Message::Reads { projects: reads.clone() }) {
            self.reads = reads;
        }
        let (own, others): (Vec<Replica>, Vec<Replica>) =
            here.into_iter().partition(|replica| replica.run == self.store.run());
        if own.first().is_none_or(|own| own.changes != self.changes) {
            // The others took this one for gone, or this is the beginning.
            self.told = None;
        }
        self.tell_connections().await?;
        self.brain.peers.update(&others);
        let news = self.brain.replicas.update(&others);
        for run in news.unread {
            self.read_connections(run).await?;
        }
        self.brain.live.set_elsewhere(self.brain.replicas.all_reads());
        for (run, project) in news.readers {
            self.brain.replicas.tell(Some(run), Message::Resync { project: Some(project) });
        }
        for (project, lost) in news.lost {
            self.brain.live.note_uncounted(project, Topic::Agents, lost);
        }
        Ok(())
    }

    /// Reads who is connected to a brain. Connections of ours whose streams were opened there later are closed.
    async fn read_connections(&self, run: u32) -> Result<(), StoreError> {
        let Some((changes, connections)) = self.store.connections(run).await? else { return Ok(()) };
        let openings: Vec<(u64, u64)> = connections.iter().map(|one| (one.stream, one.opening)).collect();
        self.brain.replicas.replace(run, changes, connections);
        openings.into_iter().for_each(|(stream, opening)| self.brain.connections.supersede(stream, opening));
        Ok(())
    }

    /// Writes down how our connections have changed, and tells the others.
    async fn tell_connections(&mut self) -> Result<(), StoreError> {
        loop {
            let all = self.told.is_none();
            let told = self.told.get_or_insert_default();
            let changes = ConnectionChanges { all, ..self.brain.connections.changes_since(told, MOST) };
            if changes == ConnectionChanges::default() {
                return Ok(());
            }
            let noted = self.store.note_connections(changes.clone()).await;
            // When the write failed, nobody knows what stands in the table.
            let Some((before, after)) = noted.inspect_err(|_| self.told = None)? else {
                self.told = None;
                return Ok(());
            };
            if !all && before != self.changes {
                self.told = None;
                continue;
            }
            let told = self.told.get_or_insert_default();
            told.extend(changes.opened.iter().map(|connection| connection.id));
            for id in &changes.closed {
                told.remove(id);
            }
            self.changes = after;
            // What nobody can fit to what it knows is read instead.
            let before = if all { u64::MAX } else { before };
            self.brain.replicas.tell(None, Message::Connections(ConnectionsTold::new(before, after, changes)));
        }
    }
}
