//! What was stored, for those who read it: `fill.json` beside the data.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use taskplane_model::{TaskState, Timestamp};

use super::batches::number_of;
use super::plan::Span;

/// Name of the file.
const FILE: &str = "fill.json";

/// What was stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What the random numbers began with.
    pub(crate) seed: u64,
    /// Tasks.
    pub(crate) tasks: u64,
    /// Tasks that were asked for: the last workflows may begin behind the end.
    pub(crate) tasks_asked: u64,
    /// Events.
    pub(crate) events: u64,
    /// Days over which they are spread.
    pub(crate) days: u64,
    /// No task is older, in microseconds since the epoch.
    pub(crate) from: i64,
    /// No task is this young.
    pub(crate) until: i64,
    /// Tasks by state.
    pub(crate) states: BTreeMap<String, u64>,
    /// Task types, the most used first.
    pub(crate) names: Vec<Known>,
    /// Queues.
    pub(crate) queues: Vec<Known>,
    /// Workers of tasks that a worker has had.
    pub(crate) workers: Vec<Known>,
    /// Ids of the tasks that have the rare word in their message.
    pub(crate) marked: Vec<String>,
    /// Some tasks, oldest first.
    pub(crate) samples: Vec<Sample>,
    /// Some workflows: id of the root, and how many tasks they have.
    pub(crate) workflows: Vec<(String, u64)>,
    /// Seconds it took to store them.
    pub(crate) seconds: f64,
    /// Seconds it took to fold their statistics, and to index them for search.
    pub(crate) duties_seconds: f64,
}

/// How many tasks have a name, and how many of them are in which state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) tasks: u64,
    pub(crate) failed: u64,
}

/// A task that is known to be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) task_id: String,
    /// An order number that no other task has.
    pub(crate) order: String,
}

impl Manifest {
    /// Adds what another generator of the same fill has stored.
    pub(crate) fn merge(&mut self, other: Self) {
        self.events += other.events;
        for (state, tasks) in other.states {
            *self.states.entry(state).or_default() += tasks;
        }
        for (mine, theirs) in
            [(&mut self.names, other.names), (&mut self.queues, other.queues), (&mut self.workers, other.workers)]
        {
            merge_known(mine, theirs);
        }
        self.marked.extend(other.marked);
        self.samples.extend(other.samples);
        self.workflows.extend(other.workflows);
    }

    /// How many tasks are in `state`.
    pub(crate) fn in_state(&self, state: TaskState) -> u64 {
        self.states.get(state.name()).copied().unwrap_or(0)
    }

    /// The end, as an instant.
    pub(crate) fn until(&self) -> Timestamp {
        Timestamp(self.until)
    }

    /// Reads the one in `folder`; `None` when there is none.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("reading {}", file.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Keeps it in `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let file = folder.join(FILE);
        std::fs::write(&file, serde_json::to_vec(self)?).with_context(|| format!("writing {}", file.display()))
    }
}

impl Sample {
    /// About when it was sent, in microseconds since the epoch; `None` when its order number is not one of ours.
    pub(crate) fn sent_at(&self, manifest: &Manifest) -> Option<i64> {
        let &Manifest { seed, tasks_asked: tasks, from, until, .. } = manifest;
        let span = Span { seed, tasks, agent: 0, agents: 1, from, until };
        number_of(&self.order).map(|number| span.at(number))
    }
}

fn merge_known(mine: &mut Vec<Known>, theirs: Vec<Known>) {
    if mine.is_empty() {
        *mine = theirs;
        return;
    }
    // Every generator lists the same names in the same order.
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        mine.tasks += theirs.tasks;
        mine.failed += theirs.failed;
    }
}
