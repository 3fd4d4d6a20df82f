//! Everything known of one task, as a join-semilattice.

use crate::{KnownBy, TaskEvent, TaskEventKind, Timestamp};

/// Marks kept per task. Beyond it the lowest (oldest attempts, earliest marks) are dropped; keeping the greatest
/// elements of a union does not depend on the order of the union.
const MAX_MARKS: usize = 128;
/// Batches remembered per task, newest first.
const MAX_BATCHES: usize = 64;
/// Agents remembered per task.
const MAX_AGENTS: usize = 8;

/// Something that happened to a task. Marks are compared as a whole: the same mark twice is one mark.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Attempt number, where the observer knew it.
    pub attempt: Option<u32>,
    /// What happened.
    pub kind: TaskEventKind,
    /// When.
    pub ts: Timestamp,
    /// On which worker.
    pub worker: Option<String>,
    /// Run time in microseconds, as the worker measured it.
    pub runtime_us: Option<u64>,
    /// Result as JSON text.
    pub result: Option<String>,
    /// Exception type.
    pub exception: Option<String>,
    /// Exception message.
    pub exception_message: Option<String>,
    /// Traceback.
    pub traceback: Option<String>,
    /// Signal that ended it.
    pub signal: Option<String>,
    /// It was running and was killed.
    pub terminated: bool,
    /// It was dropped because it had expired.
    pub expired: bool,
    /// It went back to the queue.
    pub requeue: bool,
    /// How it is known, if not by an event of the engine's own.
    pub known_by: Option<KnownBy>,
}

/// A fact that may change from attempt to attempt; the latest attempt's latest word counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamped<T> {
    /// Attempt that the fact was told of.
    pub attempt: u32,
    /// When it was told.
    pub ts: Timestamp,
    /// The fact.
    pub value: T,
}

/// The queue as it was told. Of one attempt, what its message says counts more than what was concluded; of two such words the later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToldQueue {
    /// Attempt that it was told of.
    pub attempt: u32,
    /// Who told had seen how the message was routed. Who sees only that a worker has a task may conclude wrongly where it came from.
    pub is_exact: bool,
    /// When it was told.
    pub ts: Timestamp,
    /// Its name.
    pub value: String,
}

/// The latest progress a task reported. Numbers are kept as their bits so that progress can be compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress {
    /// Units done (`f64` bits).
    pub done_bits: Option<u64>,
    /// Units in all (`f64` bits).
    pub total_bits: Option<u64>,
    /// What it is doing.
    pub note: Option<String>,
}

/// Everything known of one task. [`TaskRecord::apply`] and [`TaskRecord::merge`] are commutative, associative and
/// idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskRecord {
    /// Task type.
    pub name: Option<String>,
    /// Positional arguments, redacted JSON text; of two, the longer tells more.
    pub args: Option<String>,
    /// Keyword arguments, redacted JSON text.
    pub kwargs: Option<String>,
    /// Queue.
    pub queue: Option<ToldQueue>,
    /// Routing key.
    pub routing_key: Option<String>,
    /// Exchange.
    pub exchange: Option<String>,
    /// First task of the workflow; the empty string means: this one.
    pub root_id: Option<String>,
    /// Task that sent this one.
    pub parent_id: Option<String>,
    /// Group.
    pub group_id: Option<String>,
    /// Chord body.
    pub chord_id: Option<String>,
    /// Earliest time to run.
    pub eta: Option<Stamped<Timestamp>>,
    /// Time after which it must not run.
    pub expires: Option<Timestamp>,
    /// Priority.
    pub priority: Option<i64>,
    /// The task that this one retries.
    pub retry_of: Option<String>,
    /// The task that retries this one; of several, the latest.
    pub retried_as: Option<Stamped<String>>,
    /// Latest progress.
    pub progress: Option<Stamped<Progress>>,
    /// What happened, ascending.
    pub marks: Vec<Mark>,
    /// Store's numbers of the raw batches that told of it, descending.
    pub batches: Vec<u64>,
    /// Store's numbers of the agents that told of it, ascending.
    pub agents: Vec<u64>,
}

impl TaskRecord {
    /// Adds what one event of task `task_id` tells.
    pub fn apply(&mut self, task_id: &str, event: &TaskEvent<'_>) {
        let attempt = event.attempt.unwrap_or(0);
        join_text(&mut self.name, event.name);
        join_text(&mut self.args, event.args);
        join_text(&mut self.kwargs, event.kwargs);
        join_text(&mut self.routing_key, event.routing_key);
        join_text(&mut self.exchange, event.exchange);
        join_text(&mut self.root_id, event.root_id.map(|root| if root == task_id { "" } else { root }));
        join_text(&mut self.parent_id, event.parent_id.filter(|parent| *parent != task_id));
        join_text(&mut self.group_id, event.group_id);
        join_text(&mut self.chord_id, event.chord_id);
        join_max(&mut self.expires, event.expires);
        join_max(&mut self.priority, event.priority);
        // A retry's eta speaks of the attempt that follows.
        let eta_attempt = if event.kind == TaskEventKind::Retry { attempt.saturating_add(1) } else { attempt };
        join_max(&mut self.eta, event.eta.map(|value| Stamped { attempt: eta_attempt, ts: event.ts, value }));
        if let Some(queue) = event.queue {
            let is_exact = event.routing_key.is_some() || event.kind == TaskEventKind::Sent;
            join_max(&mut self.queue, Some(ToldQueue { attempt, is_exact, ts: event.ts, value: queue.to_owned() }));
        }
        if event.kind == TaskEventKind::Progress {
            let value = Progress {
                done_bits: event.done.map(f64::to_bits),
                total_bits: event.total.map(f64::to_bits),
                note: event.note.map(str::to_owned),
            };
            join_max(&mut self.progress, Some(Stamped { attempt, ts: event.ts, value }));
        } else {
            self.insert_mark(Mark::of(event));
        }
    }

    /// Adds everything that `other`, a record of the same task, knows.
    pub fn merge(&mut self, other: Self) {
        join_text_owned(&mut self.name, other.name);
        join_text_owned(&mut self.args, other.args);
        join_text_owned(&mut self.kwargs, other.kwargs);
        join_text_owned(&mut self.routing_key, other.routing_key);
        join_text_owned(&mut self.exchange, other.exchange);
        join_text_owned(&mut self.root_id, other.root_id);
        join_text_owned(&mut self.parent_id, other.parent_id);
        join_text_owned(&mut self.group_id, other.group_id);
        join_text_owned(&mut self.chord_id, other.chord_id);
        join_text_owned(&mut self.retry_of, other.retry_of);
        join_max(&mut self.queue, other.queue);
        join_max(&mut self.eta, other.eta);
        join_max(&mut self.expires, other.expires);
        join_max(&mut self.priority, other.priority);
        join_max(&mut self.retried_as, other.retried_as);
        join_max(&mut self.progress, other.progress);
        for mark in other.marks {
            self.insert_mark(mark);
        }
        for batch in other.batches {
            self.note_batch(batch);
        }
        for agent in other.agents {
            self.note_agent(agent);
        }
    }

    /// Remembers that raw batch number `batch` told of this task.
    pub fn note_batch(&mut self, batch: u64) {
        if let Err(at) = self.batches.binary_search_by(|have| batch.cmp(have)) {
            self.batches.insert(at, batch);
            self.batches.truncate(MAX_BATCHES);
        }
    }

    /// Remembers that agent number `agent` told of this task.
    pub fn note_agent(&mut self, agent: u64) {
        if let Err(at) = self.agents.binary_search(&agent) {
            self.agents.insert(at, agent);
            self.agents.truncate(MAX_AGENTS);
        }
    }

    fn insert_mark(&mut self, mark: Mark) {
        let Err(at) = self.marks.binary_search(&mark) else { return };
        // Of what is told of one and the same in several ways, the first way counts: an event of the engine's own.
        if at > 0 && self.marks[at - 1].tells_the_same(&mark) {
            return;
        }
        if let Some(next) = self.marks.get_mut(at).filter(|next| next.tells_the_same(&mark)) {
            *next = mark;
            return;
        }
        self.marks.insert(at, mark);
        if self.marks.len() > MAX_MARKS {
            self.marks.remove(0);
        }
    }
}

impl Mark {
    /// True when the two differ in how they are known at most.
    fn tells_the_same(&self, other: &Self) -> bool {
        (self.attempt, self.kind, self.ts) == (other.attempt, other.kind, other.ts)
            && *self == Self { known_by: self.known_by, ..other.clone() }
    }

    /// True when an observer of the same end knew more of it than the other one.
    pub(super) fn tells_more_than(&self, other: &Self) -> bool {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let told = |mark: &Self| {
            let texts = (length(&mark.traceback), length(&mark.result), length(&mark.exception_message));
            (mark.known_by.is_none(), texts, mark.runtime_us.is_some())
        };
        told(self) > told(other)
    }

    /// True when nothing speaks against both having been told of one worker.
    pub(super) fn may_share_worker(&self, other: &Self) -> bool {
        self.worker.is_none() || other.worker.is_none() || self.worker == other.worker
    }

    fn of(event: &TaskEvent<'_>) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Self {
            attempt: event.attempt,
            kind: event.kind,
            ts: event.ts,
            worker: own(event.worker),
            runtime_us: event.runtime_us,
            result: own(event.result),
            exception: own(event.exception),
            exception_message: own(event.exception_message),
            traceback: own(event.traceback),
            signal: own(event.signal),
            terminated: event.terminated,
            expired: event.expired,
            requeue: event.requeue,
            known_by: event.known_by,
        }
    }
}

fn join_max<T: Ord>(slot: &mut Option<T>, value: Option<T>) {
    if value > *slot {
        *slot = value;
    }
}

/// Of two texts the longer tells more; between equals any fixed rule will do.
fn tells_more(new: &str, old: &str) -> bool {
    (new.len(), new) > (old.len(), old)
}

fn join_text(slot: &mut Option<String>, value: Option<&str>) {
    if let Some(new) = value
        && slot.as_deref().is_none_or(|old| tells_more(new, old))
    {
        *slot = Some(new.to_owned());
    }
}

fn join_text_owned(slot: &mut Option<String>, value: Option<String>) {
    if let Some(new) = value
        && slot.as_deref().is_none_or(|old| tells_more(&new, old))
    {
        *slot = Some(new);
    }
}
