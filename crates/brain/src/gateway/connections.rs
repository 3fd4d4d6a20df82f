//! The agents that are connected now, and the way to each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_model::Timestamp;
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::{Command, Heartbeat};
use taskplane_store::fleet::Heard;
use taskplane_store::replicas::{ConnectionChanges, ReplicaConnection, Vantage};
use tokio::sync::Notify;

use super::mailbox::{Delivery, Outbox};
use crate::clock;

/// Who is connected. Cheap to clone.
#[derive(Clone, Default)]
pub struct Connections {
    registry: Arc<Mutex<Registry>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Registry {
    next_id: u64,
    live: HashMap<u64, Entry>,
    by_agent: HashMap<u64, Vec<u64>>,
    by_stream: HashMap<u64, u64>,
    /// Since the last [`Connections::take_heard`].
    heard: HashMap<u64, (u64, Heard)>,
}

struct Entry {
    newcomer: Newcomer,
    connected_at: Timestamp,
    last_heard: Timestamp,
    outbox: Outbox,
}

/// Who has connected.
#[derive(Clone, Debug)]
pub(crate) struct Newcomer {
    /// Project.
    pub(crate) project: u64,
    /// Number of the agent.
    pub(crate) agent: u64,
    /// Its name.
    pub(crate) agent_name: String,
    /// Number of the stream.
    pub(crate) stream: u64,
    /// Number of its opening.
    pub(crate) opening: u64,
    /// The token it came with.
    pub(crate) token_id: String,
    /// Its engines.
    pub(crate) engines: Vec<String>,
    /// Where it stands.
    pub(crate) vantage: Vantage,
}

/// How an agent is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentPresence {
    /// Live connections.
    pub connections: usize,
    /// Since when the oldest of them is.
    pub connected_at: Timestamp,
    /// When the agent was last heard.
    pub last_heard: Timestamp,
}

/// A connection that a command could go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The brain that has the connection; `None` means this one.
    pub replica: Option<u32>,
    /// The connection, in its brain's count.
    pub connection: u64,
    /// Number of its stream's opening.
    pub opening: u64,
    /// Number of the agent.
    pub agent: u64,
    /// Name of the agent.
    pub agent_name: String,
    /// Its engines.
    pub engines: Vec<String>,
    /// Where it stands.
    pub vantage: Vantage,
}

impl Target {
    /// A connection, of this brain unless `replica` says which other one has it.
    pub(crate) fn of(connection: ReplicaConnection, replica: Option<u32>) -> Self {
        let ReplicaConnection { id, opening, agent, agent_name, engines, vantage, .. } = connection;
        Self { replica, connection: id, opening, agent, agent_name, engines, vantage }
    }
}

impl Entry {
    fn told(&self, id: u64) -> ReplicaConnection {
        let Newcomer { project, agent, agent_name, stream, opening, engines, vantage, .. } = self.newcomer.clone();
        let connected_at = self.connected_at;
        ReplicaConnection { id, project, agent, agent_name, stream, opening, engines, connected_at, vantage }
    }

    fn supersede(&self) {
        self.outbox.close(CloseCode::Superseded, "a newer connection of the same stream took over");
    }
}

impl Connections {
    /// Adds a connection, and closes an older one of the same stream with 4009, or this one if it is the older. Returns its
    /// number.
    pub(crate) fn add(&self, newcomer: Newcomer, outbox: Outbox) -> u64 {
        let mut registry = self.lock();
        registry.next_id += 1;
        let id = registry.next_id;
        registry.by_agent.entry(newcomer.agent).or_default().push(id);
        let now = clock::now();
        let entry = Entry { newcomer, connected_at: now, last_heard: now, outbox };
        let (stream, opening) = (entry.newcomer.stream, entry.newcomer.opening);
        match registry.by_stream.get(&stream).and_then(|other| registry.live.get(other)) {
            Some(newer) if newer.newcomer.opening > opening => entry.supersede(),
            older => {
                older.into_iter().for_each(Entry::supersede);
                registry.by_stream.insert(stream, id);
            }
        }
        registry.live.insert(id, entry);
        drop(registry);
        self.changed.notify_one();
        id
    }

    /// Closes the connection of a stream with 4009 if it is older than an opening at another brain.
    pub(crate) fn supersede(&self, stream: u64, opening: u64) {
        let registry = self.lock();
        let current = registry.by_stream.get(&stream).and_then(|id| registry.live.get(id));
        current.into_iter().filter(|entry| entry.newcomer.opening < opening).for_each(Entry::supersede);
    }

    /// Waits until there may be a connection more or less than before.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What has changed since the connections were those in `known`; at most `most` new ones.
    pub(crate) fn changes_since(&self, known: &HashSet<u64>, most: usize) -> ConnectionChanges {
        let registry = self.lock();
        let new = registry.live.iter().filter(|(id, _)| !known.contains(id)).take(most);
        let opened = new.map(|(id, entry)| entry.told(*id)).collect();
        let closed = known.iter().copied().filter(|id| !registry.live.contains_key(id)).collect();
        ConnectionChanges { all: false, opened, closed }
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, id: u64) {
        let mut registry = self.lock();
        let Some(entry) = registry.live.remove(&id) else { return };
        let Newcomer { agent, stream, project, .. } = entry.newcomer;
        if registry.by_stream.get(&stream) == Some(&id) {
            registry.by_stream.remove(&stream);
        }
        if let Some(ids) = registry.by_agent.get_mut(&agent) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                registry.by_agent.remove(&agent);
            }
        }
        let at = entry.last_heard;
        registry.heard.entry(agent).or_insert((project, Heard { agent, at, buffer: None, adapters: None }));
        drop(registry);
        self.changed.notify_one();
    }

    /// Notes that a connection was heard.
    pub(crate) fn heard(&self, id: u64, heartbeat: Option<Heartbeat>) {
        let now = clock::now();
        let mut registry = self.lock();
        let Some(entry) = registry.live.get_mut(&id) else { return };
        entry.last_heard = now;
        let Some(heartbeat) = heartbeat else { return };
        let (project, agent) = (entry.newcomer.project, entry.newcomer.agent);
        let (_, note) =
            registry.heard.entry(agent).or_insert((project, Heard { agent, at: now, buffer: None, adapters: None }));
        note.at = now;
        note.buffer = heartbeat.buffer.or(note.buffer.take());
        note.adapters = heartbeat.adapters.or(note.adapters.take());
    }

    /// What was heard since the last call, and how many agents of which project that concerns.
    pub(crate) fn take_heard(&self) -> (Vec<Heard>, BTreeMap<u64, u64>) {
        let heard = std::mem::take(&mut self.lock().heard);
        let mut projects = BTreeMap::new();
        for (project, _) in heard.values() {
            *projects.entry(*project).or_default() += 1;
        }
        (heard.into_values().map(|(_, heard)| heard).collect(), projects)
    }

    /// The connections of an agent to this brain, and when each was last heard.
    pub(crate) fn of_agent(&self, agent: u64) -> Vec<(ReplicaConnection, Timestamp)> {
        let registry = self.lock();
        let ids = registry.by_agent.get(&agent).into_iter().flatten();
        ids.filter_map(|id| registry.live.get(id).map(|entry| (entry.told(*id), entry.last_heard))).collect()
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.lock().live.len()
    }

    /// Closes all connections that came with a token, with 4003.
    pub fn revoke_token(&self, token_id: &str) {
        for entry in self.lock().live.values().filter(|e| e.newcomer.token_id == token_id) {
            entry.outbox.close(CloseCode::TokenRevoked, "the token was revoked");
        }
    }

    /// The tokens that somebody is connected with, each once.
    pub(crate) fn token_ids(&self) -> Vec<String> {
        let registry = self.lock();
        let ids: HashSet<&String> = registry.live.values().map(|entry| &entry.newcomer.token_id).collect();
        ids.into_iter().cloned().collect()
    }

    /// The connections of a project to this brain that pass `wanted`, in no order.
    pub(crate) fn targets(&self, project: u64, wanted: impl Fn(&Target) -> bool) -> Vec<Target> {
        let registry = self.lock();
        registry
            .live
            .iter()
            .filter(|(_, entry)| entry.newcomer.project == project)
            .map(|(id, entry)| Target::of(entry.told(*id), None))
            .filter(wanted)
            .collect()
    }

    /// Hands a command to a connection.
    pub(crate) fn deliver(&self, connection: u64, command: Command) -> Delivery {
        let registry = self.lock();
        registry.live.get(&connection).map_or(Delivery::Gone, |entry| entry.outbox.deliver(command))
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Every change above is a few map operations; a panic cannot leave them inconsistent in a way that matters.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::mailbox::{Inbox, Letter, mailbox};
    use super::*;

    fn newcomer(agent: u64, stream: u64) -> Newcomer {
        Newcomer {
            project: 1,
            agent,
            agent_name: format!("agent-{agent}"),
            stream,
            opening: 0,
            token_id: format!("token-{agent}"),
            engines: vec!["celery".into()],
            vantage: Vantage::default(),
        }
    }

    fn close_code(inbox: &Inbox) -> Option<CloseCode> {
        match inbox.next().now_or_never() {
            Some(Letter::Close((code, _))) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn a_second_connection_of_a_stream_supersedes_the_first() {
        let connections = Connections::default();
        let (old_outbox, old) = mailbox();
        let (new_outbox, new) = mailbox();
        let first = connections.add(newcomer(1, 10), old_outbox);
        connections.add(newcomer(1, 10), new_outbox);
        assert_eq!(close_code(&old), Some(CloseCode::Superseded));
        assert_eq!(close_code(&new), None);
        connections.remove(first);
        assert_eq!(connections.of_agent(1).len(), 1);
    }

    #[test]
    fn the_later_opening_of_a_stream_stays_whichever_is_added_first() {
        let connections = Connections::default();
        let (late_outbox, late) = mailbox();
        let (early_outbox, early) = mailbox();
        connections.add(Newcomer { opening: 8, ..newcomer(1, 10) }, late_outbox);
        connections.add(Newcomer { opening: 7, ..newcomer(1, 10) }, early_outbox);
        assert_eq!((close_code(&early), close_code(&late)), (Some(CloseCode::Superseded), None));
        connections.supersede(10, 8);
        assert_eq!(close_code(&late), None, "that is its own opening");
        connections.supersede(10, 9);
        assert_eq!(close_code(&late), Some(CloseCode::Superseded));
    }

    #[test]
    fn changes_are_told_until_they_are_known() {
        let connections = Connections::default();
        let mut known = HashSet::new();
        let first = connections.add(newcomer(1, 10), mailbox().0);
        let second = connections.add(newcomer(2, 20), mailbox().0);
        let changes = connections.changes_since(&known, 1);
        assert_eq!((changes.opened.len(), changes.closed.len()), (1, 0));
        known.extend([first, second]);
        assert_eq!(connections.changes_since(&known, 10), ConnectionChanges::default());
        connections.remove(first);
        assert_eq!(connections.changes_since(&known, 10).closed, [first]);
    }

    #[test]
    fn several_streams_of_one_agent_live_side_by_side() {
        let connections = Connections::default();
        let (a, a_rx) = mailbox();
        let (b, _b_rx) = mailbox();
        connections.add(newcomer(1, 10), a);
        connections.add(newcomer(1, 11), b);
        assert_eq!(close_code(&a_rx), None);
        assert_eq!(connections.of_agent(1).len(), 2);
    }

    #[test]
    fn revoking_a_token_closes_its_connections_only() {
        let connections = Connections::default();
        let (a, a_rx) = mailbox();
        let (b, b_rx) = mailbox();
        connections.add(newcomer(1, 10), a);
        connections.add(newcomer(2, 20), b);
        connections.revoke_token("token-1");
        assert_eq!(close_code(&a_rx), Some(CloseCode::TokenRevoked));
        assert_eq!(close_code(&b_rx), None);
    }
}
