//! All randomness of a seed comes from here.

use std::time::Duration;

/// Draws whatever a seed leaves open.
pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// True with a probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn dice(&mut self) -> f64 {
        self.0.f64()
    }

    /// A number within bounds, both included.
    pub(crate) fn number(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most.max(least))
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.0.usize(..len.max(1))
    }

    /// A time within bounds; short ones as likely as long ones on a logarithmic scale.
    pub(crate) fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let (low, high) = (least.as_secs_f64().max(1e-6), most.as_secs_f64().max(1e-6));
        Duration::from_secs_f64(low * (high / low).powf(self.0.f64()).max(1.0))
    }

    /// One of several; `None` of none.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { of.get(self.index(of.len())).cloned() }
    }

    /// Bytes without meaning.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Any order.
    pub(crate) fn shuffle<T>(&mut self, of: &mut [T]) {
        self.0.shuffle(of);
    }
}
