//! The attempts of a task, and to which of them an event belongs that does not say so itself.
//!
//! Only `task-received` and `task-sent` carry the attempt number. A worker often receives the next attempt before it
//! tells that the last one is to be retried, so "the latest" is no answer.

use taskplane_agent::engine::TaskObservation;
use taskplane_model::{TaskEventKind, Timestamp, time::SECOND};

/// The next attempt was received no longer before it is told that this one is to be retried.
const RETRY_LAGS: i64 = 5 * SECOND;
/// Attempts remembered per task.
const MAX_ATTEMPTS: usize = 4;

/// The latest attempts, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attempts(Vec<Attempt>);

/// One attempt, and what was already passed on about it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Attempt {
    /// Not known of a task that was first met in the middle of its life.
    number: Option<u32>,
    worker: Option<String>,
    /// A worker told that it received this attempt. Otherwise only its message was seen, and nothing says that what
    /// comes without a number is about this attempt.
    received: bool,
    /// When that was, by the worker's clock.
    received_ts: Timestamp,
    started: bool,
    end: Option<TaskEventKind>,
    /// When it ended, by the worker's clock.
    end_ts: Timestamp,
}

impl Attempt {
    fn open(&self) -> bool {
        self.end.is_none()
    }

    /// True when what was seen may be about it, by the worker that told.
    fn is_of(&self, seen: &TaskObservation) -> bool {
        self.worker.is_none() || seen.worker.is_none() || self.worker == seen.worker
    }

    fn reset(&mut self) {
        (self.started, self.end) = (false, None);
    }

    /// True when this was not told before; notes that it is now.
    fn admit(&mut self, kind: TaskEventKind, ts: Timestamp) -> bool {
        match kind {
            TaskEventKind::Started => !std::mem::replace(&mut self.started, true) && self.open(),
            kind if kind.ends_attempt() => {
                self.end_ts = self.end_ts.max(ts);
                self.end.replace(kind) != Some(kind)
            }
            _ => true,
        }
    }
}

impl Attempts {
    /// Finds the attempt something was seen of, puts its number into the observation, and says whether it is new.
    pub(crate) fn observe(&mut self, seen: &mut TaskObservation, ts: Timestamp) -> bool {
        seen.retries = seen.retries.or_else(|| self.retried_before(seen));
        let place = match seen.retries {
            Some(number) => self.numbered(number),
            None if seen.kind == TaskEventKind::Retry && !self.0.iter().any(|a| a.received) => return true,
            None => self.infer(seen, ts),
        };
        let Some(attempt) = self.0.get_mut(place) else { return true };
        if seen.kind == TaskEventKind::Received {
            // Delivered again, and run again. An event that lags behind the end that was told opens nothing.
            if ts > attempt.end_ts {
                attempt.reset();
            }
            attempt.worker.clone_from(&seen.worker);
            (attempt.received, attempt.received_ts) = (true, ts);
        }
        seen.retries = seen.retries.or(attempt.number.filter(|_| attempt.received));
        attempt.admit(seen.kind, ts)
    }

    /// A message of this attempt exists.
    pub(crate) fn exists(&mut self, number: u32) {
        self.numbered(number);
    }

    /// An attempt was told to be retried by its result alone, where no event will tell of the next one.
    pub(crate) fn retried(&mut self) {
        let Some(last) = self.0.last_mut() else { return };
        match (last.end, last.number) {
            (Some(TaskEventKind::Retry), Some(number)) => self.exists(number.saturating_add(1)),
            (Some(TaskEventKind::Retry), None) => last.reset(),
            _ => {}
        }
    }

    /// A result newer than the end that was told: the task ran again under its id.
    pub(crate) fn reopen(&mut self, done: Timestamp) {
        let ended = |a: &&mut Attempt| matches!(a.end, Some(TaskEventKind::Failed | TaskEventKind::Succeeded));
        if let Some(last) = self.0.last_mut().filter(ended)
            && done > last.end_ts
        {
            last.reset();
        }
    }

    /// True when a worker told that it received this attempt.
    pub(crate) fn was_received(&self, number: u32) -> bool {
        self.0.iter().any(|attempt| attempt.number == Some(number) && attempt.received)
    }

    /// True when a worker is known to have taken the latest attempt.
    pub(crate) fn was_taken(&self) -> bool {
        self.0.last().is_some_and(|last| last.received || last.started || last.end.is_some())
    }

    /// When a worker told that it received the latest attempt, by its own clock.
    pub(crate) fn received_at(&self) -> Option<Timestamp> {
        self.0.last().filter(|last| last.received).map(|last| last.received_ts)
    }

    /// How the latest attempt ended, if it did.
    pub(crate) fn end(&self) -> Option<TaskEventKind> {
        self.0.last()?.end
    }

    fn numbered(&mut self, number: u32) -> usize {
        // An attempt met without its number gets it from the first message that tells one.
        if let Some(unnumbered) = self.0.first_mut().filter(|attempt| attempt.number.is_none()) {
            unnumbered.number = Some(number);
        }
        match self.0.binary_search_by_key(&Some(number), |attempt| attempt.number) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, Attempt { number: Some(number), ..Attempt::default() });
                if self.0.len() > MAX_ATTEMPTS {
                    self.0.remove(0);
                    return place.saturating_sub(1);
                }
                place
            }
        }
    }

    /// The attempt before the first that is known, when a retry can only be about that one. Who has just begun to listen often hears
    /// first that the next attempt was received: that one has not run, or not at the worker that tells of a retry.
    fn retried_before(&self, seen: &TaskObservation) -> Option<u32> {
        let has_run = |a: &Attempt| a.is_of(seen) && (a.started || !a.open());
        let first = self.0.first().filter(|first| first.received && self.0.len() < MAX_ATTEMPTS)?;
        let is_before = seen.kind == TaskEventKind::Retry && !self.0.iter().any(has_run);
        first.number.filter(|_| is_before)?.checked_sub(1)
    }

    /// True when a worker with several children has just received, and maybe begun, the attempt that a retry of this one led to.
    fn owes_retry(&self, place: usize, ts: Timestamp) -> bool {
        let lags = |next: &Attempt| next.received && ts.0.saturating_sub(next.received_ts.0) <= RETRY_LAGS;
        self.0.get(place).is_some_and(|a| a.open() && a.started) && self.0.get(place + 1).is_some_and(lags)
    }

    fn infer(&mut self, seen: &TaskObservation, ts: Timestamp) -> usize {
        if self.0.is_empty() {
            self.0.push(Attempt { worker: seen.worker.clone(), ..Attempt::default() });
        }
        let mut places: Vec<usize> = (0..self.0.len()).filter(|place| self.0[*place].is_of(seen)).collect();
        if places.is_empty() {
            places.extend(0..self.0.len());
        }
        let last = places.last().copied().unwrap_or(0);
        let first_that = |is: &dyn Fn(&Attempt) -> bool| places.iter().copied().find(|place| is(&self.0[*place]));
        let last_that = |is: &dyn Fn(&Attempt) -> bool| places.iter().rev().copied().find(|place| is(&self.0[*place]));
        let found = match seen.kind {
            TaskEventKind::Started => first_that(&|a| a.open() && !a.started),
            TaskEventKind::Retry => {
                // The late event of a retry that was already told by its result.
                let late = last_that(&|a| a.end == Some(TaskEventKind::Retry) && a.end_ts >= ts);
                let owed = || places.iter().copied().find(|place| self.owes_retry(*place, ts));
                let running = || last_that(&|a| a.open() && a.started);
                late.or_else(owed).or_else(running).or_else(|| first_that(&Attempt::open))
            }
            _ => last_that(&|a| a.open() && a.started).or_else(|| last_that(&Attempt::open)),
        };
        found.unwrap_or(last)
    }
}

#[cfg(test)]
impl Attempts {
    /// A worker received this attempt.
    pub(crate) fn note_received(&mut self, number: u32) {
        let mut seen =
            TaskObservation { kind: TaskEventKind::Received, retries: Some(number), ..TaskObservation::default() };
        self.observe(&mut seen, Timestamp(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskEventKind::{Failed, Received, Retry, Started, Succeeded};

    /// Events as they arrive, each with the attempt it was found to belong to, or `None` when it was told before.
    fn told(events: &[(TaskEventKind, Option<u32>, &str)]) -> Vec<Option<Option<u32>>> {
        told_every(1, events)
    }

    /// As `told`; from one event to the next it takes so long.
    fn told_every(pause: i64, events: &[(TaskEventKind, Option<u32>, &str)]) -> Vec<Option<Option<u32>>> {
        let mut attempts = Attempts::default();
        let observe = |(i, (kind, retries, worker)): (usize, &(TaskEventKind, Option<u32>, &str))| {
            let worker = Some((*worker).to_owned());
            let mut seen = TaskObservation { kind: *kind, retries: *retries, worker, ..TaskObservation::default() };
            let ts = Timestamp((i64::try_from(i).expect("small") + 1) * pause);
            attempts.observe(&mut seen, ts).then_some(seen.retries)
        };
        events.iter().enumerate().map(observe).collect()
    }

    fn numbers(numbers: &[u32]) -> Vec<Option<Option<u32>>> {
        numbers.iter().map(|n| Some(Some(*n))).collect()
    }

    #[test]
    fn events_belong_to_the_attempt_that_was_received() {
        let events = [(Received, Some(0), "w"), (Started, None, "w"), (Retry, None, "w"), (Received, Some(1), "w")];
        let more = [(Started, None, "w"), (Failed, None, "w")];
        assert_eq!(told(&[&events[..], &more[..]].concat()), numbers(&[0, 0, 0, 1, 1, 1]));
    }

    #[test]
    fn a_retry_told_after_the_next_attempt_was_received_belongs_to_the_one_before() {
        let events = [(Received, Some(0), "w"), (Started, None, "w"), (Received, Some(1), "w"), (Retry, None, "w")];
        let more = [(Started, None, "w"), (Succeeded, None, "w")];
        assert_eq!(told(&[&events[..], &more[..]].concat()), numbers(&[0, 0, 1, 0, 1, 1]));
    }

    #[test]
    fn a_retry_told_after_another_worker_started_the_next_attempt_belongs_to_its_own_worker() {
        let events = [(Received, Some(0), "a"), (Started, None, "a"), (Received, Some(1), "b"), (Started, None, "b")];
        let more = [(Retry, None, "a"), (Succeeded, None, "b")];
        assert_eq!(told(&[&events[..], &more[..]].concat()), numbers(&[0, 0, 1, 1, 0, 1]));
    }

    #[test]
    fn a_lost_retry_event_does_not_shift_what_follows() {
        let events = [(Received, Some(0), "w"), (Started, None, "w"), (Received, Some(1), "w"), (Started, None, "w")];
        let events = [&events[..], &[(Retry, None, "w")]].concat();
        assert_eq!(told_every(4 * SECOND, &events), numbers(&[0, 0, 1, 1, 1]));
    }

    #[test]
    fn a_retry_told_after_another_child_of_its_worker_began_the_next_attempt_belongs_to_the_one_before() {
        let first = [(Received, Some(0), "w"), (Started, None, "w"), (Received, Some(1), "w"), (Started, None, "w")];
        let second = [(Received, Some(2), "w"), (Retry, None, "w"), (Started, None, "w"), (Retry, None, "w")];
        let events = |end| [&first[..], &second[..], &[(end, None, "w")]].concat();
        assert_eq!(told(&events(Failed)), numbers(&[0, 0, 1, 1, 2, 0, 2, 1, 2]));
        assert_eq!(told(&events(Succeeded)), numbers(&[0, 0, 1, 1, 2, 0, 2, 1, 2]));
    }

    #[test]
    fn a_retry_that_is_heard_first_of_all_but_the_next_attempt_belongs_to_the_one_before() {
        let retried_by = |worker| [(Received, Some(1), "b"), (Retry, None, worker), (Succeeded, None, "b")];
        assert_eq!(told(&retried_by("b")), numbers(&[1, 0, 1]));
        assert_eq!(told(&retried_by("a")), numbers(&[1, 0, 1]));
        let running = |worker| [(Received, Some(1), "b"), (Started, None, "b"), (Retry, None, worker)];
        assert_eq!(told(&running("a")), numbers(&[1, 1, 0]));
        assert_eq!(told(&running("b")), numbers(&[1, 1, 1]), "it has run itself");
        assert_eq!(told(&[(Received, Some(0), "b"), (Retry, None, "b")]), numbers(&[0, 0]), "there is none before");
    }

    /// As an agent saw it that began to listen between the first two events of a task.
    #[test]
    fn a_task_met_after_it_was_received_has_no_attempt_too_many() {
        let events = [(Started, None, "w"), (Received, Some(1), "w"), (Retry, None, "w"), (Started, None, "w")];
        let expected = [vec![Some(None)], numbers(&[1, 0, 1, 1])].concat();
        assert_eq!(told(&[&events[..], &[(Succeeded, None, "w")]].concat()), expected);
    }

    #[test]
    fn the_number_of_a_task_met_in_the_middle_of_its_life_is_not_guessed() {
        assert_eq!(told(&[(Failed, None, "w"), (Failed, None, "w")]), [Some(None), None]);
    }

    #[test]
    fn without_events_a_waiting_message_does_not_tell_which_attempt_is_meant() {
        let mut attempts = Attempts::default();
        attempts.exists(1);
        let mut observe = |kind, ts| {
            let mut seen = TaskObservation { kind, ..TaskObservation::default() };
            attempts.observe(&mut seen, Timestamp(ts)).then_some(seen.retries)
        };
        assert_eq!(
            [observe(Retry, 1), observe(Retry, 2), observe(Succeeded, 3), observe(Succeeded, 4)],
            [Some(None), Some(None), Some(None), None]
        );
    }

    #[test]
    fn many_attempts_take_little_memory() {
        let mut attempts = Attempts::default();
        (0..100).for_each(|number| attempts.exists(number));
        assert_eq!(attempts.0.len(), MAX_ATTEMPTS);
        assert_eq!(attempts.0.last().and_then(|a| a.number), Some(99));
    }
}
