//! A mergeable sketch of durations: DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019) with signed counts.
//!
//! Bucket `i` holds durations in `(γ^(i-1), γ^i]` microseconds with γ = (1+α)/(1−α), α = 1 %. Any quantile is within 1 % of
//! a value that was added. Because buckets are plain counts, taking a value back is as exact as adding it, which is what
//! makes rollups exact when a task is folded again.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

/// Relative error of a quantile.
const ALPHA: f64 = 0.01;

/// Counts of durations by logarithmic bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Sketch {
    /// Bucket number to count. Bucket [`ZERO`] holds durations under a microsecond.
    #[n(0)]
    buckets: BTreeMap<i32, i64>,
}

const ZERO: i32 = i32::MIN;

impl Sketch {
    /// Adds `count` (may be negative: takes back) durations of `micros`.
    pub fn add(&mut self, micros: u64, count: i64) {
        self.add_to_bucket(bucket_of(micros), count);
    }

    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.add_to_bucket(*bucket, *count);
        }
    }

    /// How many durations it holds.
    pub fn count(&self) -> i64 {
        self.buckets.values().sum()
    }

    /// True when it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The duration, in milliseconds, that a share `q` (0 to 1) of them does not exceed. `None` when it holds nothing.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let total = self.count();
        if total <= 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * (total - 1) as f64).floor() as i64;
        let mut below = 0;
        for (bucket, count) in &self.buckets {
            below += count;
            if below > rank {
                return Some(middle_of(*bucket) / 1000.0);
            }
        }
        None
    }

    /// Sum of all durations in milliseconds, within the sketch's relative error.
    pub fn total_ms(&self) -> f64 {
        self.buckets.iter().map(|(bucket, count)| middle_of(*bucket) * *count as f64).sum::<f64>() / 1000.0
    }

    fn add_to_bucket(&mut self, bucket: i32, count: i64) {
        let slot = self.buckets.entry(bucket).or_insert(0);
        *slot += count;
        if *slot == 0 {
            self.buckets.remove(&bucket);
        }
    }
}

fn gamma() -> f64 {
    (1.0 + ALPHA) / (1.0 - ALPHA)
}

fn bucket_of(micros: u64) -> i32 {
    if micros == 0 { ZERO } else { ((micros as f64).ln() / gamma().ln()).ceil() as i32 }
}

fn middle_of(bucket: i32) -> f64 {
    if bucket == ZERO { 0.0 } else { 2.0 * gamma().powi(bucket) / (gamma() + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent(mut values in prop::collection::vec(1u64..10_000_000_000, 1..200), q in 0.0f64..1.0) {
            let mut sketch = Sketch::default();
            for v in &values {
                sketch.add(*v, 1);
            }
            values.sort_unstable();
            let exact = values[(q * (values.len() - 1) as f64).floor() as usize] as f64 / 1000.0;
            let told = sketch.quantile_ms(q).expect("not empty");
            prop_assert!((told - exact).abs() <= exact * 0.0101, "{told} for {exact}");
        }

        #[test]
        fn taking_back_is_exact(values in prop::collection::vec(0u64..10_000_000, 0..50)) {
            let mut sketch = Sketch::default();
            for v in &values {
                sketch.add(*v, 1);
            }
            for v in &values {
                sketch.add(*v, -1);
            }
            prop_assert_eq!(sketch, Sketch::default());
        }
    }
}
