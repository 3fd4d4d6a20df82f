//! Reads the rows of several series newest first, within a budget.

use std::collections::VecDeque;
use std::time::Instant;

use taskplane_store::backend::plan::Plan;

use super::row::TaskRow;
use super::series::{Series, Taken, Want};
use crate::errors::Done;
use crate::readers::View;
use crate::search::Ranges;

/// Rows that are given however long it takes.
const LEAST_ROWS: u32 = 512;
/// Looking at the clock costs as much as reading a row.
const LOOK_EVERY: u32 = 64;
/// Bytes of rows that one series may have ready; there is one row at least.
const READY_BYTES: usize = 1 << 20;

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) rows: u32,
    pub(super) deadline: Instant,
}

/// What a scan has come to.
#[derive(Debug)]
pub(super) enum Step {
    /// A row that may or may not be wanted.
    Row(TaskRow),
    /// There is no more.
    End,
    /// The budget is spent.
    Spent,
}

/// A scan at work.
pub(super) struct Scan<'v> {
    view: &'v View<'v>,
    want: Want<'v>,
    ranges: &'v mut Ranges,
    sources: Vec<Source>,
    /// All rows are below this key.
    below: i64,
    given: u32,
    budget: Budget,
}

#[derive(Debug)]
struct Source {
    series: Series,
    ready: VecDeque<TaskRow>,
}

/// Where the next row is.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// First in this source.
    In(usize),
    /// Nowhere.
    Nowhere,
    /// The budget was spent before that was known.
    Unknown,
}

impl<'v> Scan<'v> {
    /// Scans keys below `below` in `ranges`.
    pub(super) fn new(
        view: &'v View<'v>,
        want: Want<'v>,
        plan: Plan,
        ranges: &'v mut Ranges,
        below: i64,
        budget: Budget,
    ) -> Done<Self> {
        let series = Series::of(view, want.wanted, plan, below)?;
        let sources = series.into_iter().map(|series| Source { series, ready: VecDeque::new() }).collect();
        Ok(Self { view, want, ranges, sources, below, given: 0, budget })
    }

    /// The next row in descending order of keys.
    pub(super) fn next(&mut self) -> Done<Step> {
        let has_time = self.given < LEAST_ROWS || !self.given.is_multiple_of(LOOK_EVERY);
        match self.peek()? {
            Next::Nowhere => Ok(Step::End),
            Next::Unknown => Ok(Step::Spent),
            Next::In(_) if !has_time && Instant::now() > self.budget.deadline => Ok(Step::Spent),
            Next::In(at) => {
                self.given += 1;
                Ok(self.sources[at].ready.pop_front().map_or(Step::End, Step::Row))
            }
        }
    }

    /// True when there may be one more row at least.
    pub(super) fn has_more(&mut self) -> Done<bool> {
        Ok(!matches!(self.peek()?, Next::Nowhere))
    }

    /// All rows that were not returned are below this key.
    pub(super) fn rest_below(&self) -> i64 {
        let rest = self.sources.iter().filter_map(|source| source.rest_below(self.ranges));
        rest.max().unwrap_or(self.want.wanted.from)
    }

    fn peek(&mut self) -> Done<Next> {
        let mut best: Option<(i64, usize)> = None;
        let mut is_unknown = false;
        for (at, source) in self.sources.iter_mut().enumerate() {
            // Also when another one is late: each of them gets on.
            source.fill(self.view, &mut self.want, self.ranges, self.below, &mut self.budget)?;
            match source.ready.front() {
                Some(row) if best.is_none_or(|(key, _)| row.brief.key > key) => best = Some((row.brief.key, at)),
                None if !source.series.is_over => is_unknown = true,
                _ => {}
            }
        }
        Ok(if is_unknown { Next::Unknown } else { best.map_or(Next::Nowhere, |(_, at)| Next::In(at)) })
    }
}

impl Source {
    /// Reads until there is a row, or none, or the budget is spent; but it always gets below `start`.
    fn fill(
        &mut self,
        view: &View<'_>,
        want: &mut Want<'_>,
        ranges: &mut Ranges,
        start: i64,
        budget: &mut Budget,
    ) -> Done<()> {
        while self.ready.is_empty() && !self.series.is_over {
            let is_spent = budget.rows == 0 || Instant::now() > budget.deadline;
            if is_spent && self.series.got_on(ranges, start) {
                return Ok(());
            }
            let (ready, mut bytes) = (&mut self.ready, 0);
            let read = self.series.advance(view, want, ranges, |brief, row| {
                let row = TaskRow::read(brief, row)?;
                bytes += row.len();
                ready.push_back(row);
                Ok(if bytes < READY_BYTES { Taken::GoOn } else { Taken::Enough })
            })?;
            budget.rows = budget.rows.saturating_sub(read);
        }
        Ok(())
    }

    /// All rows to come are below this key; `None` when there are none.
    fn rest_below(&self, ranges: &Ranges) -> Option<i64> {
        self.ready.front().map(|row| row.brief.key + 1).or_else(|| self.series.rest_below(ranges))
    }
}
