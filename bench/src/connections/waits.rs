//! How long an agent waits before it connects again: the protocol's exponential backoff with full jitter.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// A connection that lived so long makes the next wait short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Waits {
    bound: Duration,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self { bound: FIRST }
    }

    /// After a failed attempt, or a connection that lived for `lived`.
    pub(super) fn next(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY_AFTER {
            self.bound = FIRST;
        }
        let wait = self.bound.mul_f64(dice());
        self.bound = (self.bound * 2).min(LONGEST);
        wait
    }

    /// After the brain asked for room, for `asked` if it said how long.
    pub(super) fn next_busy(&mut self, asked: Option<Duration>) -> Duration {
        let least = asked.map_or(LONGEST, |asked| asked.max(self.bound));
        self.bound = (self.bound * 2).min(LONGEST);
        least.mul_f64(1.0 + dice() / 2.0)
    }
}

/// A number from 0 up to, not including, 1.
pub(super) fn dice() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
}
