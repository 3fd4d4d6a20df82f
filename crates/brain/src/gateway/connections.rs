//! The agents that are connected now, and the way to each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_model::Timestamp;
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::{Command, Heartbeat};
use taskplane_store::fleet::Heard;
use tokio::sync::mpsc;

use crate::clock;

/// The ways to a connection from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    /// Commands to send.
    pub(crate) commands: mpsc::Sender<Command>,
    /// One order to close, with a way of its own, so that commands that wait cannot be in front of it.
    pub(crate) close: mpsc::Sender<Closing>,
}

/// An order to close a connection.
pub(crate) type Closing = (CloseCode, &'static str);

/// Who is connected. Cheap to clone.
#[derive(Clone, Default)]
pub struct Connections {
    registry: Arc<Mutex<Registry>>,
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
    /// The token it came with.
    pub(crate) token_id: String,
    /// Its engines.
    pub(crate) engines: Vec<String>,
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
    /// The connection.
    pub connection: u64,
    /// Number of the agent.
    pub agent: u64,
    /// Name of the agent.
    pub agent_name: String,
    /// Its engines.
    pub engines: Vec<String>,
}

/// What became of handing a command to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is in the connection's outbox.
    Done,
    /// The connection is gone.
    Gone,
    /// The outbox is full.
    Full,
}

impl Connections {
    /// Adds a connection, and closes an older one of the same stream with 4009. Returns its number.
    pub(crate) fn add(&self, newcomer: Newcomer, outbox: Outbox) -> u64 {
        let mut registry = self.lock();
        registry.next_id += 1;
        let id = registry.next_id;
        if let Some(old) = registry.by_stream.insert(newcomer.stream, id)
            && let Some(entry) = registry.live.get(&old)
        {
            let reason = "a newer connection of the same stream took over";
            let _ = entry.outbox.close.try_send((CloseCode::Superseded, reason));
        }
        registry.by_agent.entry(newcomer.agent).or_default().push(id);
        let now = clock::now();
        registry.live.insert(id, Entry { newcomer, connected_at: now, last_heard: now, outbox });
        id
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

    /// How an agent is connected; `None` when it is not.
    pub fn of_agent(&self, agent: u64) -> Option<AgentPresence> {
        let registry = self.lock();
        let entries: Vec<&Entry> =
            registry.by_agent.get(&agent)?.iter().filter_map(|id| registry.live.get(id)).collect();
        Some(AgentPresence {
            connections: entries.len(),
            connected_at: entries.iter().map(|e| e.connected_at).min()?,
            last_heard: entries.iter().map(|e| e.last_heard).max()?,
        })
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.lock().live.len()
    }

    /// Closes all connections that came with a token, with 4003.
    pub fn revoke_token(&self, token_id: &str) {
        for entry in self.lock().live.values().filter(|e| e.newcomer.token_id == token_id) {
            let _ = entry.outbox.close.try_send((CloseCode::TokenRevoked, "the token was revoked"));
        }
    }

    /// The tokens that somebody is connected with, each once.
    pub(crate) fn token_ids(&self) -> Vec<String> {
        let registry = self.lock();
        let ids: HashSet<&String> = registry.live.values().map(|entry| &entry.newcomer.token_id).collect();
        ids.into_iter().cloned().collect()
    }

    /// The connections of a project that pass `wanted`, the newest first.
    pub(crate) fn targets(&self, project: u64, wanted: impl Fn(&Target) -> bool) -> Vec<Target> {
        let registry = self.lock();
        let mut targets: Vec<Target> = registry
            .live
            .iter()
            .filter(|(_, entry)| entry.newcomer.project == project)
            .map(|(id, entry)| Target {
                connection: *id,
                agent: entry.newcomer.agent,
                agent_name: entry.newcomer.agent_name.clone(),
                engines: entry.newcomer.engines.clone(),
            })
            .filter(wanted)
            .collect();
        targets.sort_unstable_by_key(|target| std::cmp::Reverse(target.connection));
        targets
    }

    /// Hands a command to a connection.
    pub(crate) fn deliver(&self, connection: u64, command: Command) -> Delivery {
        let registry = self.lock();
        match registry.live.get(&connection).map(|entry| entry.outbox.commands.try_send(command)) {
            Some(Ok(())) => Delivery::Done,
            Some(Err(mpsc::error::TrySendError::Full(_))) => Delivery::Full,
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => Delivery::Gone,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Every change above is a few map operations; a panic cannot leave them inconsistent in a way that matters.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newcomer(agent: u64, stream: u64) -> Newcomer {
        Newcomer {
            project: 1,
            agent,
            agent_name: format!("agent-{agent}"),
            stream,
            token_id: format!("token-{agent}"),
            engines: vec!["celery".into()],
        }
    }

    fn outbox() -> (Outbox, mpsc::Receiver<Closing>) {
        let (commands, _) = mpsc::channel(1);
        let (close, closes) = mpsc::channel(1);
        (Outbox { commands, close }, closes)
    }

    fn close_code(receiver: &mut mpsc::Receiver<Closing>) -> Option<CloseCode> {
        receiver.try_recv().ok().map(|(code, _)| code)
    }

    #[test]
    fn a_second_connection_of_a_stream_supersedes_the_first() {
        let connections = Connections::default();
        let (old_outbox, mut old) = outbox();
        let (new_outbox, mut new) = outbox();
        let first = connections.add(newcomer(1, 10), old_outbox);
        connections.add(newcomer(1, 10), new_outbox);
        assert_eq!(close_code(&mut old), Some(CloseCode::Superseded));
        assert_eq!(close_code(&mut new), None);
        connections.remove(first);
        assert_eq!(connections.of_agent(1).map(|p| p.connections), Some(1));
    }

    #[test]
    fn several_streams_of_one_agent_live_side_by_side() {
        let connections = Connections::default();
        let (a, mut a_rx) = outbox();
        let (b, _b_rx) = outbox();
        connections.add(newcomer(1, 10), a);
        connections.add(newcomer(1, 11), b);
        assert_eq!(close_code(&mut a_rx), None);
        assert_eq!(connections.of_agent(1).map(|p| p.connections), Some(2));
    }

    #[test]
    fn revoking_a_token_closes_its_connections_only() {
        let connections = Connections::default();
        let (a, mut a_rx) = outbox();
        let (b, mut b_rx) = outbox();
        connections.add(newcomer(1, 10), a);
        connections.add(newcomer(2, 20), b);
        connections.revoke_token("token-1");
        assert_eq!(close_code(&mut a_rx), Some(CloseCode::TokenRevoked));
        assert_eq!(close_code(&mut b_rx), None);
    }
}
