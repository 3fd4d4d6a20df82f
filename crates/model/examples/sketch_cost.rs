//! What sketches cost: nanoseconds to write, read and merge the statistics of one series.
//!
//! ```text
//! cargo run --release -p taskplane-model --example sketch_cost
//! ```

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measurement, not a program")]

use std::hint::black_box;
use std::time::Instant;

use taskplane_model::rollup::Rollup;

const ROUNDS: u32 = 20_000;

/// Statistics with so many buckets in each of the two sketches.
fn with_buckets(buckets: u32, step: u32) -> Rollup {
    let mut rollup = Rollup { started: 7, succeeded: 7, ..Rollup::default() };
    for bucket in 0..buckets {
        let micros = (1_000.0 * 1.0203f64.powi((bucket * step).cast_signed())) as u64;
        rollup.runtime.add(micros, i64::from(bucket % 40) + 1);
        rollup.wait.add(micros / 3, i64::from(bucket % 40) + 1);
    }
    rollup
}

fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..ROUNDS).for_each(|_| work());
    began.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn main() {
    let wide = with_buckets(300, 1);
    for (buckets, step) in [(1, 1), (20, 15), (100, 3), (300, 1)] {
        let rollup = with_buckets(buckets, step);
        let bytes = minicbor::to_vec(&rollup).expect("is written");
        let mut sum = wide.clone();
        let merge = nanoseconds(|| sum.merge(black_box(&rollup)));
        let merge_new = nanoseconds(|| {
            let mut sum = Rollup::default();
            sum.merge(black_box(&rollup));
            black_box(sum);
        });
        let encode = nanoseconds(|| drop(black_box(minicbor::to_vec(black_box(&rollup)))));
        let decode = nanoseconds(|| drop(black_box(minicbor::decode::<Rollup>(black_box(&bytes)))));
        println!(
            "2 × {buckets} buckets, {} bytes: encode {encode:.0} ns, decode {decode:.0} ns, merge into 2 × 300 {merge:.0} ns, \
             into nothing {merge_new:.0} ns",
            bytes.len()
        );
    }
    let quantile = nanoseconds(|| assert!(black_box(&wide).runtime.quantile_ms(0.99).is_some()));
    println!("a quantile of 300 buckets: {quantile:.0} ns");
}
