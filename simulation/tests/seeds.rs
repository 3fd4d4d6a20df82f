//! Thousands of worlds, each from a seed. `TASKPLANE_SIMULATION_SEEDS` says how many, `TASKPLANE_SIMULATION_SEED` runs one alone
//! and prints all its steps.

use std::env;
use std::time::Instant;

use taskplane_simulation::{Keep, run, run_many};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 2_000;

/// What must happen in some of them.
const TO_BE_MET: [&str; 14] = [
    "a replayed batch",
    "a superseded connection",
    "a group that was given up",
    "a frame that is delivered twice",
    "a command that comes again",
    "a brain that gives a silent agent up",
    "an agent that gives a silent brain up",
    "a brain that waits for its agent to read",
    "an agent that waits for its brain to read",
    "a brain without memory for two seconds",
    "succeeded",
    "failed",
    "timed_out",
    "unknown",
];

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, and is {text:?}")))
}

#[test]
fn in_every_seed_what_is_acked_is_stored_once_and_nothing_is_lost_in_silence() {
    if let Some(seed) = number("TASKPLANE_SIMULATION_SEED") {
        let outcome = run(seed, Keep::Last(usize::MAX)).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{outcome:#?}");
        return;
    }
    let seeds = number("TASKPLANE_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let summary = run_many(0..seeds).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary:#?}\nin {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(summary.seeds, seeds);
    // Worlds in which nothing happens would keep every promise.
    assert!(summary.stored > summary.captured / 2, "{summary:?}");
    if seeds >= SEEDS {
        let met = [summary.dropped, summary.lost_with_power, summary.lost_batches as usize, summary.executed];
        assert!(met.iter().all(|met| *met > 0), "{summary:?}");
        for what in TO_BE_MET {
            assert!(summary.met.contains_key(what), "{what} was never met: {summary:?}");
        }
    }
}

#[test]
fn a_seed_always_takes_the_same_steps() {
    for seed in 0..40 {
        let outcomes = [run(seed, Keep::Last(1)), run(seed, Keep::Last(1))];
        let [first, second] = outcomes.map(|outcome| outcome.unwrap_or_else(|failure| panic!("{failure}")));
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first.trace, run(seed + 1, Keep::Last(1)).expect("keeps every promise").trace);
    }
}
