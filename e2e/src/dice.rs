//! Randomness that can be had again: of a seed that is printed, or given in `TASKPLANE_TEST_SEED`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// A pseudo-random sequence (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// A sequence that differs from run to run, unless `TASKPLANE_TEST_SEED` names one.
    ///
    /// # Errors
    /// When that is not a number.
    pub fn new() -> Result<Self> {
        let seed = match std::env::var("TASKPLANE_TEST_SEED") {
            Ok(text) => text.parse().with_context(|| format!("TASKPLANE_TEST_SEED is \"{text}\", not a number"))?,
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64,
        };
        Ok(Self::seeded(seed))
    }

    /// The sequence of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// What to say when a test fails, and in its output otherwise.
    pub fn origin(&self) -> String {
        format!("again with TASKPLANE_TEST_SEED={}", self.seed)
    }

    /// A number from 0 up to, not including, `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// So many milliseconds, at least and at most.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}
