//! Which statistics are still kept, and what goes next.

use super::{DAY, HOUR, begin_of};

/// From which minute on statistics of minutes, hours and days are kept; 0 while nothing was dropped. Hours begin where
/// minutes end: what happened before `minutes` is known by the hour, and so on.
///
/// A row of a minute before `minutes` is not what happened in it, but what is to be added to its hour or day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptFrom {
    /// Minutes, and their sums by ten; a whole hour.
    pub minutes: i64,
    /// Hours; a whole day, not after `minutes`.
    pub hours: i64,
    /// Days; not after `hours`.
    pub days: i64,
}

/// What can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rows of minutes, and sums shorter than an hour.
    Minutes,
    /// Sums of hours.
    Hours,
    /// Sums of days.
    Days,
}

impl KeptFrom {
    /// The shortest span that is kept of a minute.
    pub fn shortest(self, minute: i64) -> i64 {
        match minute {
            minute if minute < self.hours => DAY,
            minute if minute < self.minutes => HOUR,
            _ => 1,
        }
    }

    /// From where on something is kept.
    pub fn from(self, kind: Kind) -> i64 {
        match kind {
            Kind::Minutes => self.minutes,
            Kind::Hours => self.hours,
            Kind::Days => self.days,
        }
    }

    /// The same, but for something that is kept from `minute` on.
    #[must_use]
    pub fn with(self, kind: Kind, minute: i64) -> Self {
        match kind {
            Kind::Minutes => Self { minutes: minute, ..self },
            Kind::Hours => Self { hours: minute, ..self },
            Kind::Days => Self { days: minute, ..self },
        }
    }

    /// Up to where something may be dropped when it is to be dropped up to `minute`: what it would be missed by goes first.
    pub fn may_drop(self, kind: Kind, minute: i64) -> i64 {
        match kind {
            Kind::Minutes => begin_of(minute, HOUR),
            Kind::Hours => begin_of(minute.min(self.minutes), DAY),
            Kind::Days => minute.min(self.hours),
        }
    }
}

impl Kind {
    /// The sums that go.
    pub fn spans(self) -> &'static [i64] {
        match self {
            Self::Minutes => &[1, 10],
            Self::Hours => &[HOUR],
            Self::Days => &[DAY],
        }
    }

    /// What goes at once: the end of the span around `first`, the first of what is left, or `until` if that comes before.
    pub fn piece(self, first: Option<i64>, until: i64) -> i64 {
        let span = if self == Self::Minutes { HOUR } else { DAY };
        first.map_or(until, |first| begin_of(first, span) + span).min(until)
    }

    /// The longest span that must not be unfolded where this is dropped: it is made of it. `None` when nothing is.
    pub fn needed_by(self) -> Option<i64> {
        match self {
            Self::Minutes => Some(HOUR),
            Self::Hours => Some(DAY),
            Self::Days => None,
        }
    }
}
