//! When a schedule runs next, as far as its scheduler has told.

use taskplane_model::Timestamp;
use taskplane_model::schedule::{Schedule, Timing};

/// The next run of `schedule` after `now`; `None` when there is none, or it cannot be computed. `anchor` is what
/// intervals count from: the last run, or, before the first, the last change.
///
/// Beat writes down its last runs only from time to time, so that a run which seems overdue has mostly happened: the
/// runs told are those to come.
pub(crate) fn next_run(schedule: &Schedule, anchor: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let has_run = schedule.total_run_count.is_some_and(|count| count > 0);
    if schedule.enabled == Some(false) || (schedule.one_off == Some(true) && has_run) {
        return None;
    }
    let timing =
        Timing::parse(schedule.kind.as_deref()?, schedule.expression.as_deref()?, schedule.timezone.as_deref()).ok()?;
    let from = schedule.starts_at.map_or(now, |starts| starts.max(now));
    let next = match &timing {
        Timing::Interval(every) => {
            let anchor = anchor.unwrap_or(now);
            let behind = from.0.saturating_sub(anchor.0).max(0);
            let periods = behind.checked_div(*every)?.saturating_add(1);
            // One that has never run runs as soon as it may.
            let first = schedule.starts_at.filter(|starts| *starts > now && schedule.last_run_at.is_none());
            first.unwrap_or(Timestamp(anchor.0.saturating_add(every.saturating_mul(periods))))
        }
        // A clocked one that did not run yet is still to run, however late it is.
        Timing::Clocked(at) => (*at).max(schedule.starts_at.unwrap_or(*at)),
        Timing::Crontab { .. } | Timing::Solar(_) => timing.next_after(from)?,
    };
    schedule.expires_at.is_none_or(|expires| next < expires).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect(text)
    }

    fn schedule(kind: &str, expression: &str) -> Schedule {
        Schedule {
            kind: Some(kind.into()),
            expression: Some(expression.into()),
            enabled: Some(true),
            ..Schedule::default()
        }
    }

    #[test]
    fn an_interval_goes_on_from_its_last_run_in_whole_periods() {
        let every = schedule("interval", "30s");
        let now = at("2026-01-01T00:01:10Z");
        assert_eq!(next_run(&every, Some(at("2026-01-01T00:00:00Z")), now), Some(at("2026-01-01T00:01:30Z")));
        assert_eq!(next_run(&every, None, now), Some(at("2026-01-01T00:01:40Z")));
    }

    #[test]
    fn what_is_paused_done_or_expired_does_not_run() {
        let now = at("2026-01-01T00:00:00Z");
        let paused = Schedule { enabled: Some(false), ..schedule("interval", "30s") };
        let done = Schedule { one_off: Some(true), total_run_count: Some(1), ..schedule("interval", "30s") };
        let expired = Schedule { expires_at: Some(now.plus(1)), ..schedule("crontab", "* * * * *") };
        let unknown = schedule("weekly", "x");
        for schedule in [paused, done, expired, unknown] {
            assert_eq!(next_run(&schedule, None, now), None, "{schedule:?}");
        }
    }

    #[test]
    fn nothing_runs_before_it_starts() {
        let (now, starts) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:30:00Z"));
        let hourly = Schedule { starts_at: Some(starts), ..schedule("crontab", "0 * * * *") };
        assert_eq!(next_run(&hourly, None, now), Some(at("2026-01-02T01:00:00Z")));
        let every = Schedule { starts_at: Some(starts), ..schedule("interval", "7m") };
        assert_eq!(next_run(&every, Some(now), now), Some(starts));
    }
}
