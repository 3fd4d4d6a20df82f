//! How long to wait before the next attempt.

use std::time::Duration;

/// Times of reconnecting. The defaults are the protocol's; tests shorten them.
#[derive(Clone, Debug)]
pub struct ReconnectTimes {
    /// Upper bound of the first wait.
    pub min: Duration,
    /// Upper bound of any wait, and the wait when the brain asks for room.
    pub max: Duration,
    /// A connection that lived so long makes the next wait short again.
    pub healthy_after: Duration,
    /// Shortest wait after the brain refused the token; the longest is twice that.
    pub refused: Duration,
    /// How often a token is read again after it was revoked.
    pub token_check: Duration,
    /// How long connecting and the handshake may take together.
    pub connect: Duration,
    /// How often the WebSocket is tried while long-poll is used.
    pub websocket_check: Duration,
    /// How often streams that dead processes left behind are looked for.
    pub leftover_check: Duration,
}

impl Default for ReconnectTimes {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(500),
            max: Duration::from_secs(60),
            healthy_after: Duration::from_secs(60),
            refused: Duration::from_secs(30),
            token_check: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            websocket_check: Duration::from_secs(300),
            leftover_check: Duration::from_secs(30),
        }
    }
}

/// A brain that asks for more is misunderstood.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Exponential backoff with full jitter: anything from nothing to an upper bound that doubles, so that ten thousand agents
/// do not come back at the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    bound: Duration,
}

impl Backoff {
    pub(super) fn new(times: &ReconnectTimes) -> Self {
        Self { min: times.min, max: times.max, bound: times.min }
    }

    /// The next wait; `dice` is a number from 0 up to, not including, 1.
    pub(super) fn next(&mut self, dice: f64) -> Duration {
        let wait = self.bound.mul_f64(dice);
        self.bound = (self.bound * 2).min(self.max);
        wait
    }

    /// The wait after the brain asked for room: at least so long and apart from others who were told the same, and longer
    /// each time.
    pub(super) fn next_busy(&mut self, asked: Option<Duration>, dice: f64) -> Duration {
        let least = asked.map_or(self.max, |asked| asked.clamp(self.bound, LONGEST_ASKED));
        self.bound = (self.bound * 2).min(self.max);
        least.mul_f64(1.0 + dice / 2.0)
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        self.bound = self.min;
    }
}

/// A number from 0 up to, not including, 1.
pub(super) fn dice() -> f64 {
    // Without randomness agents are at worst less spread.
    getrandom::u32().map_or(0.5, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew_after_health() {
        let mut backoff = Backoff::new(&ReconnectTimes::default());
        let bounds: Vec<u128> = (0..9).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(bounds, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(0.5).as_millis(), 250);
        assert!((0.0..1.0).contains(&dice()));
    }

    #[test]
    fn a_brain_that_asks_for_time_gets_it() {
        let mut backoff = Backoff::new(&ReconnectTimes::default());
        let seconds = |asked: u64| Some(Duration::from_secs(asked));
        assert_eq!(backoff.next_busy(seconds(7), 0.0).as_secs(), 7);
        assert_eq!(backoff.next_busy(seconds(7), 1.0).as_millis(), 10_500);
        assert_eq!(backoff.next_busy(seconds(0), 0.0).as_secs(), 2, "and not less than any other wait");
        assert_eq!(backoff.next_busy(None, 0.0).as_secs(), 60);
        assert_eq!(backoff.next_busy(seconds(1 << 40), 0.0), LONGEST_ASKED);
    }
}
