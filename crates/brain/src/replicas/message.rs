//! What brains tell one another. A message of a newer version that is not understood is left alone: what matters is in tables.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskplane_model::Timestamp;
use taskplane_store::replicas::{ConnectionChanges, ReplicaConnection, Vantage};

use crate::live::Change;

/// One message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Message {
    /// Agents came and went at the teller.
    Connections(ConnectionsTold),
    /// Somebody reads the live streams of these projects at the teller, and of no others.
    Reads {
        /// Projects.
        projects: Vec<u64>,
    },
    /// Something has changed.
    Live {
        /// What.
        changes: Vec<Change>,
    },
    /// Changes were not told: readers have to fetch again.
    Resync {
        /// Of which project; `None` means of all.
        project: Option<u64>,
    },
    /// A command for an agent that is connected to the receiver.
    Command(ForwardedCommand),
    /// A command that the receiver was given, and handed on to the teller, has ended.
    CommandEnded {
        /// Its id.
        id: String,
    },
    /// A token was revoked.
    TokenRevoked {
        /// Its public id.
        id: String,
    },
}

/// A command on its way to the brain that has the agent. Its row is pending until that one takes it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForwardedCommand {
    /// Project.
    pub(crate) project: u64,
    /// Its id.
    pub(crate) id: String,
    /// Number of the agent's connection, in the receiver's count.
    pub(crate) connection: u64,
    /// Name of the agent.
    pub(crate) agent: String,
    /// Wire name.
    pub(crate) cmd: String,
    /// Arguments, also those that are not kept.
    pub(crate) args: Value,
}

/// How connections have changed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionsTold {
    /// Number of the change before this one; who does not know that one has to read.
    pub(crate) before: u64,
    /// Number of this change.
    pub(crate) after: u64,
    opened: Vec<ConnectionTold>,
    closed: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ConnectionTold {
    id: u64,
    project: u64,
    agent: u64,
    agent_name: String,
    stream: u64,
    opening: u64,
    engines: Vec<String>,
    /// Microseconds since the Unix epoch.
    connected_at: i64,
    #[serde(default)]
    captures: Vec<String>,
    #[serde(default)]
    host: String,
    #[serde(default)]
    role: String,
}

impl ConnectionsTold {
    pub(crate) fn new(before: u64, after: u64, changes: ConnectionChanges) -> Self {
        let told = |connection: ReplicaConnection| {
            let ReplicaConnection { id, project, agent, agent_name, stream, opening, engines, connected_at, vantage } =
                connection;
            let (Vantage { captures, host, role }, connected_at) = (vantage, connected_at.0);
            ConnectionTold {
                id,
                project,
                agent,
                agent_name,
                stream,
                opening,
                engines,
                connected_at,
                captures,
                host,
                role,
            }
        };
        Self { before, after, opened: changes.opened.into_iter().map(told).collect(), closed: changes.closed }
    }

    /// What it says.
    pub(crate) fn into_changes(self) -> ConnectionChanges {
        let connection = |told: ConnectionTold| {
            let ConnectionTold {
                id,
                project,
                agent,
                agent_name,
                stream,
                opening,
                engines,
                connected_at,
                captures,
                host,
                role,
            } = told;
            let (vantage, connected_at) = (Vantage { captures, host, role }, Timestamp(connected_at));
            ReplicaConnection { id, project, agent, agent_name, stream, opening, engines, connected_at, vantage }
        };
        ConnectionChanges { all: false, opened: self.opened.into_iter().map(connection).collect(), closed: self.closed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_connections_is_what_is_understood() {
        let connection = ReplicaConnection {
            id: 1,
            project: 2,
            agent: 3,
            agent_name: "a\0b".into(),
            stream: 4,
            opening: 5,
            engines: vec!["celery".into()],
            connected_at: Timestamp(6),
            vantage: Vantage { captures: vec!["celery".into()], host: "h".into(), role: "worker".into() },
        };
        let changes = ConnectionChanges { all: false, opened: vec![connection], closed: vec![7] };
        let text = serde_json::to_string(&Message::Connections(ConnectionsTold::new(8, 9, changes.clone())));
        let told = match serde_json::from_str(&text.expect("JSON")).expect("is understood") {
            Message::Connections(told) => told,
            other => panic!("{other:?}"),
        };
        assert_eq!((told.before, told.after), (8, 9));
        assert_eq!(told.into_changes(), changes);
    }
}
