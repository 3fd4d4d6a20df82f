//! What the brain's database promises, in memory: the reference that a real store is compared with.

use std::collections::BTreeMap;

use taskplane_model::command::{Command, CommandOutcome, CommandStatus};
use taskplane_model::rollup::{Rollup, contribute};
use taskplane_model::{TaskRecord, Timestamp};
use taskplane_store::ingest::{BatchToStore, OpenedStream, Recorded, StreamToOpen, Verdict};

use crate::sabotage::Sabotage;

/// The verbs of the store that the brain needs here. One verb is one transaction.
pub trait Store {
    /// See `IngestStore::open_stream`.
    fn open_stream(&mut self, stream: StreamToOpen, now: Timestamp) -> OpenedStream;
    /// See `IngestStore::record_batches`.
    fn record_batches(&mut self, batches: Vec<BatchToStore>) -> Recorded;
    /// See `CommandStore::create_command`.
    fn create_command(&mut self, command: Command);
    /// See `CommandStore::command_sent`.
    fn command_sent(&mut self, id: &str, agent: &str) -> bool;
    /// See `CommandStore::finish_command`.
    fn finish_command(&mut self, id: &str, outcome: CommandOutcome, now: Timestamp);
    /// See `CommandStore::abandon_open_commands`.
    fn abandon_open_commands(&mut self, now: Timestamp);
    /// The brain's process is gone: what was committed is all that is left.
    fn restart(&mut self);
    /// Everything that is stored.
    fn contents(&mut self) -> Contents;
}

/// The only project.
pub const PROJECT: u64 = 1;

/// What is stored, in a form in which two stores can be compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// What is known of each task, by its id. Numbers of batches and agents are left out.
    pub tasks: BTreeMap<String, TaskRecord>,
    /// Statistics by task type, queue and minute where there are a type and a queue, and under `*` those of everything;
    /// empty ones are left out.
    pub statistics: BTreeMap<(String, String, i64), Rollup>,
    /// Batches counted as lost and events in quarantine, by the agent's name.
    pub agents: BTreeMap<String, (u64, u64)>,
    /// How each command stands, and its error.
    pub commands: BTreeMap<String, (CommandStatus, Option<String>)>,
}

#[derive(Default)]
struct AgentRow {
    name: String,
    lost: u64,
    quarantined: u64,
}

struct StreamRow {
    agent: u64,
    instance: String,
    last_seq: u64,
    digests: BTreeMap<u64, u64>,
}

/// The reference.
#[derive(Default)]
pub struct MemoryStore {
    sabotage: Option<Sabotage>,
    agents: Vec<AgentRow>,
    streams: Vec<StreamRow>,
    tasks: BTreeMap<String, TaskRecord>,
    statistics: BTreeMap<(String, String, i64), Rollup>,
    commands: BTreeMap<String, Command>,
}

impl MemoryStore {
    pub(crate) fn sabotaged(sabotage: Option<Sabotage>) -> Self {
        Self { sabotage, ..Self::default() }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    fn record(&mut self, batch: BatchToStore) -> (Verdict, u64) {
        let blind = self.is(Sabotage::NoDeduplication);
        let stream = &mut self.streams[batch.stream as usize - 1];
        let last = stream.last_seq;
        if batch.seq <= last && !blind {
            let same = stream.digests.get(&batch.seq).is_none_or(|digest| *digest == batch.digest);
            if !same {
                self.agents[batch.agent as usize - 1].lost += 1;
            }
            return (if same { Verdict::Replay } else { Verdict::Conflict }, last);
        }
        let lost = batch.seq.saturating_sub(last + 1);
        stream.last_seq = last.max(batch.seq);
        stream.digests.insert(batch.seq, batch.digest);
        let agent = &mut self.agents[batch.agent as usize - 1];
        agent.lost += lost;
        agent.quarantined += batch.quarantined.len() as u64;
        let seq = batch.seq;
        for delta in batch.tasks {
            self.merge(delta.task_id, delta.record);
        }
        (Verdict::Stored { lost }, last.max(seq))
    }

    fn merge(&mut self, task_id: String, new: TaskRecord) {
        let old = self.tasks.remove(&task_id).unwrap_or_default();
        let record = if self.is(Sabotage::LastWordCounts) {
            new
        } else {
            let mut merged = old.clone();
            merged.merge(new);
            merged
        };
        if !self.is(Sabotage::StatisticsOnlyGrow) {
            count(&mut self.statistics, &old, -1);
        }
        count(&mut self.statistics, &record, 1);
        self.tasks.insert(task_id, record);
    }
}

/// Adds (`sign` 1) or takes back (`sign` −1) what `record` contributes.
pub(crate) fn count(statistics: &mut BTreeMap<(String, String, i64), Rollup>, record: &TaskRecord, sign: i64) {
    let name = record.name.clone().unwrap_or_default();
    let queue = record.queue.as_ref().map(|queue| queue.value.clone()).unwrap_or_default();
    contribute(record, sign, |minute, change| {
        let key = (name.clone(), queue.clone(), minute);
        let rollup = statistics.entry(key.clone()).or_default();
        change(rollup);
        if rollup.is_empty() {
            statistics.remove(&key);
        }
    });
}

/// Statistics in the form of [`Contents::statistics`].
pub(crate) fn shown(statistics: &BTreeMap<(String, String, i64), Rollup>) -> BTreeMap<(String, String, i64), Rollup> {
    let mut shown: BTreeMap<(String, String, i64), Rollup> = BTreeMap::new();
    for ((name, queue, minute), rollup) in statistics {
        if !name.is_empty() && !queue.is_empty() {
            shown.insert((name.clone(), queue.clone(), *minute), rollup.clone());
        }
        shown.entry(("*".into(), "*".into(), *minute)).or_default().merge(rollup);
    }
    shown.retain(|_, rollup| !rollup.is_empty());
    shown
}

impl Store for MemoryStore {
    fn open_stream(&mut self, stream: StreamToOpen, _now: Timestamp) -> OpenedStream {
        let agent = self.agents.iter().position(|row| row.name == stream.agent_name).unwrap_or_else(|| {
            self.agents.push(AgentRow { name: stream.agent_name.clone(), ..AgentRow::default() });
            self.agents.len() - 1
        });
        let agent = agent as u64 + 1;
        let known = self.streams.iter().position(|row| row.agent == agent && row.instance == stream.instance_id);
        let number = known.unwrap_or_else(|| {
            let instance = stream.instance_id.clone();
            self.streams.push(StreamRow { agent, instance, last_seq: 0, digests: BTreeMap::new() });
            self.streams.len() - 1
        });
        OpenedStream { agent, stream: number as u64 + 1, last_seq: self.streams[number].last_seq, opening: 0 }
    }

    fn record_batches(&mut self, batches: Vec<BatchToStore>) -> Recorded {
        Recorded { batches: batches.into_iter().map(|batch| self.record(batch)).collect(), tasks: Vec::new() }
    }

    fn create_command(&mut self, command: Command) {
        self.commands.insert(command.id.clone(), command);
    }

    fn command_sent(&mut self, id: &str, agent: &str) -> bool {
        let pending = self.commands.get_mut(id).filter(|command| command.status == CommandStatus::Pending);
        let Some(command) = pending else { return false };
        command.status = CommandStatus::Sent;
        command.agent = Some(agent.to_owned());
        true
    }

    fn finish_command(&mut self, id: &str, outcome: CommandOutcome, now: Timestamp) {
        if let Some(command) = self.commands.get_mut(id).filter(|command| !command.status.is_final()) {
            command.status = outcome.status;
            command.error = outcome.error;
            command.finished_at = Some(now);
        }
    }

    fn abandon_open_commands(&mut self, now: Timestamp) {
        for command in self.commands.values_mut().filter(|command| !command.status.is_final()) {
            (command.status, command.error) = match command.status {
                CommandStatus::Pending => (CommandStatus::Failed, Some("not_sent".to_owned())),
                _ => (CommandStatus::Unknown, None),
            };
            command.finished_at = Some(now);
        }
    }

    fn restart(&mut self) {}

    fn contents(&mut self) -> Contents {
        let agents = self.agents.iter().map(|row| (row.name.clone(), (row.lost, row.quarantined)));
        let commands = self.commands.iter().map(|(id, row)| (id.clone(), (row.status, row.error.clone())));
        Contents {
            tasks: self.tasks.clone(),
            statistics: shown(&self.statistics),
            agents: agents.collect(),
            commands: commands.collect(),
        }
    }
}
