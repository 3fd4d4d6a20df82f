//! What happened, step by step: kept only when someone will read it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// How much of a run is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: as fast as possible.
    Nothing,
    /// A hash of all steps, and so many of the last ones.
    Last(usize),
}

/// The steps of one run.
pub(crate) struct Trace {
    keep: Keep,
    lines: VecDeque<String>,
    hasher: DefaultHasher,
}

impl Trace {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, lines: VecDeque::new(), hasher: DefaultHasher::new() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.keep != Keep::Nothing
    }

    pub(crate) fn note(&mut self, now: Duration, text: &str) {
        let Keep::Last(most) = self.keep else { return };
        let line = format!("{:>12.6} {text}", now.as_secs_f64());
        line.hash(&mut self.hasher);
        if self.lines.len() >= most {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// A number that is the same when all steps were.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// Notes a step, if steps are noted; the text is not even made otherwise.
macro_rules! trace {
    ($core:expr, $($text:tt)*) => {
        if $core.trace.is_on() {
            let text = format!($($text)*);
            $core.trace.note($core.now, &text);
        }
    };
}
pub(crate) use trace;
