//! How long things are kept, as the operator wants it.

use std::time::Duration;

use taskplane_model::Timestamp;
use taskplane_store::retention::{Kept, YOUNGEST};
use thiserror::Error;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longest time, about a century: longer than any database lives.
const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 3600);
/// Least size, in bytes. The last hour is never dropped, and has to fit.
const LEAST_SIZE: u64 = 256 << 20;

/// How long each thing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepFor {
    /// Raw events.
    pub events: Duration,
    /// Tasks that succeeded or were revoked.
    pub tasks: Duration,
    /// Tasks that failed, were rejected or lost, or have not ended.
    pub failures: Duration,
    /// Statistics by the minute.
    pub minutes: Duration,
    /// Statistics by the hour.
    pub hours: Duration,
    /// Statistics by the day.
    pub days: Duration,
    /// Audit entries, commands that have ended, and events that were not understood.
    pub records: Duration,
}

/// What is kept, for how long and how much; checked. Whatever it says, the last hour is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub(crate) ages: KeepFor,
    pub(crate) size: Option<u64>,
}

/// Why a retention makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RetentionError {
    /// Shorter than an hour, or longer than a century.
    #[error("{what} cannot be kept for {}: say an hour at least, and 100 years at most", in_words(*age))]
    OutOfBounds {
        /// What is kept.
        what: &'static str,
        /// How long.
        age: Duration,
    },
    /// Something is kept shorter than what it is to outlive.
    #[error("{longer} would be kept for {}, and {shorter} for {}: keep {longer} at least as long", in_words(ages.0), in_words(ages.1))]
    Reversed {
        /// What is to be kept longer, or as long.
        longer: &'static str,
        /// What is to be kept shorter, or as long.
        shorter: &'static str,
        /// How long each.
        ages: (Duration, Duration),
    },
    /// No database fits.
    #[error("a database of {0} bytes cannot hold the last hour: allow {LEAST_SIZE} bytes at least")]
    TooSmall(u64),
}

impl Default for KeepFor {
    fn default() -> Self {
        Self {
            events: 7 * DAY,
            tasks: 30 * DAY,
            failures: 90 * DAY,
            minutes: 14 * DAY,
            hours: 400 * DAY,
            days: 5 * 365 * DAY,
            records: 365 * DAY,
        }
    }
}

impl Retention {
    /// Keeps things for `ages`, and no more than `size` bytes in all.
    ///
    /// # Errors
    /// When that makes no sense.
    pub fn new(ages: KeepFor, size: Option<u64>) -> Result<Self, RetentionError> {
        let KeepFor { events, tasks, failures, minutes, hours, days, records } = ages;
        for (what, age) in [
            ("raw events", events),
            ("tasks", tasks),
            ("failures", failures),
            ("minutes", minutes),
            ("hours", hours),
            ("days", days),
            ("records", records),
        ] {
            if age < HOUR || age > LONGEST {
                return Err(RetentionError::OutOfBounds { what, age });
            }
        }
        for (longer, long, shorter, short) in [
            ("failures", failures, "tasks", tasks),
            ("hours", hours, "minutes", minutes),
            ("days", days, "hours", hours),
        ] {
            if long < short {
                return Err(RetentionError::Reversed { longer, shorter, ages: (long, short) });
            }
        }
        match size {
            Some(size) if size < LEAST_SIZE => Err(RetentionError::TooSmall(size)),
            size => Ok(Self { ages, size }),
        }
    }

    /// How long each thing is kept.
    pub fn ages(&self) -> &KeepFor {
        &self.ages
    }

    /// How many bytes are kept in all, if that is limited.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// True when so many bytes are as many as are kept, or nearly: the size is the limit in force.
    pub(crate) fn is_reached_by(&self, bytes: u64) -> bool {
        self.size.is_some_and(|size| bytes >= size / 100 * 95)
    }

    /// What is older than this is dropped.
    pub(crate) fn horizon(&self, what: Kept, now: Timestamp) -> Timestamp {
        let age = match what {
            Kept::Events => self.ages.events,
            Kept::Tasks => self.ages.tasks,
            Kept::Failures => self.ages.failures,
            Kept::Minutes => self.ages.minutes,
            Kept::Hours => self.ages.hours,
            Kept::Days => self.ages.days,
            Kept::Records => self.ages.records,
            // By when they expired.
            Kept::SignIns => HOUR,
        };
        now.plus(-i64::try_from(age.as_micros()).unwrap_or(i64::MAX).max(YOUNGEST))
    }
}

fn in_words(age: Duration) -> String {
    let (hours, days) = (age.as_secs() / 3600, age.as_secs() / DAY.as_secs());
    match age.as_secs() {
        seconds if seconds < HOUR.as_secs() => format!("{seconds} s"),
        _ if hours < 48 => format!("{hours} h"),
        _ => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let ages = KeepFor::default();
        assert_eq!(Retention::new(ages, None), Ok(Retention::default()));
        for (ages, text) in [
            (KeepFor { tasks: HOUR / 2, ..ages }, "tasks cannot be kept for 1800 s"),
            (KeepFor { days: LONGEST * 2, ..ages }, "days cannot be kept for 73000 days"),
            (KeepFor { failures: DAY, ..ages }, "failures would be kept for 24 h, and tasks for 30 days"),
            (KeepFor { hours: DAY, ..ages }, "hours would be kept for 24 h, and minutes for 14 days"),
        ] {
            let said = Retention::new(ages, None).expect_err("is refused").to_string();
            assert!(said.starts_with(text), "{said}");
        }
        assert_eq!(Retention::new(ages, Some(1000)), Err(RetentionError::TooSmall(1000)));
        assert_eq!(Retention::new(ages, Some(1 << 30)).map(|kept| kept.size()), Ok(Some(1 << 30)));
    }

    #[test]
    fn horizons_lie_back_by_what_was_said() {
        let kept = Retention::default();
        assert_eq!(kept.horizon(Kept::Tasks, NOW), NOW.plus(-30 * taskplane_model::time::DAY));
        assert!(Kept::ALL.iter().all(|what| kept.horizon(*what, NOW) <= NOW.plus(-YOUNGEST)));
    }
}
