//! When a schedule runs: pure functions of its text and of an instant.

use std::sync::OnceLock;

use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use thiserror::Error;

use super::{Crontab, CrontabError, Solar, SolarError, parse_duration};
use crate::Timestamp;
use crate::time::DAY;

/// Longest name of a zone that is looked up, in bytes: django-celery-beat's column.
const MAX_ZONE_BYTES: usize = 63;

/// The kinds of schedules whose runs can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Minutes of the wall clock of a zone.
    Crontab,
    /// A duration after the last run.
    Interval,
    /// One instant.
    Clocked,
    /// What the sun does at a place.
    Solar,
}

impl Kind {
    /// The kind of this name; `None` when it is not one of the four.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Crontab, Self::Interval, Self::Clocked, Self::Solar].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crontab => "crontab",
            Self::Interval => "interval",
            Self::Clocked => "clocked",
            Self::Solar => "solar",
        }
    }
}

/// Why no runs can be computed; the text is for people.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimingError {
    /// Not one of the four.
    #[error("\"{0}\" is not a kind of schedule; the kinds are crontab, interval, clocked and solar")]
    Kind(String),
    /// Not a crontab.
    #[error("the crontab is not valid: {0}")]
    Crontab(#[from] CrontabError),
    /// Not a duration.
    #[error("\"{0}\" is not an interval; write a whole number and a unit, as in 30s, 5m, 2h or 1d")]
    Interval(String),
    /// Not an instant.
    #[error("\"{0}\" is not a time with a zone; write it as in 2026-11-22T18:00:00Z")]
    Clocked(String),
    /// Not a solar event.
    #[error("the solar event is not valid: {0}")]
    Solar(#[from] SolarError),
    /// No such zone.
    #[error("\"{0}\" is not a known time zone; write an IANA name such as Europe/Berlin or UTC")]
    Zone(String),
}

/// The zone of this IANA name, from the database that is built into the program, so that every agent and every brain
/// of one version computes the same runs.
///
/// # Errors
/// There is no such zone.
pub fn time_zone(name: &str) -> Result<TimeZone, TimingError> {
    static DATABASE: OnceLock<TimeZoneDatabase> = OnceLock::new();
    let unknown = || TimingError::Zone(name.chars().take(MAX_ZONE_BYTES).collect());
    if name.is_empty() || name.len() > MAX_ZONE_BYTES {
        return Err(unknown());
    }
    DATABASE.get_or_init(TimeZoneDatabase::bundled).get(name).map_err(|_| unknown())
}

/// When a schedule runs.
///
/// A crontab's runs are those of Celery's beat across changes of the clock. A minute that the clock skips is run as
/// much later as the clock was moved (02:30 in Berlin's March night is run at 03:30), once if several in a row are
/// skipped; a minute that comes twice is run the first time only, so the repeated hour has no runs at all: an hourly
/// schedule pauses for two hours there. Beat fires without pause when its last run lies in the repeated hour; that is
/// a fault of it, and not copied.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// The minutes that a crontab names, on the wall clock of a zone.
    Crontab {
        /// Which minutes.
        crontab: Crontab,
        /// Whose clock.
        zone: TimeZone,
    },
    /// So many microseconds after the last run, always more than zero. Days are 24 hours.
    Interval(i64),
    /// Once, then.
    Clocked(Timestamp),
    /// What the sun does at a place, within two minutes.
    Solar(Solar),
}

impl Timing {
    /// Reads a schedule's `kind`, `expression` and `timezone` (none is UTC; only crontabs have one).
    ///
    /// # Errors
    /// What is not understood.
    pub fn parse(kind: &str, expression: &str, timezone: Option<&str>) -> Result<Self, TimingError> {
        let shortened = || expression.chars().take(80).collect();
        Ok(match Kind::parse(kind).ok_or_else(|| TimingError::Kind(kind.chars().take(80).collect()))? {
            Kind::Crontab => {
                Self::Crontab { crontab: Crontab::parse(expression)?, zone: time_zone(timezone.unwrap_or("UTC"))? }
            }
            Kind::Interval => {
                Self::Interval(parse_duration(expression).ok_or_else(|| TimingError::Interval(shortened()))?)
            }
            Kind::Clocked => {
                Self::Clocked(Timestamp::parse_rfc3339(expression).ok_or_else(|| TimingError::Clocked(shortened()))?)
            }
            Kind::Solar => Self::Solar(Solar::parse(expression)?),
        })
    }

    /// The first run after `instant`. For an interval, `instant` is the last run. `None` when there is none any more.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Crontab { crontab, zone } => Clockwork { crontab, zone }.next_after(instant),
            Self::Interval(micros) => instant.0.checked_add(*micros).map(Timestamp),
            Self::Clocked(at) => Some(*at).filter(|at| *at > instant),
            Self::Solar(solar) => solar.next_after(instant),
        }
    }

    /// The last run before `instant`. For an interval, `instant` is a run. `None` when there was none.
    pub fn previous_before(&self, instant: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Crontab { crontab, zone } => Clockwork { crontab, zone }.previous_before(instant),
            Self::Interval(micros) => instant.0.checked_sub(*micros).map(Timestamp),
            Self::Clocked(at) => Some(*at).filter(|at| *at < instant),
            Self::Solar(solar) => solar.previous_before(instant),
        }
    }

    /// Up to `count` runs after `instant`, in order.
    pub fn runs_after(&self, instant: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(instant), |run| self.next_after(*run)).take(count).collect()
    }
}

/// A crontab on the clock of a zone.
struct Clockwork<'a> {
    crontab: &'a Crontab,
    zone: &'a TimeZone,
}

impl Clockwork<'_> {
    fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let (earlier, _) = self.walls(instant)?;
        // A skipped minute becomes a later instant, so that what it is may lie behind the wall clock of `instant`.
        let before = earlier.checked_sub(jiff::SignedDuration::from_mins(1)).ok()?;
        let mut wall = self.crontab.next_wall(before)?;
        loop {
            if let Some(run) = self.instant_of(wall).filter(|run| *run > instant) {
                return Some(run);
            }
            wall = self.crontab.next_wall(wall)?;
        }
    }

    fn previous_before(&self, instant: Timestamp) -> Option<Timestamp> {
        let (_, later) = self.walls(instant)?;
        let after = later.checked_add(jiff::SignedDuration::from_mins(1)).ok()?;
        let mut wall = self.crontab.previous_wall(after)?;
        loop {
            if let Some(run) = self.instant_of(wall).filter(|run| *run < instant) {
                return Some(run);
            }
            wall = self.crontab.previous_wall(wall)?;
        }
    }

    /// What the wall clock shows at `instant`, and would show had it not been moved during the day before: the
    /// earlier of the two, then the later.
    fn walls(&self, instant: Timestamp) -> Option<(jiff::civil::DateTime, jiff::civil::DateTime)> {
        let now = jiff::Timestamp::from_microsecond(instant.0).ok()?;
        let day_before = jiff::Timestamp::from_microsecond(instant.0.checked_sub(DAY)?).ok()?;
        let shown = self.zone.to_datetime(now);
        let unmoved = self.zone.to_offset(day_before).to_datetime(now);
        Some((shown.min(unmoved), shown.max(unmoved)))
    }

    /// When a minute of the wall clock is; `None` for a skipped minute behind another one that the crontab names.
    fn instant_of(&self, wall: jiff::civil::DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
            let before = self.crontab.previous_wall(wall).filter(|before| before.date() == wall.date());
            let skipped = |wall| matches!(self.zone.to_ambiguous_timestamp(wall).offset(), AmbiguousOffset::Gap { .. });
            if before.is_some_and(skipped) {
                return None;
            }
        }
        Some(Timestamp(ambiguous.compatible().ok()?.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect(text)
    }

    fn runs(zone: &str, expression: &str, from: &str, count: usize) -> Vec<String> {
        let timing = Timing::parse("crontab", expression, Some(zone)).expect(expression);
        let found = timing.runs_after(at(from), count);
        // Going back passes the same runs.
        for pair in found.windows(2) {
            assert_eq!(timing.previous_before(pair[1]), Some(pair[0]), "{expression} before {}", pair[1]);
        }
        found.iter().map(|run| run.to_string().replace(".000000Z", "Z")).collect()
    }

    /// What Celery 5.7 with django-celery-beat 2.9 answers to the same questions.
    #[test]
    fn runs_across_changes_of_the_clock_are_beats() {
        let berlin = "Europe/Berlin";
        assert_eq!(
            runs(berlin, "30 2 * * *", "2026-03-27T12:00:00Z", 4),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]
        );
        assert_eq!(
            runs(berlin, "30 2 * * *", "2026-10-23T12:00:00Z", 4),
            ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"]
        );
        assert_eq!(
            runs(berlin, "0 * * * *", "2026-10-24T22:30:00Z", 4),
            ["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"]
        );
        assert_eq!(
            runs(berlin, "*/15 * * * *", "2026-10-25T00:20:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z", "2026-10-25T02:00:00Z"]
        );
        assert_eq!(
            runs(berlin, "*/15 * * * *", "2026-03-29T00:20:00Z", 4),
            ["2026-03-29T00:30:00Z", "2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"]
        );
        assert_eq!(
            runs(berlin, "30 * * * *", "2026-03-28T23:40:00Z", 3),
            ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]
        );
        assert_eq!(
            runs(berlin, "10,50 2,3 * * *", "2026-03-28T12:00:00Z", 3),
            ["2026-03-29T01:10:00Z", "2026-03-29T01:50:00Z", "2026-03-30T00:10:00Z"]
        );
        assert_eq!(
            runs("Australia/Lord_Howe", "45 1 * * *", "2026-04-03T00:00:00Z", 3),
            ["2026-04-03T14:45:00Z", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]
        );
    }

    #[test]
    fn several_skipped_minutes_are_one_run() {
        assert_eq!(
            runs("Europe/Berlin", "10,50 2 * * *", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:10:00Z", "2026-03-30T00:10:00Z"]
        );
    }

    #[test]
    fn a_skipped_minute_is_still_ahead_right_after_the_change() {
        assert_eq!(runs("Europe/Berlin", "30 2 * * *", "2026-03-29T01:10:00Z", 1), ["2026-03-29T01:30:00Z"]);
    }

    #[test]
    fn the_repeated_hour_has_no_runs() {
        assert_eq!(runs("Europe/Berlin", "*/15 * * * *", "2026-10-25T01:20:00Z", 1), ["2026-10-25T02:00:00Z"]);
        let quarterly = Timing::parse("crontab", "*/15 * * * *", Some("Europe/Berlin")).expect("parses");
        assert_eq!(quarterly.previous_before(at("2026-10-25T01:20:00Z")), Some(at("2026-10-25T00:45:00Z")));
    }

    #[test]
    fn both_days_must_match() {
        assert_eq!(
            runs("UTC", "0 0 13 * fri", "2026-01-01T00:00:00Z", 4),
            ["2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z", "2026-11-13T00:00:00Z", "2027-08-13T00:00:00Z"]
        );
        assert_eq!(
            runs("UTC", "0 0 29 feb *", "2026-01-01T00:00:00Z", 2),
            ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]
        );
        assert_eq!(runs("UTC", "0 0 29 feb mon", "2072-03-01T00:00:00Z", 1), ["2112-02-29T00:00:00Z"]);
        assert_eq!(
            runs("Asia/Kolkata", "0 9 1 1,7 *", "2026-01-03T00:00:00Z", 2),
            ["2026-07-01T03:30:00Z", "2027-01-01T03:30:00Z"]
        );
    }

    #[test]
    fn an_interval_counts_from_the_last_run() {
        let timing = Timing::parse("interval", "90s", None).expect("parses");
        assert_eq!(timing.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-01-01T00:01:30Z")));
        assert_eq!(timing.previous_before(at("2026-01-01T00:01:30Z")), Some(at("2026-01-01T00:00:00Z")));
        assert_eq!(timing.next_after(Timestamp(i64::MAX)), None);
    }

    #[test]
    fn a_clocked_schedule_runs_once() {
        let timing = Timing::parse("clocked", "2026-05-01T10:00:00+02:00", None).expect("parses");
        let run = at("2026-05-01T08:00:00Z");
        assert_eq!(timing.next_after(run.plus(-1)), Some(run));
        assert_eq!(timing.next_after(run), None);
        assert_eq!((timing.previous_before(run), timing.previous_before(run.plus(1))), (None, Some(run)));
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write() {
        let refused = |kind, expression, zone| Timing::parse(kind, expression, zone).expect_err("refused").to_string();
        assert!(refused("weekly", "x", None).contains("the kinds are crontab"));
        assert!(refused("interval", "5 minutes", None).contains("30s, 5m"));
        assert!(refused("clocked", "tomorrow", None).contains("2026-11-22T18:00:00Z"));
        assert!(refused("crontab", "* * * * *", Some("Mars/Olympus")).contains("Europe/Berlin"));
        assert!(refused("solar", "sunset", None).contains("sunset 52.52 13.40"));
    }

    #[test]
    fn absurd_instants_have_no_runs() {
        let timing = Timing::parse("crontab", "* * * * *", Some("Europe/Berlin")).expect("parses");
        for instant in [Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            assert_eq!((timing.next_after(instant), timing.previous_before(instant)), (None, None));
        }
    }
}
