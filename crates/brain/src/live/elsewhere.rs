use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Topic;
use super::journal::Changes;

/// Changes of one kind, on their way from one brain to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Project.
    pub project: u64,
    /// What has changed.
    pub topic: Topic,
    /// How many things.
    pub changed: u64,
    /// As they now are, by their keys, as far as it is told.
    pub items: BTreeMap<String, Value>,
}

/// What other brains read, and what changed in it since they were last told.
#[derive(Default)]
pub(super) struct Elsewhere {
    projects: BTreeSet<u64>,
    outgoing: BTreeMap<(u64, Topic), Changes>,
}

impl Elsewhere {
    /// What changed of a topic, to note more; `None` when no other brain reads it.
    pub(super) fn of(&mut self, project: u64, topic: Topic) -> Option<&mut Changes> {
        self.projects.contains(&project).then(|| self.outgoing.entry((project, topic)).or_default())
    }

    /// Says which projects are read at other brains.
    pub(super) fn set(&mut self, projects: BTreeSet<u64>) {
        self.outgoing.retain(|(project, _), _| projects.contains(project));
        self.projects = projects;
    }

    /// What is to be told to other brains.
    pub(super) fn take(&mut self) -> Vec<Change> {
        let change = |((project, topic), changes): ((u64, Topic), Changes)| Change {
            project,
            topic,
            changed: changes.changed,
            items: changes.into_items(),
        };
        std::mem::take(&mut self.outgoing).into_iter().map(change).collect()
    }
}
