//! Reads rows newest first along a plan, in ranges that may hold what is wanted, piece by piece, within a budget.

use std::collections::VecDeque;
use std::time::Instant;

use taskplane_store::Result;
use taskplane_store::backend::ids;
use taskplane_store::backend::plan::{Brief, Plan, Wanted};

use super::row::{brief, brief_columns};
use crate::locks::project_number;
use crate::names::{Names, term_column};
use crate::search::Ranges;
use crate::session::Session;

/// Rows that are fetched at once at first, and later on.
const FIRST_PIECE: i64 = 64;
const PIECE: i64 = 2_048;

/// Rows that are read however long it takes.
const LEAST_ROWS: usize = 512;

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) rows: usize,
    pub(super) deadline: Instant,
}

/// Whether a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is more to take.
    More,
    /// There is no more.
    Nothing,
    /// There is more, but the budget is spent.
    Unread,
}

/// A scan at work.
pub(super) struct Scan<'s> {
    session: &'s Session,
    ranges: &'s mut Ranges,
    project: i32,
    sources: Vec<Source>,
    from: i64,
    /// All rows are below this key.
    below: i64,
    left: usize,
    taken: usize,
    deadline: Instant,
}

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

enum Kind {
    Hashes(Vec<i64>),
    State(i16),
    /// Each name in each state.
    Names(Vec<i32>, Vec<i16>),
    All,
}

impl<'s> Scan<'s> {
    /// Scans keys below `below` in `ranges`.
    pub(super) fn new(
        names: &Names,
        session: &'s Session,
        wanted: &Wanted<'_>,
        plan: Plan,
        (ranges, below): (&'s mut Ranges, i64),
        budget: Budget,
    ) -> Result<Self> {
        let project = wanted.project.cast_unsigned();
        let kinds: Vec<Kind> = match plan {
            Plan::Nothing => Vec::new(),
            Plan::Ids(wanted) => {
                vec![Kind::Hashes(wanted.iter().map(|id| ids::hash(names.seed, project, id)).collect())]
            }
            Plan::States(states) => states.into_iter().map(|state| Kind::State(state.into())).collect(),
            Plan::Names { names, states } => {
                let names = names.into_iter().map(term_column).collect::<Result<_>>()?;
                vec![Kind::Names(names, states.into_iter().map(i16::from).collect())]
            }
            Plan::All => vec![Kind::All],
        };
        let source = |kind| Source { kind, rows: VecDeque::new(), range: 0, below, piece: FIRST_PIECE, ended: false };
        Ok(Self {
            session,
            ranges,
            project: project_number(project),
            sources: kinds.into_iter().map(source).collect(),
            from: wanted.from,
            below,
            left: budget.rows,
            taken: 0,
            deadline: budget.deadline,
        })
    }

    /// At most `most` rows in descending order of keys, and whether there are more.
    pub(super) async fn take(&mut self, most: usize) -> Result<(Vec<Brief>, Rest)> {
        let mut taken = Vec::new();
        while taken.len() < most.min(self.left) {
            let Next::In(at) = self.peek().await? else { break };
            taken.extend(self.sources[at].rows.pop_front());
        }
        self.left -= taken.len();
        self.taken += taken.len();
        let has_time = self.taken < LEAST_ROWS || Instant::now() <= self.deadline;
        let rest = match self.peek().await? {
            Next::Nowhere => Rest::Nothing,
            Next::Unknown => Rest::Unread,
            Next::In(_) if self.left == 0 || !has_time => Rest::Unread,
            Next::In(_) => Rest::More,
        };
        Ok((taken, rest))
    }

    /// The states of its series, where each is of one.
    pub(super) fn series(&self) -> Vec<Option<i16>> {
        let state = |source: &Source| if let Kind::State(state) = source.kind { Some(state) } else { None };
        self.sources.iter().map(state).collect()
    }

    /// Reads on in one series, whatever the others have, and however late it is. Returns rows, which may be none, and whether
    /// there are no more.
    pub(super) async fn advance(&mut self, series: usize) -> Result<(Vec<Brief>, bool)> {
        let Self { session, ranges, project, from, sources, .. } = self;
        let Some(source) = sources.get_mut(series) else { return Ok((Vec::new(), true)) };
        source.advance(session, *project, ranges, *from).await?;
        Ok((source.rows.drain(..).collect(), source.ended))
    }

    /// All rows that were not taken are below this key.
    pub(super) fn rest_below(&self) -> i64 {
        self.sources.iter().filter_map(|source| source.rest_below(self.ranges)).max().unwrap_or(self.from)
    }

    async fn peek(&mut self) -> Result<Next> {
        let mut best: Option<(i64, usize)> = None;
        let mut is_unknown = false;
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.fill(self.session, self.project, self.ranges, self.from, (self.below, self.deadline)).await?;
            match source.rows.front() {
                Some(row) if best.is_none_or(|(key, _)| row.key > key) => best = Some((row.key, at)),
                // The others get on all the same.
                None if !source.ended => is_unknown = true,
                _ => {}
            }
        }
        Ok(if is_unknown { Next::Unknown } else { best.map_or(Next::Nowhere, |(_, at)| Next::In(at)) })
    }
}

/// Rows of some ranges, at most so many of each and of all.
macro_rules! in_ranges {
    ($condition:literal) => {
        concat!(
            "SELECT t.* FROM unnest($3::int8[], $4::int8[]) AS r(low, high) CROSS JOIN LATERAL (SELECT ",
            brief_columns!(),
            " FROM tasks WHERE project = $1 AND ",
            $condition,
            " AND key >= r.low AND key < r.high ORDER BY key DESC LIMIT $5) AS t ORDER BY t.key DESC LIMIT $5"
        )
    };
}

/// The same of names, each in each of some states: there are too few of each for one to stand for all.
const NAMES_IN_RANGES: &str = concat!(
    "SELECT t.* FROM unnest($2::int4[]) AS n(name) CROSS JOIN unnest($6::int2[]) AS s(state)
        CROSS JOIN unnest($3::int8[], $4::int8[]) AS r(low, high) CROSS JOIN LATERAL (SELECT ",
    brief_columns!(),
    " FROM tasks WHERE project = $1 AND name = n.name AND state = s.state AND key >= r.low AND key < r.high
        ORDER BY key DESC LIMIT $5) AS t ORDER BY t.key DESC LIMIT $5"
);

impl Source {
    /// Reads until there is a row, or none, or the deadline has passed; but it always gets through a range and below
    /// `start`, so that whoever goes on from there comes to an end.
    async fn fill(
        &mut self,
        session: &Session,
        project: i32,
        ranges: &mut Ranges,
        from: i64,
        (start, deadline): (i64, Instant),
    ) -> Result<()> {
        while self.rows.is_empty() && !self.ended {
            let got_on = (self.range > 0 || ranges.batch(0).is_empty())
                && self.rest_below(ranges).is_some_and(|below| below < start);
            let is_last = ranges.batch(self.range).is_empty() && ranges.is_complete();
            let is_at_once = matches!(self.kind, Kind::Hashes(_));
            if got_on && !is_last && !is_at_once && Instant::now() > deadline {
                return Ok(());
            }
            self.advance(session, project, ranges, from).await?;
        }
        Ok(())
    }

    /// Reads one piece, or looks for more ranges.
    async fn advance(&mut self, session: &Session, project: i32, ranges: &mut Ranges, from: i64) -> Result<()> {
        if let Kind::Hashes(hashes) = &self.kind {
            let hashes = hashes.clone();
            return self.fill_at_once(session, project, from, hashes).await;
        }
        let batch = ranges.batch(self.range);
        let Some(last) = batch.last().copied() else {
            if ranges.is_complete() {
                self.ended = true;
                return Ok(());
            }
            return ranges.find_more(session).await;
        };
        let (mut lows, mut highs) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for range in batch {
            // Neighbours may share a key.
            highs.push(range.until.min(lows.last().copied().unwrap_or(self.below)));
            lows.push(range.from);
        }
        let count = batch.len();
        let fetched = self.fetch(session, project, &lows, &highs).await?;
        if fetched < self.piece {
            (self.range, self.below) = (self.range + count, last.from.min(self.below));
        } else if let Some(last) = self.rows.back() {
            self.below = last.key;
            self.range += lows.iter().filter(|low| **low >= last.key).count();
        }
        self.piece = PIECE;
        Ok(())
    }

    /// All rows to come are below this key; `None` when there are none.
    fn rest_below(&self, ranges: &Ranges) -> Option<i64> {
        if let Some(row) = self.rows.front() {
            return Some(row.key + 1);
        }
        let next = ranges.batch(self.range).first().map_or_else(|| ranges.position(), |range| range.until);
        (!self.ended).then(|| self.below.min(next))
    }

    /// Reads one piece in ranges; returns how many rows that were.
    async fn fetch(&mut self, session: &Session, project: i32, lows: &[i64], highs: &[i64]) -> Result<i64> {
        let piece = self.piece;
        let rows = match &self.kind {
            Kind::Hashes(_) => Vec::new(),
            // `state <> 4` is what the index is limited to; said literally, it lets the planner use it.
            Kind::State(state) => {
                let sql = in_ranges!("state = $2 AND state <> 4");
                session.query(sql, &[&project, state, &lows, &highs, &piece]).await?
            }
            Kind::Names(names, states) => {
                session.query(NAMES_IN_RANGES, &[&project, names, &lows, &highs, &piece, states]).await?
            }
            Kind::All => {
                let sql = in_ranges!("$2::int4 IS NOT NULL");
                session.query(sql, &[&project, &0i32, &lows, &highs, &piece]).await?
            }
        };
        for row in &rows {
            self.rows.push_back(brief(row)?);
        }
        Ok(rows.len() as i64)
    }

    /// Reads all tasks with one of these hashes: ids of one filter are few.
    async fn fill_at_once(&mut self, session: &Session, project: i32, from: i64, hashes: Vec<i64>) -> Result<()> {
        // The hash is of the project, too. Said to the planner, project and key might lead it to an index of all tasks.
        let sql = concat!("SELECT ", brief_columns!(), " FROM tasks WHERE hash = ANY($1)");
        let rows = session.query(sql, &[&hashes]).await?;
        let mut found = rows.iter().map(brief).collect::<Result<Vec<_>>>()?;
        found.retain(|row| row.project == i64::from(project) && row.key < self.below && row.key >= from);
        found.sort_unstable_by_key(|row| std::cmp::Reverse(row.key));
        self.rows = found.into();
        self.ended = true;
        Ok(())
    }
}
