//! From what is known of a task to what that means: its attempts, its state, its times.

use super::starts::{OBSERVERS_DIFFER, Starts};
use super::{Mark, TaskRecord, TaskState};
use crate::{TaskEventKind, Timestamp};

/// One run of a task, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt<'a> {
    /// 0 for the first.
    pub number: u32,
    /// Where this attempt is, or how it ended.
    pub state: TaskState,
    /// Worker that held it last.
    pub worker: Option<&'a str>,
    /// Published.
    pub sent_at: Option<Timestamp>,
    /// Taken from the broker.
    pub received_at: Option<Timestamp>,
    /// Execution began.
    pub started_at: Option<Timestamp>,
    /// Every time that execution began; more than one when the broker delivered it again while, or after, it ran.
    pub starts: Starts<'a>,
    /// The mark that ended it.
    pub end: Option<&'a Mark>,
}

impl Attempt<'_> {
    /// Run time in microseconds: as measured by the worker, else from the two marks. That of a lost attempt is not known, nor that of one
    /// which was only seen to run after it had ended.
    pub fn runtime_us(&self) -> Option<u64> {
        let end = self.end.filter(|end| end.kind != TaskEventKind::Lost)?;
        end.runtime_us.or_else(|| u64::try_from(end.ts.0 - self.started_at?.0).ok())
    }

    /// Time from sent (or received, where sent is not known) to started, in microseconds; waiting for `eta` does not count.
    pub fn wait_us(&self, eta: Option<Timestamp>) -> Option<u64> {
        let started = self.started_at?;
        let queued = self.sent_at.or(self.received_at)?;
        let from = eta.filter(|eta| *eta <= started).map_or(queued, |eta| eta.max(queued));
        Some((started.0 - from.0).max(0) as u64)
    }
}

/// A task as people see it, derived from its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Task<'a> {
    /// Everything known.
    pub record: &'a TaskRecord,
    /// The attempts of which anything is known, ascending; never empty.
    pub attempts: Vec<Attempt<'a>>,
    /// State of the latest attempt.
    pub state: TaskState,
    /// Latest thing that happened; the epoch when nothing has.
    pub updated_at: Timestamp,
}

impl<'a> Task<'a> {
    /// The latest attempt.
    pub fn current(&self) -> &Attempt<'a> {
        // `TaskRecord::task` always builds one attempt at least.
        &self.attempts[self.attempts.len() - 1]
    }

    /// Worker of the latest attempt that has one.
    pub fn worker(&self) -> Option<&'a str> {
        self.attempts.iter().rev().find_map(|a| a.worker)
    }

    /// Queue it waits in or came from.
    pub fn queue(&self) -> Option<&'a str> {
        self.record.queue.as_ref().map(|q| q.value.as_str())
    }

    /// Earliest time to run of the latest attempt.
    pub fn eta(&self) -> Option<Timestamp> {
        self.record.eta.as_ref().map(|eta| eta.value)
    }

    /// When it was first sent, else the earliest thing known.
    pub fn first_seen(&self) -> Timestamp {
        self.record.marks.iter().map(|m| m.ts).min().unwrap_or_default()
    }

    /// True when an attempt was begun more than once: what it does was done twice, or half and once more.
    pub fn started_twice(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.starts.count() > 1)
    }

    /// The mark by which the task is lost, if it is.
    pub fn lost(&self) -> Option<&'a Mark> {
        self.current().end.filter(|end| end.kind == TaskEventKind::Lost)
    }

    /// The mark that ended the latest attempt that ended: the last error, or the result.
    pub fn last_end(&self) -> Option<&'a Mark> {
        self.attempts.iter().rev().find_map(|a| a.end)
    }

    /// Time from sent to started of the latest attempt, in microseconds.
    pub fn wait_us(&self) -> Option<u64> {
        let current = self.current();
        let eta = self.record.eta.as_ref().filter(|eta| eta.attempt == current.number);
        current.wait_us(eta.map(|eta| eta.value))
    }
}

impl TaskRecord {
    /// What the record means.
    pub fn task(&self) -> Task<'_> {
        let attempts = self.attempts();
        let state = attempts.last().map_or(TaskState::Pending, |a| a.state);
        let last_mark = self.marks.iter().map(|m| m.ts).max().unwrap_or_default();
        let last_progress = self.progress.as_ref().map(|p| p.ts).unwrap_or_default();
        Task { record: self, attempts, state, updated_at: last_mark.max(last_progress) }
    }

    fn attempts(&self) -> Vec<Attempt<'_>> {
        let mut numbered: Vec<(u32, &Mark)> = Vec::with_capacity(self.marks.len());
        for mark in &self.marks {
            numbered.push((self.attempt_of(mark), mark));
        }
        // Marks sort by (attempt, kind, ts); inferred numbers can break that order.
        numbered.sort_by_key(|(number, mark)| (*number, mark.kind.rank(), mark.ts, mark.kind));
        let mut attempts: Vec<Attempt<'_>> = Vec::with_capacity(2);
        for of_one in numbered.chunk_by(|(one, _), (other, _)| one == other) {
            let mut attempt = Attempt::new(of_one[0].0);
            for (_, mark) in of_one {
                if mark.kind != TaskEventKind::Lost || !self.lives_after(&attempt, mark.ts, of_one) {
                    attempt.add(mark, of_one);
                }
            }
            attempts.push(attempt);
        }
        if attempts.is_empty() {
            attempts.push(Attempt::new(0));
        }
        attempts
    }

    /// True when an attempt was received, was begun or got on after `ts`: whoever called it lost by then was wrong, or it was
    /// delivered again.
    fn lives_after(&self, attempt: &Attempt<'_>, ts: Timestamp, all: &[(u32, &Mark)]) -> bool {
        let progress = self.progress.as_ref().filter(|progress| progress.attempt == attempt.number);
        let is_sign = |mark: &Mark| matches!(mark.kind, TaskEventKind::Received | TaskEventKind::Started);
        progress.is_some_and(|progress| progress.ts > ts) || all.iter().any(|(_, mark)| is_sign(mark) && mark.ts > ts)
    }

    /// The attempt that a mark tells of.
    pub(super) fn attempt_of(&self, mark: &Mark) -> u32 {
        mark.attempt.unwrap_or_else(|| self.infer_attempt(mark))
    }

    /// The attempt of a mark whose observer did not know it: the latest attempt that had begun by then.
    /// An attempt is known to have begun by a numbered mark of it, or by the retry that ended the one before.
    fn infer_attempt(&self, mark: &Mark) -> u32 {
        if let Some(number) = self.told_retry(mark) {
            return number;
        }
        let mut number = 0;
        let mut unnumbered_retries = 0;
        for other in &self.marks {
            let retried = other.kind == TaskEventKind::Retry && other.ts < mark.ts;
            match other.attempt {
                Some(n) => {
                    if other.ts <= mark.ts {
                        number = number.max(n);
                    }
                    if retried {
                        number = number.max(n.saturating_add(1));
                    }
                }
                None if retried => unnumbered_retries += 1,
                None => {}
            }
        }
        number.max(unnumbered_retries)
    }
}

impl TaskRecord {
    /// The attempt of a retry of which another observer knew the number. The next attempt may have been received before that: then the
    /// time does not tell.
    fn told_retry(&self, mark: &Mark) -> Option<u32> {
        if mark.kind != TaskEventKind::Retry {
            return None;
        }
        let apart = |other: &Mark| other.ts.0.abs_diff(mark.ts.0);
        let is_same = |other: &&Mark| {
            other.kind == TaskEventKind::Retry
                && other.attempt.is_some()
                && apart(other) <= OBSERVERS_DIFFER.unsigned_abs()
                && other.may_share_worker(mark)
        };
        self.marks.iter().filter(is_same).min_by_key(|other| (apart(other), other.attempt))?.attempt
    }
}

impl<'a> Attempt<'a> {
    fn new(number: u32) -> Self {
        Self {
            number,
            state: if number > 0 { TaskState::Retrying } else { TaskState::Pending },
            worker: None,
            sent_at: None,
            received_at: None,
            started_at: None,
            starts: Starts::default(),
            end: None,
        }
    }

    /// Takes in one mark of `all`, those of this attempt; marks come by ascending rank, then time.
    fn add(&mut self, mark: &'a Mark, all: &[(u32, &'a Mark)]) {
        if let Some(worker) = mark.worker.as_deref() {
            self.worker = Some(worker);
        }
        match mark.kind {
            TaskEventKind::Sent => {
                self.sent_at = Some(self.sent_at.map_or(mark.ts, |t| t.min(mark.ts)));
            }
            TaskEventKind::Received => {
                // Of two that tell of one delivery, the first knew it sooner.
                let is_told = self.received_at.is_some_and(|at| mark.ts.0.saturating_sub(at.0) <= OBSERVERS_DIFFER);
                if !is_told {
                    self.received_at = Some(mark.ts);
                }
                if self.number == 0 {
                    self.state = TaskState::Received;
                }
            }
            TaskEventKind::Started => {
                self.state = TaskState::Started;
                let known = self.starts.count();
                self.starts.take(mark, all);
                // Who finds a task running may not know since when; and of two that tell of one start, the first knew it sooner.
                let is_known = self.starts.count() == known;
                let is_near = |at: &Timestamp| mark.ts.0.saturating_sub(at.0) <= OBSERVERS_DIFFER;
                let is_told = is_known && (mark.known_by.is_some() || self.started_at.as_ref().is_some_and(is_near));
                if !is_told {
                    self.started_at = Some(mark.ts);
                }
            }
            TaskEventKind::Progress => {}
            TaskEventKind::Retry => self.finish(TaskState::Retrying, mark),
            TaskEventKind::Rejected if mark.requeue => {}
            TaskEventKind::Rejected => self.finish(TaskState::Rejected, mark),
            TaskEventKind::Lost => self.finish(TaskState::Lost, mark),
            TaskEventKind::Revoked => self.finish(TaskState::Revoked, mark),
            TaskEventKind::Failed => self.finish(TaskState::Failed, mark),
            TaskEventKind::Succeeded => self.finish(TaskState::Succeeded, mark),
        }
    }

    fn finish(&mut self, state: TaskState, mark: &'a Mark) {
        // Two observers tell of one end a moment apart: the one who knows more of it is believed.
        let is_same = |end: &&Mark| {
            end.kind == mark.kind
                && mark.ts.0.saturating_sub(end.ts.0) <= OBSERVERS_DIFFER
                && end.may_share_worker(mark)
        };
        if self.end.filter(is_same).is_some_and(|end| end.tells_more_than(mark)) {
            return;
        }
        self.state = state;
        self.end = Some(mark);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod witnesses;
