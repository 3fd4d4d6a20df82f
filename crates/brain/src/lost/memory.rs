//! What was asked about and is left alone for a while.
//!
//! It is bounded. What is not remembered is asked about again in the next round, as if for the first time: that costs a question
//! and changes nothing else.

use std::collections::{HashMap, HashSet};

use taskplane_model::Timestamp;

/// Tasks that are left alone because they live, or nobody could say. More are not remembered.
const MAX_RESTING: usize = 100_000;
/// Tasks of which nothing was found once. They leave as they are called lost, so that there is room for others.
const MAX_MISSING: usize = 100_000;

/// What is remembered of the tasks of one project, by their keys.
#[derive(Debug, Default)]
pub(super) struct Memory {
    asked: HashSet<i64>,
    resting: HashMap<i64, Rest>,
    missing: HashMap<i64, Missing>,
    round: u64,
}

/// It is left alone.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Timestamp,
    /// How many answers in a row said the same.
    times: u32,
    /// It is resting because nobody could say.
    is_unclear: bool,
    /// When the walk came by it last.
    round: u64,
}

/// Nothing was found of it.
#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Timestamp,
    /// What was last known of it then.
    updated_at: Timestamp,
    again: Timestamp,
    round: u64,
}

impl Memory {
    /// True when a task may be asked about. The walk came by it.
    pub(super) fn is_due(&mut self, key: i64, now: Timestamp) -> bool {
        let round = self.round;
        let is_resting = self.resting.get_mut(&key).is_some_and(|rest| {
            rest.round = round;
            rest.until > now
        });
        let is_awaited = self.missing.get_mut(&key).is_some_and(|missing| {
            missing.round = round;
            missing.again > now
        });
        !is_resting && !is_awaited && !self.asked.contains(&key)
    }

    /// A task waits for its turn, or its answer.
    pub(super) fn ask(&mut self, key: i64) {
        self.asked.insert(key);
    }

    /// It does not wait any more, and there is nothing new about it.
    pub(super) fn release(&mut self, key: i64) {
        self.asked.remove(&key);
    }

    /// It is gone, has ended, or is lost.
    pub(super) fn forget(&mut self, key: i64) {
        self.asked.remove(&key);
        self.resting.remove(&key);
        self.missing.remove(&key);
    }

    /// Leaves a task alone; `pause` says for how long, from how many answers in a row there were of this kind.
    pub(super) fn rest(&mut self, key: i64, now: Timestamp, is_unclear: bool, pause: impl FnOnce(u32) -> i64) {
        self.asked.remove(&key);
        self.missing.remove(&key);
        let before = self.resting.get(&key).filter(|rest| rest.is_unclear == is_unclear);
        let times = before.map_or(0, |rest| rest.times).saturating_add(1);
        if self.resting.len() < MAX_RESTING || self.resting.contains_key(&key) {
            let rest = Rest { until: now.plus(pause(times)), times, is_unclear, round: self.round };
            self.resting.insert(key, rest);
        }
    }

    /// Since when nothing was found of a task of which nothing new is known.
    pub(super) fn missing_since(&self, key: i64, updated_at: Timestamp) -> Option<Timestamp> {
        self.missing.get(&key).filter(|missing| missing.updated_at == updated_at).map(|missing| missing.since)
    }

    /// Nothing was found of a task; it is asked about again after `pause`.
    pub(super) fn miss(&mut self, key: i64, updated_at: Timestamp, now: Timestamp, pause: i64) {
        self.asked.remove(&key);
        self.resting.remove(&key);
        let since = self.missing_since(key, updated_at).unwrap_or(now);
        if self.missing.len() < MAX_MISSING || self.missing.contains_key(&key) {
            let missing = Missing { since, updated_at, again: now.plus(pause), round: self.round };
            self.missing.insert(key, missing);
        }
    }

    /// The walk came by all tasks: what it did not come by is not under way any more.
    pub(super) fn end_round(&mut self) {
        let round = self.round;
        self.resting.retain(|_, rest| rest.round == round);
        self.missing.retain(|_, missing| missing.round == round);
        self.round += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    #[test]
    fn pauses_grow_while_the_answer_stays_the_same() {
        let mut memory = Memory::default();
        let mut told = Vec::new();
        for is_unclear in [false, false, true, true, false] {
            memory.rest(1, at(0), is_unclear, |times| {
                told.push(times);
                10_000_000
            });
        }
        assert_eq!(told, [1, 2, 1, 2, 1]);
        assert_eq!([memory.is_due(1, at(9)), memory.is_due(1, at(10)), memory.is_due(2, at(0))], [false, true, true]);
        memory.ask(1);
        assert!(!memory.is_due(1, at(99)), "it is being asked about");
        memory.release(1);
        assert!(memory.is_due(1, at(99)));
    }

    #[test]
    fn nothing_twice_counts_only_in_a_row_and_while_nothing_is_heard() {
        let mut memory = Memory::default();
        memory.miss(1, at(0), at(100), 30);
        memory.miss(1, at(0), at(120), 30);
        assert_eq!(memory.missing_since(1, at(0)), Some(at(100)));
        assert_eq!(memory.missing_since(1, at(110)), None, "something was heard of it");
        memory.miss(1, at(110), at(130), 30);
        assert_eq!(memory.missing_since(1, at(110)), Some(at(130)));
        memory.rest(1, at(140), true, |_| 0);
        assert_eq!(memory.missing_since(1, at(110)), None, "nobody could say");
    }

    #[test]
    fn what_the_walk_does_not_come_by_is_forgotten() {
        let mut memory = Memory::default();
        memory.rest(1, at(0), false, |_| 1_000_000_000);
        memory.rest(2, at(0), false, |_| 1_000_000_000);
        memory.end_round();
        memory.is_due(1, at(1));
        memory.end_round();
        assert_eq!([memory.is_due(1, at(1)), memory.is_due(2, at(1))], [false, true]);
    }

    #[test]
    fn it_is_bounded() {
        let mut memory = Memory::default();
        for key in 0..(MAX_RESTING as i64 + 10) {
            memory.rest(key, at(0), false, |_| 1_000_000);
            memory.miss(-1 - key, at(0), at(0), 1_000_000);
        }
        assert_eq!((memory.resting.len(), memory.missing.len(), memory.asked.len()), (MAX_RESTING, MAX_MISSING, 0));
        assert!(memory.is_due(MAX_RESTING as i64 + 5, at(0)) && !memory.is_due(5, at(0)));
    }
}
