//! Tasks that are under way for too long: when to ask the engine about one, and what its answer means.
//!
//! A worker that is killed tells nobody of the task it ran. So the brain asks: an agent looks into the result backend, asks the
//! workers, and looks for the message. Only when nothing is found anywhere, twice, is a task called lost, and whoever finds out
//! more takes that back (see [`TaskRecord::task`](crate::TaskRecord::task)). Nothing is retried.

use crate::filter::Pattern;
use crate::time::{DAY, MINUTE, SECOND};
use crate::{Task, TaskState, Timestamp};

/// A task that runs so many times as long as 99 % of its type is worth a question.
const TIMES_P99: i64 = 3;
/// Sooner is not asked, unless the operator says so, …
const SOONEST: i64 = MINUTE;
/// … nor later.
const LATEST: i64 = DAY;
/// When nothing else is known or said.
const USUAL: i64 = 10 * MINUTE;
/// Least time between two answers of nothing that make a task lost: what is on its way comes in between.
const CONFIRM_AFTER: i64 = 30 * SECOND;
/// Longest pause between two questions about a task that lives, unless it may run longer than that.
const LONGEST_PAUSE: i64 = 60 * MINUTE;
/// Most clauses of evidence that are kept, and most bytes of each.
const MAX_CLAUSES: usize = 12;
const MAX_CLAUSE_BYTES: usize = 500;
/// Between the clauses of evidence where they are one text.
const BETWEEN: &str = "; ";

/// How long tasks may be with a worker before the brain asks; checked. In microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskAfter {
    usual: i64,
    of_types: Vec<(Pattern, i64)>,
}

impl Default for AskAfter {
    fn default() -> Self {
        Self { usual: USUAL, of_types: Vec::new() }
    }
}

impl AskAfter {
    /// `usual` for types of which nothing is known; `of_types` for those that are named, of which the last that fits counts.
    pub fn new(usual: Option<i64>, of_types: Vec<(Pattern, i64)>) -> Self {
        Self { usual: usual.unwrap_or(USUAL).max(1), of_types }
    }

    /// How long a task of a type may be under way before it is asked about. `p99` is the run time of nearly all tasks of that type.
    pub fn of(&self, name: Option<&str>, p99: Option<i64>) -> i64 {
        let said = self.of_types.iter().rev().find(|(of, _)| name.is_some_and(|name| of.matches(name)));
        match (said, p99) {
            (Some((_, after)), _) => (*after).max(1),
            (None, Some(p99)) => p99.saturating_mul(TIMES_P99).clamp(SOONEST.min(self.usual), LATEST.max(self.usual)),
            (None, None) => self.usual,
        }
    }

    /// No task is asked about before it is under way for so long.
    pub fn least(&self) -> i64 {
        let said = self.of_types.iter().map(|(_, after)| *after);
        said.chain([SOONEST, self.usual]).min().unwrap_or(SOONEST).max(1)
    }
}

/// Since when a task is with a worker and gives no sign: received, or due, or begun, or last heard of. `None` when it is not with
/// one, as far as is known.
pub fn under_way_since(task: &Task<'_>) -> Option<Timestamp> {
    let current = task.current();
    if current.end.is_some() {
        return None;
    }
    let of_it = |attempt: u32| attempt == current.number;
    let eta = task.record.eta.as_ref().filter(|eta| of_it(eta.attempt)).map(|eta| eta.value);
    let progress = task.record.progress.as_ref().filter(|progress| of_it(progress.attempt)).map(|progress| progress.ts);
    match (current.started_at, current.received_at) {
        (Some(started), _) => Some(progress.map_or(started, |at| at.max(started))),
        (None, Some(received)) => Some(eta.map_or(received, |eta| eta.max(received))),
        (None, None) => None,
    }
}

/// The states in which a task may be under way.
pub const UNDER_WAY: [TaskState; 3] = [TaskState::Received, TaskState::Started, TaskState::Retrying];

/// How an engine says that a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// It has ended.
    Ended,
    /// It runs, a worker holds it, or its message is there.
    Alive,
    /// Nothing was found of it.
    Nothing,
    /// That was not understood, or not said.
    #[default]
    Unclear,
}

impl Found {
    /// Reads the state of an answer.
    pub fn from_state(state: &str) -> Self {
        match TaskState::from_name(state) {
            Some(TaskState::Lost) => Self::Unclear,
            Some(state) if state.is_final() => Self::Ended,
            Some(_) => Self::Alive,
            None if state == "unknown" => Self::Nothing,
            None => Self::Unclear,
        }
    }
}

/// What an engine answered about one task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// How it stands.
    pub found: Found,
    /// What was looked at and what that showed, a clause each.
    pub evidence: Vec<String>,
    /// Workers that said what they hold.
    pub workers_answered: u64,
    /// Workers that did not, though they are believed to be up.
    pub workers_silent: u64,
    /// Its result cannot be read.
    pub results_unseen: bool,
    /// Not all messages that wait could be looked at.
    pub queues_unseen: bool,
    /// Not all messages that are with workers could be looked at.
    pub unacked_unseen: bool,
}

/// What else is known of a task when its answer is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The worker that had it is known to be gone.
    pub worker_is_gone: bool,
    /// The agent has observed what it has not delivered yet.
    pub agent_is_behind: bool,
    /// An agent that observes it does not have task events sent: its end may make no sound.
    pub ends_unheard: bool,
    /// No message waits in the queue it came from, or in any that it may have come from.
    pub queue_is_empty: bool,
    /// When nothing was found of it before, if nothing was heard of it since.
    pub missing_since: Option<Timestamp>,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has ended; the agent tells that by itself.
    Completed,
    /// It lives: ask again later.
    Alive,
    /// Nobody can say: ask again later.
    Unclear,
    /// Nothing was found of it: ask once more before it is called lost.
    Missing,
    /// Nothing was found of it again: the evidence, a clause each.
    Lost(Vec<String>),
}

/// Judges an answer about a task that is asked about after `threshold`.
pub fn judge(task: &Task<'_>, answer: &Answer, known: Known, threshold: i64, now: Timestamp) -> Verdict {
    match answer.found {
        Found::Ended => return Verdict::Completed,
        Found::Alive => return Verdict::Alive,
        Found::Unclear => return Verdict::Unclear,
        Found::Nothing => {}
    }
    let nobody_knows = answer.workers_answered == 0 && !known.worker_is_gone;
    // What a worker had not begun goes back to its queue when the worker goes; so does what it had begun, where it is acknowledged late.
    let has_begun = task.current().started_at.is_some();
    let may_wait = answer.queues_unseen && !(has_begun && known.queue_is_empty);
    let may_be_there = answer.workers_silent > 0 || answer.unacked_unseen || may_wait;
    // Then a task that kept no result and ended well looks like one that is gone.
    let may_have_ended = answer.results_unseen && known.ends_unheard;
    if nobody_knows || may_be_there || may_have_ended || known.agent_is_behind {
        return Verdict::Unclear;
    }
    let is_confirmed = |since: Timestamp| now.0.saturating_sub(since.0) >= confirm_after(threshold);
    match known.missing_since.is_some_and(is_confirmed) {
        true => Verdict::Lost(evidence(task, answer, known)),
        false => Verdict::Missing,
    }
}

/// How long after the first answer of nothing it is asked again.
pub fn confirm_after(threshold: i64) -> i64 {
    threshold.min(CONFIRM_AFTER)
}

/// How long to leave a task alone that was asked about so many times.
pub fn pause_after(times: u32, threshold: i64) -> i64 {
    let doubled = threshold.saturating_mul(1 << times.saturating_sub(1).min(20));
    doubled.min(threshold.max(LONGEST_PAUSE))
}

fn evidence(task: &Task<'_>, answer: &Answer, known: Known) -> Vec<String> {
    let mut clauses: Vec<String> = answer.evidence.iter().take(MAX_CLAUSES).map(|clause| as_clause(clause)).collect();
    if let Some(worker) = task.worker().filter(|_| known.worker_is_gone)
        && !clauses.iter().any(|clause| clause.contains(worker))
    {
        clauses.push(as_clause(&format!("the worker {worker}, which had it, is gone")));
    }
    if answer.queues_unseen {
        clauses.push("no message waits in its queue".to_owned());
    }
    // Where its worker is up, it has probably just ended, without a result that is kept.
    if answer.results_unseen || !known.worker_is_gone {
        clauses.push("it may have finished unheard".to_owned());
    }
    clauses.retain(|clause| !clause.is_empty());
    clauses
}

fn as_clause(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_CLAUSE_BYTES)].replace(BETWEEN, ", ").trim().to_owned()
}

/// Clauses of evidence as the one text that a record keeps.
pub fn evidence_text(clauses: &[String]) -> String {
    clauses.join(BETWEEN)
}

/// The clauses in the text that a record keeps.
pub fn evidence_clauses(text: &str) -> Vec<String> {
    text.split(BETWEEN).filter(|clause| !clause.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
