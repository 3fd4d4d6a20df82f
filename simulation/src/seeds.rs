//! Running seeds: one, or many side by side.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::failure::{Failure, Violation};
use crate::sabotage::Sabotage;
use crate::store::{MemoryStore, Store};
use crate::trace::{Keep, Trace};
use crate::world::{Outcome, World};

/// Steps that a failing seed shows.
const LAST_STEPS: usize = 100;

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds.
    pub seeds: u64,
    /// Events captured.
    pub captured: usize,
    /// Events stored.
    pub stored: usize,
    /// Events dropped and counted.
    pub dropped: usize,
    /// Events that were not yet sealed when the power failed.
    pub lost_with_power: usize,
    /// Batches that the brain counted as lost.
    pub lost_batches: u64,
    /// Commands recorded.
    pub commands: usize,
    /// Commands executed.
    pub executed: usize,
    /// Steps.
    pub steps: u64,
    /// How often what makes a world interesting was met.
    pub met: BTreeMap<&'static str, u64>,
}

/// Runs one seed with the reference store.
///
/// # Errors
/// A promise was broken.
pub fn run(seed: u64, keep: Keep) -> Result<Outcome, Failure> {
    play(seed, keep, None, Box::new(MemoryStore::default()))
}

/// Runs one seed with another store.
///
/// # Errors
/// A promise was broken.
pub fn run_on(seed: u64, keep: Keep, store: Box<dyn Store>) -> Result<Outcome, Failure> {
    play(seed, keep, None, store)
}

/// Runs one seed with a mistake in it.
///
/// # Errors
/// A promise was broken, as it should.
pub fn run_sabotaged(seed: u64, sabotage: Sabotage) -> Result<Outcome, Failure> {
    play(seed, Keep::Nothing, Some(sabotage), Box::new(MemoryStore::sabotaged(Some(sabotage))))
}

/// Runs seeds side by side on all processors. A seed that fails is run again, to show its last steps.
///
/// # Errors
/// The first seed that was found to break a promise.
pub fn run_many(seeds: Range<u64>) -> Result<Summary, Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Ok(Summary::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(seed, Keep::Nothing);
                    let Ok(mut total) = total.lock() else { return };
                    match (&mut *total, outcome) {
                        (Ok(total), Ok(outcome)) => total.add(&outcome),
                        (Ok(_), Err(failure)) => {
                            next.store(seeds.end, Ordering::Relaxed);
                            *total = Err(Box::new(failure));
                        }
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    total.map_err(|failure| run(failure.seed, Keep::Last(LAST_STEPS)).err().map_or(failure, Box::new))
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.captured += outcome.captured;
        self.stored += outcome.stored;
        self.dropped += outcome.dropped;
        self.lost_with_power += outcome.lost_with_power;
        self.lost_batches += outcome.lost_batches;
        self.commands += outcome.commands;
        self.executed += outcome.executed;
        self.steps += outcome.steps;
        for (what, times) in &outcome.met {
            *self.met.entry(what).or_default() += times;
        }
        for (status, _) in outcome.contents.commands.values() {
            *self.met.entry(status.name()).or_default() += 1;
        }
    }
}

fn play(seed: u64, keep: Keep, sabotage: Option<Sabotage>, store: Box<dyn Store>) -> Result<Outcome, Failure> {
    let failed = |violation, last_steps| Failure { seed, violation, last_steps };
    let dir = tempfile::tempdir_in(quick_folder()).map_err(|error| failed(Violation::io(error), Vec::new()))?;
    let mut world = World::new(seed, Trace::new(keep), sabotage, store, dir.path());
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()))
        .unwrap_or_else(|panic| Err(Violation::new(format!("a panic: {}", words(&*panic)))));
    outcome.map_err(|violation| failed(violation, world.into_trace()))
}

/// A folder in memory where there is one: buffers sync their files often.
fn quick_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}
