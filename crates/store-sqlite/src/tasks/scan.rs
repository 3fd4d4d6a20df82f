//! Reads rows newest first along a plan, in ranges that may hold what is wanted, piece by piece, within a budget.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taskplane_store::backend::plan::{Brief, Plan, Wanted};

use super::get::keys_near;
use super::row::{brief, read_brief};
use crate::errors::Done;
use crate::readers::View;
use crate::search::Ranges;

/// Rows that are fetched at once at first, and later on.
const FIRST_PIECE: i64 = 64;
const PIECE: i64 = 512;
/// Rows that are read however long it takes.
const LEAST_ROWS: u32 = 512;
/// Looking at the clock costs as much as reading a row.
const LOOK_EVERY: u32 = 64;

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) rows: u32,
    pub(super) time: Duration,
}

/// What a scan has come to.
#[derive(Debug)]
pub(super) enum Step {
    /// A row that may or may not be wanted.
    Row(Brief),
    /// There is no more.
    End,
    /// The budget is spent.
    Spent,
}

/// A scan at work.
pub(super) struct Scan<'v> {
    view: &'v View<'v>,
    ranges: &'v mut Ranges,
    project: i64,
    sources: Vec<Source>,
    from: i64,
    /// All rows are below this key.
    below: i64,
    left: u32,
    taken: u32,
    deadline: Instant,
}

#[derive(Debug)]
struct Source {
    kind: Kind,
    rows: VecDeque<Brief>,
    /// The range that is being read.
    range: usize,
    /// The next piece lies below this key.
    below: i64,
    piece: i64,
    ended: bool,
}

/// Where the next row is.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// First in this source.
    In(usize),
    /// Nowhere.
    Nowhere,
    /// The deadline has passed before that was known.
    Unknown,
}

#[derive(Debug)]
enum Kind {
    Keys(VecDeque<i64>),
    State(u8),
    Name(i64),
    All,
}

impl<'v> Scan<'v> {
    /// Scans keys below `below` in `ranges`.
    pub(super) fn new(
        view: &'v View<'v>,
        wanted: &Wanted<'_>,
        plan: Plan,
        ranges: &'v mut Ranges,
        below: i64,
        budget: Budget,
    ) -> Done<Self> {
        let kinds: Vec<Kind> = match plan {
            Plan::Nothing => Vec::new(),
            Plan::Ids(ids) => vec![Kind::Keys(keys_of(view, wanted, &ids, below)?)],
            Plan::States(states) => states.into_iter().map(Kind::State).collect(),
            Plan::Names(names) => names.into_iter().map(Kind::Name).collect(),
            Plan::All => vec![Kind::All],
        };
        let source = |kind| Source { kind, rows: VecDeque::new(), range: 0, below, piece: FIRST_PIECE, ended: false };
        Ok(Self {
            view,
            ranges,
            project: wanted.project,
            sources: kinds.into_iter().map(source).collect(),
            from: wanted.from,
            below,
            left: budget.rows,
            taken: 0,
            deadline: Instant::now() + budget.time,
        })
    }

    /// The next row in descending order of keys.
    pub(super) fn next(&mut self) -> Done<Step> {
        let has_time = self.taken < LEAST_ROWS || !self.taken.is_multiple_of(LOOK_EVERY);
        let is_over = self.left == 0 || (!has_time && Instant::now() > self.deadline);
        match self.peek()? {
            Next::Nowhere => Ok(Step::End),
            Next::Unknown => Ok(Step::Spent),
            Next::In(_) if is_over => Ok(Step::Spent),
            Next::In(at) => {
                self.left -= 1;
                self.taken += 1;
                Ok(self.sources[at].rows.pop_front().map_or(Step::End, Step::Row))
            }
        }
    }

    /// True when there may be one more row at least.
    pub(super) fn has_more(&mut self) -> Done<bool> {
        Ok(!matches!(self.peek()?, Next::Nowhere))
    }

    /// All rows that were not returned are below this key.
    pub(super) fn rest_below(&self) -> i64 {
        self.sources.iter().filter_map(|source| source.rest_below(self.ranges)).max().unwrap_or(self.from)
    }

    fn peek(&mut self) -> Done<Next> {
        let mut best: Option<(i64, usize)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.fill(self.view, self.project, self.ranges, self.from, (self.below, self.deadline))?;
            match source.rows.front() {
                Some(row) if best.is_none_or(|(key, _)| row.key > key) => best = Some((row.key, at)),
                None if !source.ended => return Ok(Next::Unknown),
                _ => {}
            }
        }
        Ok(best.map_or(Next::Nowhere, |(_, at)| Next::In(at)))
    }
}

/// Where tasks with these ids are, if they are anywhere, descending.
fn keys_of(view: &View<'_>, wanted: &Wanted<'_>, ids: &[String], below: i64) -> Done<VecDeque<i64>> {
    let mut keys = Vec::new();
    for id in ids {
        keys.extend(keys_near(view, wanted.project.cast_unsigned(), id)?);
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys.dedup();
    keys.retain(|key| *key < below);
    Ok(keys.into())
}

impl Source {
    /// Reads until there is a row, or none, or the deadline has passed; but it always gets through a range and below
    /// `start`, so that whoever goes on from there comes to an end.
    fn fill(
        &mut self,
        view: &View<'_>,
        project: i64,
        ranges: &mut Ranges,
        from: i64,
        (start, deadline): (i64, Instant),
    ) -> Done<()> {
        while self.rows.is_empty() && !self.ended {
            let got_on = (self.range > 0 || ranges.get(0).is_none())
                && self.rest_below(ranges).is_some_and(|below| below < start);
            let is_late = got_on && Instant::now() > deadline;
            if matches!(self.kind, Kind::Keys(_)) {
                self.ended = self.fetch(view, project, from, self.below)? == 0;
                continue;
            }
            let Some(range) = ranges.get(self.range) else {
                if ranges.is_complete() {
                    self.ended = true;
                    continue;
                }
                if is_late {
                    return Ok(());
                }
                ranges.find_more(view)?;
                continue;
            };
            if is_late {
                return Ok(());
            }
            let below = self.below.min(range.until);
            let fetched = if range.from < below { self.fetch(view, project, range.from, below)? } else { 0 };
            if fetched < self.piece {
                (self.range, self.below) = (self.range + 1, range.from.min(self.below));
            } else if let Some(last) = self.rows.back() {
                self.below = last.key;
            }
            self.piece = PIECE;
        }
        Ok(())
    }

    /// All rows to come are below this key; `None` when there are none.
    fn rest_below(&self, ranges: &Ranges) -> Option<i64> {
        if let Some(row) = self.rows.front() {
            return Some(row.key + 1);
        }
        let next = ranges.get(self.range).map_or_else(|| ranges.position(), |range| range.until);
        (!self.ended).then(|| self.below.min(next))
    }

    /// Reads one piece between two keys; returns how many rows or keys that were.
    fn fetch(&mut self, view: &View<'_>, project: i64, from: i64, below: i64) -> Done<i64> {
        let piece = self.piece;
        let (sql, values): (&str, Vec<i64>) = match &mut self.kind {
            Kind::Keys(keys) => {
                let count = keys.len().min(piece as usize);
                for key in keys.drain(..count) {
                    self.rows.extend(brief(view, key)?.filter(|row| row.key >= from));
                }
                return Ok(count as i64);
            }
            // `state <> 4` is what the index is limited to; said literally, it lets the planner use it.
            Kind::State(state) => (
                "SELECT key, project, engine, state, name, queue, worker FROM tasks INDEXED BY tasks_by_state
                 WHERE project = ?1 AND state = ?2 AND state <> 4 AND key < ?3 AND key >= ?4 ORDER BY key DESC LIMIT ?5",
                vec![project, i64::from(*state), below, from, piece],
            ),
            Kind::Name(name) => (
                "SELECT key, project, engine, state, name, queue, worker FROM tasks INDEXED BY tasks_by_name
                 WHERE project = ?1 AND name = ?2 AND key < ?3 AND key >= ?4 ORDER BY key DESC LIMIT ?5",
                vec![project, *name, below, from, piece],
            ),
            // Rows of other projects count too, so that the work is bounded.
            Kind::All => (
                "SELECT key, project, engine, state, name, queue, worker FROM tasks NOT INDEXED
                 WHERE key < ?1 AND key >= ?2 ORDER BY key DESC LIMIT ?3",
                vec![below, from, piece],
            ),
        };
        let mut select = view.db.prepare_cached(sql)?;
        let mut rows = select.query(rusqlite::params_from_iter(values))?;
        let mut fetched = 0;
        while let Some(row) = rows.next()? {
            self.rows.push_back(read_brief(row)?);
            fetched += 1;
        }
        Ok(fetched)
    }
}
