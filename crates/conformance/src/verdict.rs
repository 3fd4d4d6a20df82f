//! What came of a check.

/// What was seen that keeps the rule, or why the rule is not kept.
pub(crate) type Verdict = Result<String, Failure>;

/// Why a rule is not known to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The brain does otherwise; what was seen.
    Broken(String),
    /// It could not be tried; why.
    Untested(String),
}

impl Failure {
    pub(crate) fn broken(seen: impl Into<String>) -> Self {
        Self::Broken(seen.into())
    }

    pub(crate) fn untested(why: impl Into<String>) -> Self {
        Self::Untested(why.into())
    }

    /// The same, after saying where it happened.
    pub(crate) fn at(self, place: &str) -> Self {
        match self {
            Self::Broken(seen) => Self::Broken(format!("{place}: {seen}")),
            Self::Untested(why) => Self::Untested(format!("{place}: {why}")),
        }
    }
}
