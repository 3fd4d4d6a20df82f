//! Windows of time in query strings.

use axum::http::StatusCode;
use taskplane_model::Timestamp;
use taskplane_model::time::{MINUTE, parse_point};

use super::problem::Problem;

/// A window that does not say where it begins.
const DEFAULT_WINDOW: i64 = 60 * MINUTE;

/// A window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// From.
    pub(super) since: Timestamp,
    /// To, exclusive.
    pub(super) until: Timestamp,
}

impl Window {
    /// Reads a window: normally the last hour.
    pub(super) fn parse(since: Option<&str>, until: Option<&str>, now: Timestamp) -> Result<Self, Problem> {
        let until = point("until", until, now)?.unwrap_or(now);
        let since = point("since", since, now)?.unwrap_or_else(|| until.plus(-DEFAULT_WINDOW));
        if since >= until {
            return Err(bad_window(format!("since ({since}) must be before until ({until}).")));
        }
        Ok(Self { since, until })
    }

    /// Minutes that it touches.
    pub(super) fn minutes(self) -> i64 {
        self.until.plus(-1).minute() - self.since.minute() + 1
    }
}

fn point(name: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let refused = || {
        bad_window(format!(
            "{name} is \"{text}\"; write an age such as 90s, 15m, 2h or 7d, or a time such as 2026-11-22T18:00:00Z."
        ))
    };
    parse_point(text, now).map(Some).ok_or_else(refused)
}

fn bad_window(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_window", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    #[test]
    fn a_window_is_normally_the_last_hour() {
        let window = Window::parse(None, Some(""), NOW).expect("a window");
        assert_eq!(window, Window { since: NOW.plus(-60 * MINUTE), until: NOW });
    }

    #[test]
    fn windows_that_make_no_sense_are_refused() {
        for (since, until) in [(Some("yesterday"), None), (Some("1h"), Some("2h")), (None, Some("5w"))] {
            assert!(Window::parse(since, until, NOW).is_err(), "{since:?} {until:?}");
        }
    }

    #[test]
    fn a_window_counts_the_minutes_it_touches() {
        let window = |since, until| Window { since: Timestamp(since), until: Timestamp(until) };
        assert_eq!(window(0, MINUTE).minutes(), 1);
        assert_eq!(window(1, MINUTE + 1).minutes(), 2);
    }
}
