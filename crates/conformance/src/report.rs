//! What a run found, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Whether a rule is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The brain keeps it.
    Kept,
    /// The brain does otherwise.
    Broken,
    /// It could not be tried.
    Untested,
}

/// What was found about one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Stable name of the rule.
    pub id: &'static str,
    /// The rule in a sentence.
    pub rule: &'static str,
    /// Where docs/protocol.md says so.
    pub section: &'static str,
    /// Whether it is kept.
    pub verdict: Standing,
    /// What was seen, or why it could not be tried.
    pub seen: String,
    /// How long the check took.
    #[serde(rename = "seconds", serialize_with = "as_seconds")]
    pub took: Duration,
}

/// What a run found, in the order of the document.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Address of the brain.
    pub brain: String,
    /// Version of the protocol.
    pub protocol: &'static str,
    /// How many rules are kept.
    pub kept: usize,
    /// How many are broken.
    pub broken: usize,
    /// How many could not be tried.
    pub untested: usize,
    /// How long it all took.
    #[serde(rename = "seconds", serialize_with = "as_seconds")]
    pub took: Duration,
    /// Rule by rule.
    pub rules: Vec<Finding>,
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

impl Report {
    pub(crate) fn new(brain: String, took: Duration, rules: Vec<Finding>) -> Self {
        let count = |verdict| rules.iter().filter(|finding| finding.verdict == verdict).count();
        Self {
            brain,
            protocol: taskplane_protocol::version::CURRENT,
            kept: count(Standing::Kept),
            broken: count(Standing::Broken),
            untested: count(Standing::Untested),
            took,
            rules,
        }
    }

    /// The report as text: a line for each rule, and what was seen where that matters.
    pub fn text(&self) -> String {
        let width = self.rules.iter().map(|finding| finding.id.len()).max().unwrap_or_default();
        let mut text = String::new();
        for finding in &self.rules {
            let mark = match finding.verdict {
                Standing::Kept => '✓',
                Standing::Broken => '✗',
                Standing::Untested => '–',
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{mark} {:width$}  {}", finding.id, finding.rule);
            let _ = match finding.verdict {
                Standing::Kept => writeln!(text, "  {:width$}    {}", "", finding.seen),
                Standing::Broken => writeln!(
                    text,
                    "  {:width$}    BROKEN: {}; see docs/protocol.md#{}",
                    "", finding.seen, finding.section
                ),
                Standing::Untested => writeln!(text, "  {:width$}    not tried: {}", "", finding.seen),
            };
        }
        let _ = write!(
            text,
            "\n{}: {} rules kept, {} broken, {} not tried, in {:.1} s",
            self.brain,
            self.kept,
            self.broken,
            self.untested,
            self.took.as_secs_f64()
        );
        text
    }
}
