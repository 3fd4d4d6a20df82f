//! The host's clock, and the pauses between attempts to reach Redis.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taskplane_model::Timestamp;

/// The time by this host's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Exponential pauses with full jitter, so that many agents do not come back all at once.
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new((shortest, longest): (Duration, Duration)) -> Self {
        Self { shortest, longest, failures: 0 }
    }

    /// The pause after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = self.shortest.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        // Never at once: a server that refuses is not to be hammered.
        ceiling.mul_f64(random_fraction()).max(self.shortest / 10)
    }

    /// It went well for a while: start over.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number in `[0, 1)`. One half when the system has no randomness to give.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_over() {
        let (shortest, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut backoff = Backoff::new((shortest, longest));
        for round in 0..100u32 {
            let pause = backoff.next();
            assert!(pause >= Duration::from_millis(50) && pause <= longest, "{pause:?}");
            assert!(round > 0 || pause <= shortest);
        }
        backoff.reset();
        assert!(backoff.next() <= shortest);
    }
}
