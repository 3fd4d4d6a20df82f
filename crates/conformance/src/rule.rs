//! A rule: what a brain must do, and how that is seen.

use futures_util::future::LocalBoxFuture;

use crate::probe::Probe;
use crate::verdict::Verdict;

/// One rule of the protocol.
pub struct Rule {
    /// Stable name, such as `hello.deadline`.
    pub id: &'static str,
    /// The section of docs/protocol.md that says so.
    pub section: &'static str,
    /// The rule in a sentence.
    pub sentence: &'static str,
    /// How long the check takes.
    pub pace: Pace,
    pub(crate) check: fn(Probe) -> LocalBoxFuture<'static, Verdict>,
}

/// How long a check takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// A minute or more; only on request.
    Slow,
    /// Ten to thirty seconds, nearly all of it waiting.
    Waiting,
    /// A moment.
    Quick,
}

/// Makes the list of a file's rules: id, section, sentence, check and, unless it is quick, its pace.
macro_rules! rules {
    ($($id:literal, $section:literal, $sentence:literal, $check:ident $(, $pace:ident)?;)*) => {
        pub(super) fn rules() -> Vec<$crate::rule::Rule> {
            vec![$($crate::rule::Rule {
                id: $id,
                section: $section,
                sentence: $sentence,
                pace: [$($crate::rule::Pace::$pace,)? $crate::rule::Pace::Quick][0],
                check: |probe| Box::pin($check(probe)),
            }),*]
        }
    };
}
pub(crate) use rules;
