//! Instants, durations written by people, and their text forms.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Microseconds since the Unix epoch, UTC. The only instant in Taskplane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Microseconds in one second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in one minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds in one day.
pub const DAY: i64 = 24 * 60 * MINUTE;
/// 2000-01-01T00:00:00Z; anything before it is a broken clock (`PROTOCOL.md` section 3).
const YEAR_2000: i64 = 946_684_800 * SECOND;
/// The years of four digits, up to the last instant that the calendar knows in every zone.
const PLAIN_YEARS: std::ops::Range<i64> = -62_167_219_200 * SECOND..253_402_207_200 * SECOND;

impl Timestamp {
    /// The instant `seconds` (fractions allowed) after the epoch; `None` when it is not a representable number.
    pub fn from_unix_seconds(seconds: f64) -> Option<Self> {
        let micros = seconds * 1e6;
        (micros.is_finite() && micros.abs() < 9e18).then(|| Self(micros.round() as i64))
    }

    /// Parses RFC 3339 with a zone. `None` when the text is anything else.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        parse_utc_micros(text).or_else(|| text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_microsecond())))
    }

    /// True when no sane clock says so: before 2000, or more than a day after `now`.
    pub fn is_absurd(self, now: Self) -> bool {
        self.0 < YEAR_2000 || self.0 > now.0.saturating_add(DAY)
    }

    /// The start of the minute this instant lies in, as minutes since the epoch.
    pub fn minute(self) -> i64 {
        self.0.div_euclid(MINUTE)
    }

    /// This instant moved by `micros`, clamped to the representable range.
    pub fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Milliseconds from `earlier` to here; zero when the clocks disagree.
    pub fn ms_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0).max(0) as f64 / 1000.0
    }
}

/// The form we write ourselves, `2026-11-22T18:20:00.123456Z`, read without a general parser: it is on the ingest path.
fn parse_utc_micros(text: &str) -> Option<Timestamp> {
    let b = text.as_bytes();
    if b.len() != 27 || b[26] != b'Z' || b[4] != b'-' || b[7] != b'-' || b[10] != b'T' {
        return None;
    }
    if b[13] != b':' || b[16] != b':' || b[19] != b'.' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        b[from..to].iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, micros) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 26)?);
    if !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let month_days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day > month_days[(month - 1) as usize] {
        return None;
    }
    // Days from civil date, proleptic Gregorian (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let days = era * 146_097 + doe - 719_468;
    Some(Timestamp(((days * 24 + hour) * 60 + minute) * MINUTE + second * SECOND + micros))
}

/// The same form, written without a general formatter: it is on the way of every event. `None` outside of `PLAIN_YEARS`.
fn utc_micros(micros: i64) -> Option<[u8; 27]> {
    if !PLAIN_YEARS.contains(&micros) {
        return None;
    }
    let (days, in_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    // Civil date from days, the way back of `parse_utc_micros`.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |mut number: i64, from: usize, to: usize| {
        for digit in text[from..to].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(year, 0, 4);
    put(month, 5, 7);
    put(day, 8, 10);
    put(in_day / (60 * MINUTE), 11, 13);
    put(in_day / MINUTE % 60, 14, 16);
    put(in_day / SECOND % 60, 17, 19);
    put(in_day % SECOND, 20, 26);
    Some(text)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = utc_micros(self.0)
            && let Ok(text) = std::str::from_utf8(&text)
        {
            return f.write_str(text);
        }
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("expected an RFC 3339 time with a zone"))
    }
}

/// Parses an age such as `90s`, `15m`, `1h`, `7d` into microseconds. `None` for anything else, and for zero.
pub fn parse_age(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => SECOND,
        b'm' => MINUTE,
        b'h' => 60 * MINUTE,
        b'd' => DAY,
        _ => return None,
    };
    let count: i64 = text[..text.len() - 1].parse().ok()?;
    if count <= 0 || text.starts_with('+') {
        return None;
    }
    count.checked_mul(unit)
}

/// Parses a point in time as people write it in the API: RFC 3339, or an age counted back from `now`.
pub fn parse_point(text: &str, now: Timestamp) -> Option<Timestamp> {
    parse_age(text).map(|age| now.plus(-age)).or_else(|| Timestamp::parse_rfc3339(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fast_form_reads_what_we_write() {
        let t = Timestamp::parse_rfc3339("2026-04-16T12:34:56.789012Z").expect("parses");
        assert_eq!(t.to_string(), "2026-04-16T12:34:56.789012Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-04-16T14:34:56.789012+02:00"), Some(t));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "yesterday", "2026-04-16T12:34:56", "2026-02-30T12:34:56.000000Z", "2026-13-01T00:00:00.000000Z"]
        {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
        for text in ["0s", "-5m", "5", "m", "5w", "+5m", "99999999999999999d"] {
            assert_eq!(parse_age(text), None, "{text}");
        }
    }

    #[test]
    fn absurd_clocks_are_recognised() {
        let now = Timestamp::parse_rfc3339("2026-11-22T00:00:00Z").expect("parses");
        assert!(Timestamp(0).is_absurd(now));
        assert!(now.plus(DAY + 1).is_absurd(now));
        assert!(!now.plus(DAY).is_absurd(now));
    }

    proptest! {
        #[test]
        fn text_and_instant_round_trip(micros in 0i64..4_102_444_800_000_000) {
            let t = Timestamp(micros);
            prop_assert_eq!(parse_utc_micros(&t.to_string()), Some(t));
            prop_assert_eq!(t.to_string().parse::<jiff::Timestamp>().map(|j| j.as_microsecond()).ok(), Some(micros));
        }

        #[test]
        fn any_instant_is_written_as_by_the_library(micros in any::<i64>(), within_years in -63_000_000_000_000_000i64..254_000_000_000_000_000) {
            for micros in [micros, within_years] {
                let written = Timestamp(micros).to_string();
                match jiff::Timestamp::from_microsecond(micros) {
                    Ok(known) => prop_assert_eq!(written, format!("{known:.6}")),
                    Err(_) => prop_assert_eq!(written, format!("{micros}us")),
                }
            }
        }
    }
}
