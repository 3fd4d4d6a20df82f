//! Which rows a window is read from: the longest spans that lie within it and are folded.

use super::{DAY, KeptFrom, Mark, SPANS, State, begin_of};

/// What is to be read, and for which step of a window. Each list ascends.
#[derive(Debug, Default)]
pub struct Reading {
    /// Sums.
    pub sums: Vec<Span>,
    /// Single minutes, from the rows of each task type and queue.
    pub minutes: Vec<(i64, usize)>,
}

/// Sums to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Minutes.
    pub span: i64,
    /// The first of them.
    pub start: i64,
    /// For which step.
    pub step: usize,
}

/// What may be read of which time.
#[derive(Debug)]
pub struct Cover {
    kept: KeptFrom,
    extent: (i64, i64),
    has_minutes: bool,
    /// For each of [`SPANS`], where those begin that are not folded; ascending.
    unfolded: [Vec<i64>; SPANS.len()],
    /// Minutes that were dropped and have changed since; ascending.
    late: Vec<i64>,
}

impl Cover {
    /// With `has_minutes`, sums of single minutes can be read too.
    pub fn new(state: &State, has_minutes: bool) -> Self {
        let mut unfolded = SPANS.map(|span| {
            let within = |mark: &&Mark| mark.span <= span;
            state.marks.iter().filter(within).map(|mark| begin_of(mark.start, span)).collect::<Vec<_>>()
        });
        for starts in &mut unfolded {
            starts.sort_unstable();
            starts.dedup();
        }
        let late = unfolded[0].iter().copied().filter(|minute| *minute < state.kept.minutes).collect();
        let extent = state.extent.map_or((0, 0), |(first, last)| (begin_of(first, DAY), begin_of(last, DAY) + DAY));
        Self { kept: state.kept, extent, has_minutes, unfolded, late }
    }

    /// The part of a window in which there may be something.
    pub fn clamp(&self, since: i64, until: i64) -> (i64, i64) {
        let since = since.max(self.extent.0).max(self.kept.days);
        (since, until.min(self.extent.1).max(since))
    }

    /// Adds what has to be read for the minutes from `since` to `until`. Hours and days of which nothing shorter is kept are
    /// read whole.
    pub fn add(&self, since: i64, until: i64, step: usize, reading: &mut Reading) {
        let (mut at, until) = self.clamp(since, until);
        while at < until {
            let kept_span = self.kept.shortest(at);
            let fits = |span: &i64| at % span == 0 && at + span <= until && self.is_folded(*span, at);
            let span = SPANS.into_iter().rev().filter(|span| *span >= kept_span).find(fits);
            match span {
                Some(span) if span > 1 || self.has_minutes => reading.sums.push(Span { span, start: at, step }),
                _ if kept_span > 1 => {
                    let start = begin_of(at, kept_span);
                    reading.sums.push(Span { span: kept_span, start, step });
                    let late = self.late.partition_point(|minute| *minute < start);
                    let late = self.late[late..].iter().take_while(|minute| **minute < start + kept_span);
                    reading.minutes.extend(late.map(|minute| (*minute, step)));
                    at = start + kept_span;
                    continue;
                }
                _ => reading.minutes.push((at, step)),
            }
            at += span.unwrap_or(1);
        }
    }

    fn is_folded(&self, span: i64, start: i64) -> bool {
        let of_span = SPANS.iter().position(|known| *known == span);
        of_span.is_some_and(|at| self.unfolded[at].binary_search(&start).is_err())
    }
}

#[cfg(test)]
mod tests {
    use super::super::HOUR;
    use super::*;

    const DAYS: i64 = 20_000 * DAY;

    fn read(state: &State, since: i64, until: i64) -> (Vec<(i64, i64)>, Vec<i64>) {
        let mut reading = Reading::default();
        Cover::new(state, true).add(DAYS + since, DAYS + until, 0, &mut reading);
        let sums = reading.sums.iter().map(|sum| (sum.span, sum.start - DAYS)).collect();
        (sums, reading.minutes.iter().map(|(minute, _)| minute - DAYS).collect())
    }

    fn state(marks: &[(i64, i64)], minutes: i64, hours: i64) -> State {
        let marks = marks.iter().map(|(span, start)| Mark { span: *span, start: DAYS + start }).collect();
        let kept = KeptFrom { minutes: DAYS + minutes, hours: DAYS + hours, days: 0 };
        State { kept, extent: Some((DAYS, DAYS + 9 * DAY)), marks }
    }

    #[test]
    fn long_spans_are_read_whole_and_edges_minute_by_minute() {
        let none = state(&[], 0, 0);
        assert_eq!(read(&none, 0, 2 * DAY), (vec![(DAY, 0), (DAY, DAY)], vec![]));
        assert_eq!(read(&none, 58, 131), (vec![(1, 58), (1, 59), (HOUR, 60), (10, 120), (1, 130)], vec![]));
        assert_eq!(read(&none, 5, 5), (vec![], vec![]));
    }

    #[test]
    fn spans_around_a_mark_are_not_used() {
        let marked = state(&[(1, 3)], 0, 0);
        let (sums, minutes) = read(&marked, 0, DAY);
        assert_eq!(minutes, [3]);
        assert_eq!((sums.len(), sums[2], sums[3], sums[9]), (9 + 5 + 23, (1, 2), (1, 4), (10, 10)));
        let hour = state(&[(HOUR, 0)], 0, 0);
        let (sums, minutes) = read(&hour, 0, DAY);
        assert_eq!((sums.len(), sums[0], sums[6], minutes), (6 + 23, (10, 0), (HOUR, 60), vec![]));
    }

    #[test]
    fn what_is_dropped_is_read_from_longer_spans_and_what_came_late() {
        let dropped = state(&[(1, 70)], 2 * DAY + 120, DAY);
        assert_eq!(read(&dropped, 65, DAY + 60), (vec![(DAY, 0), (HOUR, DAY)], vec![70]));
        assert_eq!(
            read(&dropped, 2 * DAY + 60, 2 * DAY + 121),
            (vec![(HOUR, 2 * DAY + 60), (1, 2 * DAY + 120)], vec![])
        );
    }

    #[test]
    fn a_window_without_end_is_read_where_something_is() {
        let (sums, _) = read(&state(&[], 0, 0), -DAYS, i64::MAX / 2);
        assert_eq!(sums.len(), 10);
    }
}
