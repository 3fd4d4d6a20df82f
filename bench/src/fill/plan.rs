//! How many tasks, over which time, by whom.

use std::ops::Range;

/// Tasks that get the rare word, in the whole fill.
const MARKED: u64 = 20;

/// The part of a fill that one agent tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) seed: u64,
    /// Tasks of all agents.
    pub(crate) tasks: u64,
    /// Number of this agent, from 0.
    pub(crate) agent: u64,
    pub(crate) agents: u64,
    /// Microseconds since the epoch.
    pub(crate) from: i64,
    /// Exclusive.
    pub(crate) until: i64,
}

impl Span {
    /// When task `number` is sent.
    pub(crate) fn at(&self, number: u64) -> i64 {
        let share = number as f64 / self.tasks as f64;
        self.from + ((self.until - self.from) as f64 * share) as i64
    }

    /// True for the few tasks with the rare word; they lie evenly over the span, and not at its end.
    pub(crate) fn is_marked(&self, number: u64) -> bool {
        let apart = (self.tasks / MARKED).max(1);
        number % apart == apart / 2
    }

    /// The agents that thread `thread` of `threads` plays.
    pub(crate) fn agents_of(agents: u64, thread: u64, threads: u64) -> Range<u64> {
        agents * thread / threads..agents * (thread + 1) / threads
    }
}
