//! Several brains on one database, behind any load balancer.
//!
//! Whatever matters is decided in the database: a batch counts once, because its number is checked where it is stored; a command is
//! sent once, because whoever sends it changes its row from pending first; a stream belongs to its latest opening; one brain
//! leads, because it has the lease. What brains tell one another on the bus makes that known within milliseconds. When something
//! was missed it is read from the tables, which each brain looks at once a second.
//!
//! **Two connections of one stream.** An agent that moves from brain A to brain B may leave a connection behind at A that is still
//! being read. Its batches and those of the new one are the same stream with the same numbers, and arrive in any order:
//!
//! * *Nothing counts twice.* Numbers are checked and advanced in the transaction that stores the batch, under the project's lock.
//!   The second of two equal batches is a replay, whichever connection brought it.
//! * *No ack is wrong.* An ack says where the stream stands in the database, never what a connection has handed over. The first ack
//!   of the new connection is read in the transaction that opens the stream. What the old one stores after that only means that
//!   the agent sends some batches again.
//! * *Nothing is jumped.* Each connection brings its batches in order, and behind one that was refused brings none (`ingest/inlet.rs`).
//!   The new connection begins behind its first ack. So a batch is stored only when those before it were stored, or were
//!   lost by the agent itself.
//! * *The newer connection wins.* Openings are numbered under the project's lock. A connection learns of a later opening when it
//!   is told, or when the brain next reads who is connected elsewhere, and is closed with 4009 then; that is a courtesy to the
//!   agent, and nothing above depends on it. An opening that comes to know of a later one while it is registered closes itself.

mod elsewhere;
mod leadership;
mod message;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_model::Timestamp;
use taskplane_store::replicas::{Bus, ConnectionChanges, NewReplica, PeerKey, Replica, ReplicaConnection};
use taskplane_store::{ReplicaStore, Store, StoreError};
use tokio::sync::{Notify, mpsc};

use crate::gateway::{AgentPresence, Connections, Target};
use elsewhere::{Elsewhere, News};
pub use leadership::Leadership;
pub(crate) use message::{ConnectionsTold, ForwardedCommand, Message};

/// How a brain is known among those on its database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaName {
    /// Its name, for people; a random one if it is empty.
    pub name: String,
    /// Where other brains reach it, such as `http://10.0.0.7:7440`, if they do.
    pub peer_url: Option<String>,
}

impl ReplicaName {
    pub(crate) fn into_new(self, key: PeerKey) -> NewReplica {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let name = if self.name.is_empty() { random() } else { self.name };
        NewReplica { name, peer_url: self.peer_url, peer_key: Some(key) }
    }
}

/// Most messages that wait to be told.
const WAITING: usize = 10_000;

/// The brains on the database, as this one sees them. Cheap to clone.
#[derive(Clone)]
pub struct Replicas {
    shared: Arc<Shared>,
}

struct Shared {
    store: Option<Arc<dyn ReplicaStore>>,
    elsewhere: Mutex<Elsewhere>,
    outbox: mpsc::Sender<(Option<u32>, Message)>,
    /// There was no room in the outbox.
    has_dropped: AtomicBool,
    ends: Mutex<Option<Ends>>,
    look: Notify,
}

/// What comes in from the other brains, and what waits to go out to them.
pub(crate) struct Ends {
    /// What they tell.
    pub(crate) bus: Box<dyn Bus>,
    /// What they are told, and which one of them, if not all.
    pub(crate) outbox: mpsc::Receiver<(Option<u32>, Message)>,
}

impl Replicas {
    /// Enters this brain among those on its database, if that can be shared.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) async fn enter(store: &dyn Store, me: NewReplica) -> Result<Self, StoreError> {
        let store = store.replicas();
        let (outbox, waiting) = mpsc::channel(WAITING);
        let ends = match &store {
            Some(store) => Some(Ends { bus: store.join(me).await?, outbox: waiting }),
            None => None,
        };
        let (elsewhere, ends, look) = (Mutex::default(), Mutex::new(ends), Notify::new());
        let has_dropped = AtomicBool::new(false);
        Ok(Self { shared: Arc::new(Shared { store, elsewhere, outbox, has_dropped, ends, look }) })
    }

    /// The database's verbs for it; `None` when this brain has its database alone.
    pub(crate) fn store(&self) -> Option<Arc<dyn ReplicaStore>> {
        self.shared.store.clone()
    }

    /// The two ends; once.
    pub(crate) fn take_ends(&self) -> Option<Ends> {
        self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tells one brain something, or all, as soon as possible. False when too much waits already.
    pub(crate) fn tell(&self, to: Option<u32>, message: Message) -> bool {
        let is_told = self.shared.store.is_none() || self.shared.outbox.try_send((to, message)).is_ok();
        if !is_told {
            self.shared.has_dropped.store(true, Ordering::Relaxed);
        }
        is_told
    }

    /// True, once, when something could not be told because too much waited.
    pub(crate) fn take_dropped(&self) -> bool {
        self.shared.has_dropped.swap(false, Ordering::Relaxed)
    }

    /// Tells a brain something now.
    ///
    /// # Errors
    /// When it cannot be told, or nobody knows whether it was.
    pub(crate) async fn tell_now(&self, to: Option<u32>, message: &Message) -> Result<(), StoreError> {
        let Some(store) = &self.shared.store else { return Ok(()) };
        let text = serde_json::to_string(message).map_err(|error| StoreError::Internal(error.to_string()))?;
        store.tell(to, text).await
    }

    /// Asks for another look at the tables, soon.
    pub(crate) fn look_again(&self) {
        self.shared.look.notify_one();
    }

    /// Waits until a look is asked for.
    pub(crate) async fn look_asked(&self) {
        self.shared.look.notified().await;
    }

    /// Something was missed: all that is known has to be read again.
    pub(crate) fn doubt(&self) {
        self.lock().doubt();
        self.look_again();
    }

    /// Takes note of who is here besides this brain.
    pub(crate) fn update(&self, others: &[Replica]) -> News {
        self.lock().update(others)
    }

    /// Takes note of what is read live at a brain; returns what is new.
    pub(crate) fn reads(&self, run: u32, projects: &[u64]) -> Vec<u64> {
        self.lock().reads(run, projects)
    }

    /// Projects that are read live at other brains.
    pub(crate) fn all_reads(&self) -> BTreeSet<u64> {
        self.lock().all_reads()
    }

    /// Takes note of what a brain tells of its connections. False when it has to be read instead.
    pub(crate) fn apply(&self, run: u32, before: u64, after: u64, changes: ConnectionChanges) -> bool {
        self.lock().apply(run, before, after, changes)
    }

    /// Takes note of all connections of a brain.
    pub(crate) fn replace(&self, run: u32, changes: u64, connections: Vec<ReplicaConnection>) {
        self.lock().replace(run, changes, connections);
    }

    /// Number of the latest opening of a stream at other brains; 0 if there is none.
    pub(crate) fn opening(&self, stream: u64) -> u64 {
        self.lock().opening(stream)
    }

    /// How an agent is connected, here or elsewhere; `None` when it is not. Of two connections of one stream only the newer
    /// counts: the other is about to be closed.
    pub fn presence(&self, here: &Connections, agent: u64) -> Option<AgentPresence> {
        // By stream: the opening, since when, and when it was last heard. What is heard elsewhere stands in the database.
        let mut streams: BTreeMap<u64, (u64, Timestamp, Timestamp)> = BTreeMap::new();
        let mut count = |stream, opening, since, heard| {
            let newest = streams.entry(stream).or_insert((opening, since, heard));
            if opening >= newest.0 {
                *newest = (opening, since, heard);
            }
        };
        for (connection, heard) in here.of_agent(agent) {
            count(connection.stream, connection.opening, connection.connected_at, heard);
        }
        for connection in self.lock().of_agent(agent) {
            count(connection.stream, connection.opening, connection.connected_at, connection.connected_at);
        }
        Some(AgentPresence {
            connections: streams.len(),
            connected_at: streams.values().map(|(_, since, _)| *since).min()?,
            last_heard: streams.values().map(|(_, _, heard)| *heard).max()?,
        })
    }

    /// The connections of a project, here and elsewhere, that pass `wanted`, the newest first.
    pub(crate) fn targets(&self, here: &Connections, project: u64, wanted: impl Fn(&Target) -> bool) -> Vec<Target> {
        let mut targets = here.targets(project, &wanted);
        let elsewhere = self.lock();
        let target = |(run, connection): (u32, &ReplicaConnection)| Target::of(connection.clone(), Some(run));
        targets.extend(elsewhere.of_project(project).into_iter().map(target).filter(wanted));
        drop(elsewhere);
        targets.sort_unstable_by_key(|target| std::cmp::Reverse((target.opening, target.connection)));
        targets
    }

    fn lock(&self) -> MutexGuard<'_, Elsewhere> {
        // What a panic leaves half noted is read again when the next change does not fit.
        self.shared.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
