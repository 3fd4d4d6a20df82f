//! Numbers, spans of time and instants, as people read them in sentences.

use jiff::tz::TimeZone;
use taskplane_model::Timestamp;
use taskplane_model::time::{DAY, MINUTE, SECOND};

const HOUR: i64 = 60 * MINUTE;
/// More names are not listed one by one.
const MOST_NAMES: usize = 3;

/// `1,234`.
pub(crate) fn number(amount: u64) -> String {
    let digits = amount.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 task`, `3 tasks`.
pub(crate) fn plural(amount: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(amount), if amount == 1 { "" } else { "s" })
}

/// One of two words, as `amount` needs it: `1 task waits`, `3 tasks wait`.
pub(crate) fn agreeing<'w>(amount: u64, one: &'w str, many: &'w str) -> &'w str {
    if amount == 1 { one } else { many }
}

/// A span of time in its largest unit: `4 s`, `12 min`, `3 d`.
pub(crate) fn coarse(micros: i64) -> String {
    let micros = micros.max(0);
    match micros {
        micros if micros < MINUTE => format!("{} s", micros / SECOND),
        micros if micros < HOUR => format!("{} min", micros / MINUTE),
        micros if micros < DAY => format!("{} h", micros / HOUR),
        _ => format!("{} d", micros / DAY),
    }
}

/// A span of time in the two units that matter: `340 ms`, `12 s`, `1 h 10 min`.
pub(crate) fn span(micros: i64) -> String {
    let micros = micros.max(0);
    let join = |big: i64, big_unit: &str, small: i64, small_unit: &str| match (micros / big, micros % big / small) {
        (whole, 0) => format!("{whole} {big_unit}"),
        (whole, rest) => format!("{whole} {big_unit} {rest} {small_unit}"),
    };
    match micros {
        micros if micros < SECOND => format!("{} ms", micros / 1_000),
        micros if micros < MINUTE => format!("{} s", micros / SECOND),
        micros if micros < HOUR => join(MINUTE, "min", SECOND, "s"),
        micros if micros < DAY => join(HOUR, "h", MINUTE, "min"),
        _ => join(DAY, "d", HOUR, "h"),
    }
}

/// An instant by the clock, with its day when that is not the day of `now`: `14:05 UTC`, `24 Nov 14:05 UTC`.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> String {
    let wall = |at: Timestamp| jiff::Timestamp::from_microsecond(at.0).map(|at| TimeZone::UTC.to_datetime(at));
    let (Ok(at), Ok(now)) = (wall(at), wall(now)) else { return at.to_string() };
    let form = if at.date() == now.date() { "%H:%M UTC" } else { "%-d %b %H:%M UTC" };
    at.strftime(form).to_string()
}

/// `a`, `a and b`, `a, b and c`, `a, b, c and 4 more`.
pub(crate) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many if more > 0 => format!("{} and {} more", many[..MOST_NAMES].join(", "), number(more as u64)),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1, 1_200].map(|n| plural(n, "task")), ["1 task", "1,200 tasks"]);
        assert_eq!([1, 0].map(|n| agreeing(n, "waits", "wait")), ["waits", "wait"]);
    }

    #[test]
    fn spans_have_one_unit_or_two() {
        assert_eq!([-5, 59 * SECOND, 719 * SECOND, 3 * DAY].map(coarse), ["0 s", "59 s", "11 min", "3 d"]);
        let spans = [340_000, 12 * SECOND, 185 * SECOND, 2 * HOUR, 70 * MINUTE, 25 * HOUR].map(span);
        assert_eq!(spans, ["340 ms", "12 s", "3 min 5 s", "2 h", "1 h 10 min", "1 d 1 h"]);
    }

    #[test]
    fn an_instant_of_another_day_has_its_day() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).expect("a time");
        let now = at("2026-11-23T23:59:00Z");
        assert_eq!(clock(at("2026-11-23T14:05:59Z"), now), "14:05 UTC");
        assert_eq!(clock(at("2026-11-24T00:05:00Z"), now), "24 Nov 00:05 UTC");
    }

    #[test]
    fn many_names_are_cut() {
        assert_eq!(listed(["a"]), "a");
        assert_eq!(listed(["a", "b", "c"]), "a, b and c");
        assert_eq!(listed(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
