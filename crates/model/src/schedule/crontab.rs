//! Celery's dialect of crontab: which minutes of the wall clock it names.

use jiff::civil::{Date, DateTime};
use thiserror::Error;

/// Longest expression that is read, in bytes: django-celery-beat's columns together.
const MAX_BYTES: usize = 600;
/// 29 February on one given weekday comes again after at most 40 years, across 2100.
const MAX_YEARS: i16 = 41;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const LONGEST_MONTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Why an expression is not a crontab; the text is for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CrontabError {
    /// Not five fields.
    #[error("a crontab has five fields, as in \"0 3 * * mon-fri\" (minute, hour, day of month, month, day of week)")]
    Fields,
    /// A field that is not understood.
    #[error("{field}: \"{part}\" is not understood; write {field} as *, 5, 1-5, */2, 1-9/2 or a list of these")]
    Syntax {
        /// The field.
        field: Field,
        /// The part of it.
        part: String,
    },
    /// A number outside the field's range.
    #[error("{field}: {part} is outside {min} to {max}")]
    Range {
        /// The field.
        field: Field,
        /// The number as it was written.
        part: String,
        /// Least that is allowed.
        min: u8,
        /// Most that is allowed.
        max: u8,
    },
    /// No month has such a day.
    #[error("none of its months has any of its days of the month")]
    NoSuchDay,
}

/// One of the five fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or `jan` to `dec`.
    Month,
    /// 0 (Sunday) to 6, or `sun` to `sat`.
    DayOfWeek,
}

impl Field {
    /// All five, in the order in which an expression has them.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// Least and greatest number.
    pub fn bounds(self) -> (u8, u8) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
}

/// The numbers of one field, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers(u64);

impl Numbers {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|n| n < 64 && self.0 & (1 << n) != 0)
    }

    fn first(self) -> i8 {
        self.0.trailing_zeros() as i8
    }

    fn last(self) -> i8 {
        63 - self.0.leading_zeros() as i8
    }

    fn after(self, number: i8) -> Option<i8> {
        (number + 1..=self.last()).find(|&n| self.has(n))
    }

    fn before(self, number: i8) -> Option<i8> {
        (self.first()..number).rev().find(|&n| self.has(n))
    }
}

/// A crontab as Celery reads it: day of month **and** day of week must match; ranges may wrap around (`fri-mon`);
/// weekdays are 0 (Sunday) to 6, and names count by their first three letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crontab {
    minutes: Numbers,
    hours: Numbers,
    days: Numbers,
    months: Numbers,
    weekdays: Numbers,
}

impl Crontab {
    /// Reads five fields separated by blanks: minute, hour, day of month, month, day of week.
    ///
    /// # Errors
    /// What is not understood, or names no day at all.
    pub fn parse(expression: &str) -> Result<Self, CrontabError> {
        if expression.len() > MAX_BYTES {
            return Err(CrontabError::Fields);
        }
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else { return Err(CrontabError::Fields) };
        let crontab = Self {
            minutes: numbers(Field::Minute, minute)?,
            hours: numbers(Field::Hour, hour)?,
            days: numbers(Field::DayOfMonth, day)?,
            months: numbers(Field::Month, month)?,
            weekdays: numbers(Field::DayOfWeek, weekday)?,
        };
        let longest = (1..=12).filter(|&m| crontab.months.has(m)).map(|m| LONGEST_MONTHS[m as usize - 1]).max();
        if longest.is_none_or(|longest| crontab.days.first() > longest as i8) {
            return Err(CrontabError::NoSuchDay);
        }
        Ok(crontab)
    }

    /// The numbers that a field names, ascending.
    pub fn named(&self, field: Field) -> Vec<u8> {
        let numbers = match field {
            Field::Minute => self.minutes,
            Field::Hour => self.hours,
            Field::DayOfMonth => self.days,
            Field::Month => self.months,
            Field::DayOfWeek => self.weekdays,
        };
        let (min, max) = field.bounds();
        (min..=max).filter(|&n| numbers.0 & (1 << n) != 0).collect()
    }

    /// The first minute of the wall clock that it names after the minute of `wall`; `None` when there is none in
    /// forty years.
    pub(super) fn next_wall(&self, wall: DateTime) -> Option<DateTime> {
        let (hour, minute) = (wall.hour(), wall.minute());
        if self.has_day(wall.date()) {
            if self.hours.has(hour)
                && let Some(minute) = self.minutes.after(minute)
            {
                return Some(wall.date().at(hour, minute, 0, 0));
            }
            if let Some(hour) = self.hours.after(hour) {
                return Some(wall.date().at(hour, self.minutes.first(), 0, 0));
            }
        }
        let mut date = wall.date();
        let last_year = date.year().saturating_add(MAX_YEARS);
        loop {
            date = if self.months.has(date.month()) { date } else { date.last_of_month() }.tomorrow().ok()?;
            if self.has_day(date) {
                return Some(date.at(self.hours.first(), self.minutes.first(), 0, 0));
            }
            if date.year() > last_year {
                return None;
            }
        }
    }

    /// The last minute of the wall clock that it names before the minute of `wall`; `None` when there is none in
    /// forty years.
    pub(super) fn previous_wall(&self, wall: DateTime) -> Option<DateTime> {
        let (hour, minute) = (wall.hour(), wall.minute());
        if self.has_day(wall.date()) {
            if self.hours.has(hour)
                && let Some(minute) = self.minutes.before(minute)
            {
                return Some(wall.date().at(hour, minute, 0, 0));
            }
            if let Some(hour) = self.hours.before(hour) {
                return Some(wall.date().at(hour, self.minutes.last(), 0, 0));
            }
        }
        let mut date = wall.date();
        let first_year = date.year().saturating_sub(MAX_YEARS);
        loop {
            date = if self.months.has(date.month()) { date } else { date.first_of_month() }.yesterday().ok()?;
            if self.has_day(date) {
                return Some(date.at(self.hours.last(), self.minutes.last(), 0, 0));
            }
            if date.year() < first_year {
                return None;
            }
        }
    }

    fn has_day(&self, date: Date) -> bool {
        self.months.has(date.month())
            && self.days.has(date.day())
            && self.weekdays.has(date.weekday().to_sunday_zero_offset())
    }
}

fn numbers(field: Field, text: &str) -> Result<Numbers, CrontabError> {
    let mut bits = 0;
    for part in text.split(',') {
        bits |= bits_of(field, part)?;
    }
    Ok(Numbers(bits))
}

fn bits_of(field: Field, part: &str) -> Result<u64, CrontabError> {
    let misread = || CrontabError::Syntax { field, part: part.chars().take(40).collect() };
    let (min, max) = field.bounds();
    let (span, step) = match part.split_once('/') {
        Some((span, step)) => (span, Some(plain_number(step).filter(|&n| n > 0).ok_or_else(misread)?)),
        None => (part, None),
    };
    let (from, to) = match (span, span.split_once('-')) {
        ("*", _) => (min, max),
        (_, Some((from, to))) => {
            (number(field, from).map_err(|e| e.of(part))?, number(field, to).map_err(|e| e.of(part))?)
        }
        // Celery reads a step after a range or a star only.
        (_, None) if step.is_some() => return Err(misread()),
        (_, None) => {
            let one = number(field, span).map_err(|e| e.of(part))?;
            (one, one)
        }
    };
    let wrapped = (from..=max).chain(min..=to).filter(|_| to < from);
    let straight = (from..=to).filter(|_| from <= to);
    let every = usize::try_from(step.unwrap_or(1)).map_err(|_| misread())?;
    Ok(straight.chain(wrapped).step_by(every).fold(0, |bits, n| bits | 1 << n))
}

fn plain_number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn number(field: Field, text: &str) -> Result<u8, CrontabError> {
    let misread = || CrontabError::Syntax { field, part: text.chars().take(40).collect() };
    let (min, max) = field.bounds();
    let found = match plain_number(text) {
        Some(number) => number,
        None => named(text).ok_or_else(misread)?,
    };
    let fits = u8::try_from(found).ok().filter(|n| (min..=max).contains(n));
    fits.ok_or_else(|| CrontabError::Range { field, part: text.to_owned(), min, max })
}

/// Names of months and of weekdays are understood in every field, by their first three letters.
fn named(text: &str) -> Option<u32> {
    if !text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let short = text.get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == short).map(|at| at + 1);
    month.or_else(|| WEEKDAYS.iter().position(|name| *name == short)).and_then(|n| u32::try_from(n).ok())
}

impl CrontabError {
    fn of(self, whole: &str) -> Self {
        match self {
            Self::Syntax { field, .. } => Self::Syntax { field, part: whole.chars().take(40).collect() },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_hours(text: &str) -> Vec<i8> {
        let crontab = Crontab::parse(&format!("0 {text} * * *")).expect("parses");
        (0..24).filter(|&n| crontab.hours.has(n)).collect()
    }

    #[test]
    fn steps_ranges_and_lists_are_read_as_celery_does() {
        assert_eq!(named_hours("*/5"), [0, 5, 10, 15, 20]);
        assert_eq!(named_hours("0,8-17/2"), [0, 8, 10, 12, 14, 16]);
        assert_eq!(named_hours("22-2"), [0, 1, 2, 22, 23]);
        // Celery steps through a range that wraps from its beginning.
        assert_eq!(named_hours("21-3/2"), [1, 3, 21, 23]);
        assert_eq!(named_hours("*/99"), [0]);
    }

    #[test]
    fn names_are_read_by_their_first_three_letters() {
        let weekdays = Crontab::parse("0 0 * * Monday-fri").expect("parses");
        assert_eq!(weekdays, Crontab::parse("0 0 * * 1-5").expect("parses"));
        assert_eq!(Crontab::parse("0 0 * feb,DEC *"), Crontab::parse("0 0 * 2,12 *"));
    }

    #[test]
    fn what_celery_refuses_is_refused() {
        let bad = [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "5/2 * * * *",
            "*/0 * * * *",
            "*/ * * * *",
            "*/x * * * *",
            "1,,2 * * * *",
            "-1 * * * *",
            "1-2-3 * * * *",
            "*-5 * * * *",
            "L * * * *",
            "* * * * xyz",
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "+5 * * * *",
            "1_0 * * * *",
            "é * * * *",
        ];
        for text in bad {
            assert!(Crontab::parse(text).is_err(), "{text}");
        }
        assert!(Crontab::parse(&"* ".repeat(400)).is_err());
    }

    #[test]
    fn an_error_names_the_field_and_the_part() {
        let text = Crontab::parse("0 25 * * *").expect_err("refused").to_string();
        assert_eq!(text, "hour: 25 is outside 0 to 23");
        let text = Crontab::parse("0 3 * * mon-x").expect_err("refused").to_string();
        assert!(text.starts_with("day of week: \"mon-x\" is not understood"), "{text}");
    }
}
