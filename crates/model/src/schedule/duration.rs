//! Durations as a schedule's expression has them.

use crate::time::{DAY, MINUTE, SECOND};

const UNITS: [(&str, i64); 6] =
    [("d", DAY), ("h", 60 * MINUTE), ("m", MINUTE), ("s", SECOND), ("ms", SECOND / 1000), ("us", 1)];

/// Reads `30s`, `5m`, `2h`, `1d`, `250ms` or `10us` into microseconds. `None` for anything else, and for zero.
pub fn parse_duration(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let count: i64 = count.parse().ok().filter(|&n| n > 0)?;
    count.checked_mul(*micros)
}

/// Writes microseconds as [`parse_duration`] reads them, in the greatest unit that divides them: `90s`, `2h`.
pub fn format_duration(micros: i64) -> String {
    let (name, unit) = UNITS.iter().find(|(_, unit)| micros % unit == 0).unwrap_or(&("us", 1));
    format!("{}{name}", micros / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip_in_the_greatest_unit_that_divides_them() {
        for text in ["1d", "36h", "2h", "90m", "5m", "90s", "30s", "250ms", "10us"] {
            assert_eq!(format_duration(parse_duration(text).expect(text)), text);
        }
        assert_eq!(format_duration(parse_duration("60s").expect("parses")), "1m");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "5", "s", "0s", "-5s", "+5s", "1.5s", "5 s", "5w", "5S", "99999999999999999999d", "9999999999999d"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
