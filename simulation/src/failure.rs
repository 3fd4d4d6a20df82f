//! What a seed that fails says.

use std::fmt;
use std::io;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Violation {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(crate) fn io(error: io::Error) -> Self {
        Self(format!("the simulation's own files: {error}"))
    }
}

/// Makes sure that something holds.
macro_rules! hold {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err($crate::failure::Violation::new(format!($($text)*)));
        }
    };
}
pub(crate) use hold;

/// A seed in which a promise was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The promise.
    pub violation: Violation,
    /// The last steps, if they were kept.
    pub last_steps: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last_steps {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.violation)?;
        write!(
            f,
            "run it alone: TASKPLANE_SIMULATION_SEED={} cargo test -p taskplane-simulation --test seeds",
            self.seed
        )
    }
}
