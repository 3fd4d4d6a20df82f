//! Workers that live and begin nothing though messages wait for them: what a look remembers, and what follows from it.
//!
//! Times are those of the looks, not of workers and brokers, whose clocks differ: a word counts as fresh while it changes from look
//! to look. What was not seen the whole time is not held against a worker.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::time::{MINUTE, SECOND};

use super::consumption::is_online;
use super::workers::problem;
use crate::api::types::{FoundProblem, FoundProblemKind, FoundProblemSeverity};
use crate::wording::{agreeing, listed, plural, span};

/// More workers, or more queues, of a project are not remembered.
const MOST: usize = 10_000;
/// Workers are told of every 10 s, and queues too, also when nothing changes.
const FRESH: i64 = 25 * SECOND;
/// A worker may take so many of its usual gaps between two tasks …
const GAPS: f64 = 10.0;
/// … but at least so long, which is longer than a word stays fresh …
const LEAST: i64 = 30 * SECOND;
/// … and at most so long …
const LONGEST: i64 = 10 * MINUTE;
/// … and so long where no gap is known.
const UNKNOWN_GAP: i64 = MINUTE;

/// Engine and name.
pub(super) type Key = (String, String);

/// What was seen of the workers and queues of a project.
#[derive(Debug, Default)]
pub(super) struct Memory {
    workers: BTreeMap<Key, WorkerMemory>,
    queues: BTreeMap<Key, QueueMemory>,
}

#[derive(Debug)]
struct WorkerMemory {
    last_seen_at: Timestamp,
    /// When its last word was new.
    heard_at: Timestamp,
    processed: u64,
    active: Option<u64>,
    /// When either of them last changed.
    moved_at: Timestamp,
    /// Microseconds from one task to the next while messages waited.
    gap: Option<f64>,
    /// From when on, and from which number, its tasks are counted that no event told of.
    counted: (Timestamp, u64),
}

#[derive(Debug)]
struct QueueMemory {
    sampled_at: Timestamp,
    heard_at: Timestamp,
    depth: u64,
    /// Since when every look has found messages in it.
    waits_since: Option<Timestamp>,
}

/// A worker that begins nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Idle {
    /// Since when it has begun nothing while messages waited, at least.
    pub(crate) since: Timestamp,
    /// Its queues in which they wait.
    pub(crate) queues: Vec<String>,
    /// How many.
    pub(crate) waiting: u64,
    /// Microseconds from one of its tasks to the next, as it used to be.
    pub(crate) usual_gap: Option<i64>,
}

/// A worker that has run tasks since some time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) since: Timestamp,
    pub(super) tasks: u64,
}

impl Memory {
    /// Takes in what is known at `now`.
    pub(super) fn see(&mut self, workers: &[Worker], queues: &[Queue], now: Timestamp) {
        self.see_queues(queues, now);
        let here: Vec<&Worker> = workers.iter().filter(|worker| is_online(worker, now)).take(MOST).collect();
        let mut before = std::mem::take(&mut self.workers);
        for worker in here {
            let key = (worker.engine.clone(), worker.name.clone());
            let Some(processed) = worker.facts.processed else { continue };
            let memory = match before.remove(&key) {
                Some(memory) => self.moved(memory, worker, processed, now),
                None => WorkerMemory::begin(worker, processed, now),
            };
            self.workers.insert(key, memory);
        }
    }

    fn see_queues(&mut self, queues: &[Queue], now: Timestamp) {
        let mut before = std::mem::take(&mut self.queues);
        for queue in queues.iter().take(MOST) {
            let key = (queue.engine.clone(), queue.name.clone());
            let depth = queue.depth.unwrap_or(0);
            let known = before.remove(&key);
            let heard_at =
                known.as_ref().filter(|known| known.sampled_at == queue.sampled_at).map(|known| known.heard_at);
            let heard_at = heard_at.unwrap_or(now);
            let waits = depth > 0 && is_fresh(heard_at, now);
            // A sample that was old before this look began says nothing of the time in between.
            let waits_since = waits.then(|| known.and_then(|known| known.waits_since).unwrap_or(now));
            let memory = QueueMemory { sampled_at: queue.sampled_at, heard_at, depth, waits_since };
            self.queues.insert(key, memory);
        }
    }

    fn moved(&self, mut memory: WorkerMemory, worker: &Worker, processed: u64, now: Timestamp) -> WorkerMemory {
        if memory.last_seen_at != worker.last_seen_at {
            (memory.last_seen_at, memory.heard_at) = (worker.last_seen_at, now);
        }
        // It started anew, or was silent for a while: what came before does not count.
        if processed < memory.processed || !is_fresh(memory.heard_at, now) {
            return WorkerMemory {
                heard_at: memory.heard_at,
                gap: memory.gap,
                ..WorkerMemory::begin(worker, processed, now)
            };
        }
        let (begun, active) = (processed - memory.processed, worker.facts.active);
        if begun > 0 || active != memory.active {
            if begun > 0 && self.waited_since(worker, memory.moved_at) {
                let gap = now.0.saturating_sub(memory.moved_at.0) as f64 / begun as f64;
                memory.gap = Some(memory.gap.map_or(gap, |known| known * 0.8 + gap * 0.2));
            }
            (memory.processed, memory.active, memory.moved_at) = (processed, active, now);
        }
        memory
    }

    /// True when messages have waited in a queue of the worker since then.
    fn waited_since(&self, worker: &Worker, then: Timestamp) -> bool {
        self.waiting_queues(worker).any(|(_, _, since)| since <= then)
    }

    /// Queues of a worker in which messages wait: name, how many, since when.
    fn waiting_queues<'m>(&'m self, worker: &'m Worker) -> impl Iterator<Item = (&'m str, u64, Timestamp)> {
        worker.facts.queues.iter().flatten().filter_map(|name| {
            let queue = self.queues.get(&(worker.engine.clone(), name.clone()))?;
            Some((name.as_str(), queue.depth, queue.waits_since?))
        })
    }

    /// What shows that a worker begins nothing.
    pub(super) fn idle(&self, worker: &Worker, now: Timestamp) -> Option<Idle> {
        let memory = self.workers.get(&(worker.engine.clone(), worker.name.clone()))?;
        if !is_fresh(memory.heard_at, now) || !is_online(worker, now) || is_full(worker) {
            return None;
        }
        let waiting: Vec<(&str, u64, Timestamp)> = self.waiting_queues(worker).collect();
        let waits_since = waiting.iter().map(|(_, _, since)| *since).min()?;
        let since = waits_since.max(memory.moved_at);
        (now.0.saturating_sub(since.0) > patience(memory.gap)).then(|| Idle {
            since,
            waiting: waiting.iter().map(|(_, depth, _)| *depth).fold(0, u64::saturating_add),
            queues: waiting.into_iter().map(|(name, _, _)| name.to_owned()).collect(),
            usual_gap: memory.gap.map(|gap| gap as i64),
        })
    }

    /// How many tasks a worker has begun since they are counted.
    pub(super) fn counted(&self, worker: &Worker, now: Timestamp) -> Option<Counted> {
        let memory = self.workers.get(&(worker.engine.clone(), worker.name.clone()))?;
        let (since, from) = memory.counted;
        is_fresh(memory.heard_at, now).then(|| Counted { since, tasks: memory.processed.saturating_sub(from) })
    }

    /// Counts the tasks of a worker from here on.
    pub(super) fn count_anew(&mut self, key: &Key, now: Timestamp) {
        if let Some(memory) = self.workers.get_mut(key) {
            memory.counted = (now, memory.processed);
        }
    }
}

impl WorkerMemory {
    fn begin(worker: &Worker, processed: u64, now: Timestamp) -> Self {
        Self {
            last_seen_at: worker.last_seen_at,
            heard_at: now,
            processed,
            active: worker.facts.active,
            moved_at: now,
            gap: None,
            counted: (now, processed),
        }
    }
}

fn is_fresh(heard_at: Timestamp, now: Timestamp) -> bool {
    now.0.saturating_sub(heard_at.0) <= FRESH
}

/// True for a worker that runs as many tasks as it can, or may do so.
fn is_full(worker: &Worker) -> bool {
    match (worker.facts.active, worker.facts.concurrency) {
        (Some(0) | None, _) => false,
        (Some(active), Some(concurrency)) => active >= concurrency,
        (Some(_), None) => true,
    }
}

/// How long a worker may begin nothing.
fn patience(gap: Option<f64>) -> i64 {
    gap.map_or(UNKNOWN_GAP, |gap| ((gap * GAPS) as i64).clamp(LEAST, LONGEST))
}

/// The problem of a worker that begins nothing.
pub(super) fn of_idle(worker: &Worker, idle: &Idle, now: Timestamp) -> FoundProblem {
    let queues = listed(idle.queues.iter().map(String::as_str));
    let waits = agreeing(idle.waiting, "waits", "wait");
    let so_long = span(now.0.saturating_sub(idle.since.0));
    let mut cause = format!(
        "Its heartbeats come, but it has begun nothing for {so_long}, while {} {waits} in {queues}.",
        plural(idle.waiting, "message")
    );
    if let (Some(active), Some(concurrency)) = (worker.facts.active, worker.facts.concurrency) {
        cause.push_str(&format!(" It runs {active} of {}.", plural(concurrency, "task")));
    }
    if let Some(gap) = idle.usual_gap {
        cause.push_str(&format!(" It used to begin one every {}.", span(gap)));
    }
    let title = format!("Worker {} takes no tasks", worker.name);
    let remedy = "Look at its log, and restart it: a worker may stop consuming without a word after it has lost its broker, or when \
                  its pool hangs. A rate limit on all its tasks looks the same.";
    let kind = FoundProblemKind::WorkerIdle;
    let found = problem(worker, kind, FoundProblemSeverity::Error, title, cause);
    FoundProblem { remedy: Some(remedy.to_owned()), since: Some(idle.since), ..found }
}

#[cfg(test)]
mod tests;
