//! How often an attempt was begun.
//!
//! A broker delivers a message again when its worker is gone, or was too slow to acknowledge it; then the same attempt is begun
//! once more, maybe while the first worker still runs it. Several observers may also tell of one start: that is no second one.

use super::Mark;
use crate::time::SECOND;
use crate::{TaskEventKind, Timestamp};

/// Two observers of one start are no further apart. Most differ by milliseconds; who knows of a start only from the stored
/// result waits two seconds for the event first.
pub(super) const OBSERVERS_DIFFER: i64 = 5 * SECOND;

/// One time that execution began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// When.
    pub at: Timestamp,
    /// On which worker.
    pub worker: Option<&'a str>,
}

/// Every time that execution of an attempt began, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts<'a> {
    /// Kept by itself: nearly all attempts are begun once, and tasks are looked at often.
    first: Option<Start<'a>>,
    more: Vec<Start<'a>>,
}

impl<'a> Starts<'a> {
    /// How many there are.
    pub fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Start<'a>> {
        self.first.iter().chain(&self.more)
    }

    /// Takes in a mark that tells of a start; they come by time. `all` are the marks of its attempt.
    pub(super) fn take(&mut self, mark: &'a Mark, all: &[(u32, &Mark)]) {
        let worker = mark.worker.as_deref();
        let Some(first) = &mut self.first else {
            self.first = Some(Start { at: mark.ts, worker });
            return;
        };
        let mut known = std::iter::once(first).chain(&mut self.more);
        match known.find(|start| !start.is_another(mark, all)) {
            Some(start) => start.worker = start.worker.or(worker),
            None => self.more.push(Start { at: mark.ts, worker }),
        }
    }
}

impl Start<'_> {
    /// True when `mark` tells of another start than this one.
    fn is_another(&self, mark: &Mark, all: &[(u32, &Mark)]) -> bool {
        // That a worker holds a task, when it is asked, does not say that it was delivered again.
        let is_delivery = |other: &&&Mark| other.kind == TaskEventKind::Received && other.known_by.is_none();
        let mut deliveries = all.iter().map(|(_, other)| other).filter(is_delivery);
        let worker = mark.worker.as_deref();
        match (self.worker, worker) {
            // An observer that has missed the retry in between does not say the attempt's number, nor that it was received.
            (Some(one), Some(other)) if one != other => {
                mark.attempt.is_some() || deliveries.any(|delivery| delivery.worker.as_deref() == worker)
            }
            // An agent that comes back finds the task running, and cannot always say since when: nothing was delivered again.
            _ => {
                let may_be_of = |delivery: &Mark| {
                    let by = delivery.worker.as_deref();
                    by.is_none() || worker.is_none() || by == worker
                };
                let is_between = |delivery: &Mark| self.at < delivery.ts && delivery.ts <= mark.ts;
                mark.ts.0.saturating_sub(self.at.0) > OBSERVERS_DIFFER
                    && deliveries.any(|delivery| is_between(delivery) && may_be_of(delivery))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{TaskEvent, TaskEventKind as Kind, TaskRecord, Timestamp, time::SECOND};

    fn event(kind: Kind, seconds: i64, worker: &'static str, attempt: Option<u32>) -> TaskEvent<'static> {
        let worker = (!worker.is_empty()).then_some(worker);
        TaskEvent { kind, ts: Timestamp(seconds * SECOND), worker, attempt, ..TaskEvent::default() }
    }

    /// The starts of the first attempt: seconds and worker.
    fn starts(events: &[TaskEvent<'_>]) -> Vec<(i64, String)> {
        let mut record = TaskRecord::default();
        events.iter().for_each(|event| record.apply("t", event));
        let task = record.task();
        let starts = &task.attempts[0].starts;
        assert_eq!(task.started_twice(), starts.count() > 1);
        starts.iter().map(|start| (start.at.0 / SECOND, start.worker.unwrap_or("").to_owned())).collect()
    }

    fn started_at(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
        expected.iter().map(|(at, worker)| (*at, (*worker).to_owned())).collect()
    }

    #[test]
    fn two_observers_of_one_start_tell_of_one_start() {
        let told = [
            event(Kind::Received, 1, "a", Some(0)),
            event(Kind::Started, 1, "a", Some(0)),
            event(Kind::Received, 2, "a", Some(0)),
            event(Kind::Started, 3, "a", None),
            event(Kind::Started, 4, "", Some(0)),
        ];
        assert_eq!(starts(&told), started_at(&[(1, "a")]));
    }

    #[test]
    fn an_agent_that_finds_a_task_running_tells_of_no_new_start() {
        let told = [
            event(Kind::Received, 1, "a", Some(0)),
            event(Kind::Started, 2, "a", Some(0)),
            event(Kind::Started, 600, "a", None),
        ];
        assert_eq!(starts(&told), started_at(&[(2, "a")]));
    }

    #[test]
    fn what_another_worker_begins_is_begun_twice_however_soon() {
        let told = [
            event(Kind::Started, 2, "a", Some(0)),
            event(Kind::Received, 2, "b", Some(0)),
            event(Kind::Started, 3, "b", Some(0)),
            event(Kind::Started, 3, "b", None),
        ];
        assert_eq!(starts(&told), started_at(&[(2, "a"), (3, "b")]));
    }

    #[test]
    fn a_worker_that_gets_a_task_again_begins_it_again() {
        let told = [
            event(Kind::Received, 1, "a", Some(0)),
            event(Kind::Started, 2, "a", Some(0)),
            event(Kind::Received, 60, "b", Some(0)),
            event(Kind::Started, 61, "b", Some(0)),
            event(Kind::Received, 120, "a", Some(0)),
            event(Kind::Started, 121, "a", Some(0)),
            event(Kind::Succeeded, 130, "a", Some(0)),
        ];
        assert_eq!(starts(&told), started_at(&[(2, "a"), (61, "b"), (121, "a")]));
    }

    #[test]
    fn a_next_attempt_whose_retry_was_missed_is_not_taken_for_a_second_start() {
        let told = [
            event(Kind::Received, 1, "a", Some(0)),
            event(Kind::Started, 2, "a", Some(0)),
            event(Kind::Started, 60, "b", None),
        ];
        assert_eq!(starts(&told), started_at(&[(2, "a")]));
        let retried =
            [&told[..2], &[event(Kind::Retry, 3, "a", Some(0)), event(Kind::Started, 60, "b", None)]].concat();
        assert_eq!(starts(&retried), started_at(&[(2, "a")]));
    }
}
