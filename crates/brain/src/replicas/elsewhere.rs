//! What this brain knows of the others: who is here, and who is connected there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use taskplane_store::replicas::{ConnectionChanges, Replica, ReplicaConnection};

/// The other brains, by the numbers of their runs.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    others: BTreeMap<u32, Other>,
}

#[derive(Debug, Default)]
struct Other {
    /// Number of the last change of its connections that we know; `None` when they have to be read.
    changes: Option<u64>,
    reads: BTreeSet<u64>,
    connections: HashMap<u64, ReplicaConnection>,
    /// Its newest connection of each stream: its opening and its number.
    by_stream: HashMap<u64, (u64, u64)>,
    by_agent: HashMap<u64, BTreeSet<u64>>,
}

/// What news has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Brains whose connections have to be read.
    pub(crate) unread: Vec<u32>,
    /// Who began to read which project live.
    pub(crate) readers: Vec<(u32, u64)>,
    /// How many connections of which project are gone with their brains.
    pub(crate) lost: BTreeMap<u64, u64>,
}

impl Elsewhere {
    /// Takes note of who is here.
    pub(super) fn update(&mut self, here: &[Replica]) -> News {
        let mut news = News::default();
        let is_here = |run: u32| here.iter().any(|replica| replica.run == run);
        for (_, gone) in self.others.extract_if(.., |run, _| !is_here(*run)) {
            for connection in gone.connections.into_values() {
                *news.lost.entry(connection.project).or_default() += 1;
            }
        }
        for replica in here {
            let other = self.others.entry(replica.run).or_default();
            if other.changes != Some(replica.changes) {
                news.unread.push(replica.run);
            }
            news.readers.extend(other.read(&replica.reads).map(|project| (replica.run, project)));
        }
        news
    }

    /// Takes note of what is read where; returns the projects that are new.
    pub(super) fn reads(&mut self, run: u32, projects: &[u64]) -> Vec<u64> {
        self.others.get_mut(&run).map(|other| other.read(projects).collect()).unwrap_or_default()
    }

    /// Takes note of a change of connections. False when it does not fit what is known.
    pub(super) fn apply(&mut self, run: u32, before: u64, after: u64, changes: ConnectionChanges) -> bool {
        let Some(other) = self.others.get_mut(&run).filter(|other| other.changes == Some(before)) else { return false };
        other.changes = Some(after);
        changes.closed.iter().for_each(|id| other.remove(*id));
        changes.opened.into_iter().for_each(|connection| other.add(connection));
        true
    }

    /// Takes note of all connections of a brain, as they stand after the change with a number.
    pub(super) fn replace(&mut self, run: u32, changes: u64, connections: Vec<ReplicaConnection>) {
        let Some(other) = self.others.get_mut(&run) else { return };
        let reads = std::mem::take(&mut other.reads);
        *other = Other { changes: Some(changes), reads, ..Other::default() };
        connections.into_iter().for_each(|connection| other.add(connection));
    }

    /// Nothing that was known is sure any more.
    pub(super) fn doubt(&mut self) {
        self.others.values_mut().for_each(|other| other.changes = None);
    }

    /// Projects that are read live elsewhere.
    pub(super) fn all_reads(&self) -> BTreeSet<u64> {
        self.others.values().flat_map(|other| other.reads.iter().copied()).collect()
    }

    /// The number of the latest opening of a stream elsewhere; 0 if there is none.
    pub(super) fn opening(&self, stream: u64) -> u64 {
        let of = |other: &Other| other.by_stream.get(&stream).map(|(opening, _)| *opening);
        self.others.values().filter_map(of).max().unwrap_or(0)
    }

    /// Connections of an agent.
    pub(super) fn of_agent(&self, agent: u64) -> Vec<&ReplicaConnection> {
        let mut found = Vec::new();
        for other in self.others.values() {
            let ids = other.by_agent.get(&agent).into_iter().flatten();
            found.extend(ids.filter_map(|id| other.connections.get(id)));
        }
        found
    }

    /// Connections of a project, with the brains that have them.
    pub(super) fn of_project(&self, project: u64) -> Vec<(u32, &ReplicaConnection)> {
        let mut found = Vec::new();
        for (run, other) in &self.others {
            let wanted = other.connections.values().filter(|connection| connection.project == project);
            found.extend(wanted.map(|connection| (*run, connection)));
        }
        found
    }
}

impl Other {
    fn read<'a>(&mut self, projects: &'a [u64]) -> impl Iterator<Item = u64> + use<'a> {
        let before = std::mem::replace(&mut self.reads, projects.iter().copied().collect());
        projects.iter().copied().filter(move |project| !before.contains(project))
    }

    fn add(&mut self, connection: ReplicaConnection) {
        let newest = self.by_stream.entry(connection.stream).or_default();
        *newest = (connection.opening, connection.id).max(*newest);
        self.by_agent.entry(connection.agent).or_default().insert(connection.id);
        self.connections.insert(connection.id, connection);
    }

    fn remove(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if self.by_stream.get(&connection.stream).is_some_and(|(_, newest)| *newest == id) {
            self.by_stream.remove(&connection.stream);
        }
        if let Some(ids) = self.by_agent.get_mut(&connection.agent) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_agent.remove(&connection.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use taskplane_model::Timestamp;

    use super::*;

    fn replica(run: u32, changes: u64, reads: &[u64]) -> Replica {
        let name = format!("b{run}");
        Replica { run, name, peer_url: None, peer_key: None, changes, reads: reads.to_vec() }
    }

    fn connection(id: u64, agent: u64, stream: u64, opening: u64) -> ReplicaConnection {
        ReplicaConnection {
            id,
            project: 1,
            agent,
            agent_name: format!("agent-{agent}"),
            stream,
            opening,
            engines: Vec::new(),
            connected_at: Timestamp(0),
            vantage: taskplane_store::replicas::Vantage::default(),
        }
    }

    fn opened(connection: ReplicaConnection) -> ConnectionChanges {
        ConnectionChanges { opened: vec![connection], ..ConnectionChanges::default() }
    }

    #[test]
    fn a_change_that_does_not_fit_has_to_be_read() {
        let mut elsewhere = Elsewhere::default();
        assert!(!elsewhere.apply(2, 4, 5, opened(connection(1, 7, 70, 1))), "nobody knows that brain");
        assert_eq!(elsewhere.update(&[replica(2, 5, &[])]).unread, [2]);
        elsewhere.replace(2, 5, vec![connection(1, 7, 70, 1)]);
        assert!(elsewhere.apply(2, 5, 6, opened(connection(2, 8, 80, 2))));
        assert!(elsewhere.update(&[replica(2, 6, &[])]).unread.is_empty());
        assert!(!elsewhere.apply(2, 8, 9, opened(connection(3, 9, 90, 3))), "one was missed");
        let closed = ConnectionChanges { closed: vec![1], ..ConnectionChanges::default() };
        assert!(elsewhere.apply(2, 6, 7, closed));
        assert_eq!(
            (elsewhere.of_agent(7).len(), elsewhere.of_agent(8).len(), elsewhere.of_project(1).len()),
            (0, 1, 1)
        );
        elsewhere.doubt();
        assert_eq!(elsewhere.update(&[replica(2, 7, &[])]).unread, [2]);
    }

    #[test]
    fn with_a_brain_go_its_connections() {
        let mut elsewhere = Elsewhere::default();
        elsewhere.update(&[replica(2, 1, &[]), replica(3, 1, &[])]);
        elsewhere.replace(2, 1, vec![connection(1, 7, 70, 5)]);
        elsewhere.replace(3, 1, vec![connection(1, 7, 70, 9), connection(2, 8, 80, 6)]);
        assert_eq!((elsewhere.opening(70), elsewhere.of_agent(7).len()), (9, 2));
        let news = elsewhere.update(&[replica(2, 1, &[])]);
        assert_eq!(news.lost, BTreeMap::from([(1, 2)]));
        assert_eq!((elsewhere.opening(70), elsewhere.opening(80)), (5, 0));
    }

    #[test]
    fn who_begins_to_read_is_new_once() {
        let mut elsewhere = Elsewhere::default();
        assert_eq!(elsewhere.update(&[replica(2, 1, &[1])]).readers, [(2, 1)]);
        assert_eq!(elsewhere.reads(2, &[1, 4]), [4]);
        assert!(elsewhere.update(&[replica(2, 1, &[1, 4])]).readers.is_empty());
        assert_eq!(elsewhere.all_reads(), BTreeSet::from([1, 4]));
        assert!(elsewhere.reads(2, &[]).is_empty());
        assert_eq!(elsewhere.reads(2, &[1]), [1], "it has stopped in between");
    }
}
