//! Several brains on one database: who is here, who is connected where, who leads, and how they tell one another.
//!
//! What is right stands in tables; what brains tell one another only makes it known sooner. Whatever is lost on the way is found
//! again by reading the tables, which a brain does whenever it hears [`BusEvent::Missed`], and a little of it once a second.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::agent::AgentProfile;
use taskplane_model::command::{Command, CommandOutcome};

use crate::Result;

/// A replica that has not said for so long that it lives, by the database's clock, is gone.
pub const GONE_AFTER: Duration = Duration::from_secs(5);
/// Most bytes that are told at once.
pub const MAX_TOLD: usize = 4 << 20;

/// Proves to a brain that a request comes from another one on its database: only they can read it. Its `Debug` form does not
/// tell it.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerKey(pub String);

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(…)")
    }
}

/// A brain as it enters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewReplica {
    /// Its name, for people.
    pub name: String,
    /// Where other brains reach it, such as `http://10.0.0.7:7440`, if they do.
    pub peer_url: Option<String>,
    /// What other brains show it when they pass a request on.
    pub peer_key: Option<PeerKey>,
}

/// A brain that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Number of its run; another one after each start.
    pub run: u32,
    /// Its name, for people.
    pub name: String,
    /// Where other brains reach it, if they do.
    pub peer_url: Option<String>,
    /// What to show it when a request is passed on.
    pub peer_key: Option<PeerKey>,
    /// The last change of its connections.
    pub changes: u64,
    /// Projects of which somebody reads the live stream there.
    pub reads: Vec<u64>,
}

/// Longest text of a vantage, in bytes.
const MAX_PLACE: usize = 255;

/// Where an agent stands, as one of its connections said: that decides which commands go to it. Several processes may connect by one
/// name, and stand in different places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vantage {
    /// Engines of which it keeps the messages as the workers of its own process or host received them.
    pub captures: Vec<String>,
    /// The host that it runs on; empty when it did not say.
    pub host: String,
    /// What its process does, such as `worker`; empty when it did not say.
    pub role: String,
}

impl Vantage {
    /// What an agent says of itself.
    pub fn of(profile: &AgentProfile) -> Self {
        let is_captured = |engine: &&String| profile.capabilities[engine.as_str()]["originals"] == "captured";
        let own = |text: Option<&str>| text.filter(|text| text.len() <= MAX_PLACE).unwrap_or_default().to_owned();
        Self {
            captures: profile.engines.iter().filter(is_captured).cloned().collect(),
            host: own(profile.metadata["hostname"].as_str()),
            role: own(profile.worker_role.as_deref()),
        }
    }
}

/// A connection of an agent, as other brains need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConnection {
    /// Its number in its brain.
    pub id: u64,
    /// Project.
    pub project: u64,
    /// Number of the agent.
    pub agent: u64,
    /// Name of the agent.
    pub agent_name: String,
    /// Number of the stream.
    pub stream: u64,
    /// See [`crate::ingest::OpenedStream::opening`].
    pub opening: u64,
    /// Its engines.
    pub engines: Vec<String>,
    /// Since when it is there.
    pub connected_at: Timestamp,
    /// Where it stands.
    pub vantage: Vantage,
}

/// What a brain has to say of its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionChanges {
    /// True when `opened` are all there are.
    pub all: bool,
    /// New ones.
    pub opened: Vec<ReplicaConnection>,
    /// Numbers of those that are gone.
    pub closed: Vec<u64>,
}

/// What a brain hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// Another brain told something.
    Told {
        /// Number of its run.
        from: u32,
        /// What it told.
        text: String,
    },
    /// Something may have been missed, or this is the beginning: what matters has to be read.
    Missed,
}

/// The hearing end of the bus.
#[async_trait]
pub trait Bus: Send {
    /// Waits for what is next; `None` when the store is gone.
    async fn hear(&mut self) -> Option<BusEvent>;
}

/// A database that several brains may share. Everything here is about the brain whose store it is.
#[async_trait]
pub trait ReplicaStore: Send + Sync {
    /// Number of this run; positive.
    fn run(&self) -> u32;

    /// Enters this brain, and listens from now on. To be called once.
    async fn join(&self, me: NewReplica) -> Result<Box<dyn Bus>>;

    /// Says that this brain lives, and which projects are read live here. Returns all brains that are here, this one included:
    /// with another number of changes than it knows of itself when it had been taken for gone.
    ///
    /// Who has been without the database itself for a moment takes nobody for gone for another moment: it was away for the
    /// others as well.
    async fn beat(&self, reads: Vec<u64>) -> Result<Vec<Replica>>;

    /// Takes this brain out, with its connections and leases.
    async fn leave(&self) -> Result<()>;

    /// Writes down how the connections of this brain have changed. Returns the number of the change before and that of this
    /// one; `None`, and nothing is written, when this brain has been taken for gone and has to enter again by its next beat.
    async fn note_connections(&self, changes: ConnectionChanges) -> Result<Option<(u64, u64)>>;

    /// The connections of a brain, and the number of their last change; `None` when it is gone.
    async fn connections(&self, run: u32) -> Result<Option<(u64, Vec<ReplicaConnection>)>>;

    /// Takes or renews a lease; true when this brain has it for that long, counted from the call.
    async fn lead(&self, lease: &str, lasting: Duration) -> Result<bool>;

    /// Tells one brain something, or all others. It is lost on those that are not listening now.
    async fn tell(&self, to: Option<u32>, text: String) -> Result<()>;

    /// Ends a command if it was not sent yet, so that it never will be. Returns it as it then stands; `None` when there is no
    /// such command.
    async fn end_unsent(
        &self,
        project: u64,
        id: &str,
        outcome: CommandOutcome,
        now: Timestamp,
    ) -> Result<Option<Command>>;

    /// Takes out the brains that are gone, and ends the commands that they have left open, as
    /// [`crate::CommandStore::abandon_open_commands`] does. Returns how many commands.
    async fn bury(&self, now: Timestamp) -> Result<u64>;
}

/// Whether several brains may share the database.
pub trait SharedStore {
    /// The verbs for that; `None` when one brain has the database alone.
    fn replicas(&self) -> Option<Arc<dyn ReplicaStore>> {
        None
    }
}
