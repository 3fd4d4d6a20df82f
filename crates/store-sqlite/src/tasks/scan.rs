//! Reads rows newest first along a plan, piece by piece, within a budget.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taskplane_store::backend::plan::{Brief, Plan, Wanted};

use super::get::keys_near;
use super::row::{brief, read_brief};
use crate::errors::Done;
use crate::readers::View;

/// Rows that are fetched at once at first, and later on.
const FIRST_PIECE: i64 = 64;
const PIECE: i64 = 512;
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
    project: i64,
    sources: Vec<Source>,
    from: i64,
    left: u32,
    deadline: Instant,
}

#[derive(Debug)]
struct Source {
    kind: Kind,
    rows: VecDeque<Brief>,
    /// The next piece lies below this key.
    below: i64,
    piece: i64,
    ended: bool,
}

#[derive(Debug)]
enum Kind {
    Keys(VecDeque<i64>),
    State(u8),
    Name(i64),
    All,
}

impl<'v> Scan<'v> {
    /// Scans keys below `cursor`.
    pub(super) fn new(
        view: &'v View<'v>,
        wanted: &Wanted<'_>,
        plan: Plan,
        cursor: Option<i64>,
        budget: Budget,
    ) -> Done<Self> {
        let below = cursor.map_or(wanted.until, |cursor| cursor.min(wanted.until));
        let kinds: Vec<Kind> = match plan {
            Plan::Nothing => Vec::new(),
            Plan::Ids(ids) => vec![Kind::Keys(keys_of(view, wanted, &ids, below)?)],
            Plan::States(states) => states.into_iter().map(Kind::State).collect(),
            Plan::Names(names) => names.into_iter().map(Kind::Name).collect(),
            Plan::All => vec![Kind::All],
        };
        let source = |kind| Source { kind, rows: VecDeque::new(), below, piece: FIRST_PIECE, ended: false };
        Ok(Self {
            view,
            project: wanted.project,
            sources: kinds.into_iter().map(source).collect(),
            from: wanted.from,
            left: budget.rows,
            deadline: Instant::now() + budget.time,
        })
    }

    /// The next row in descending order of keys.
    pub(super) fn next(&mut self) -> Done<Step> {
        if self.left == 0 || (self.left.is_multiple_of(LOOK_EVERY) && Instant::now() > self.deadline) {
            return Ok(if self.peek()?.is_some() { Step::Spent } else { Step::End });
        }
        let Some(at) = self.peek()? else { return Ok(Step::End) };
        self.left -= 1;
        Ok(self.sources[at].rows.pop_front().map_or(Step::End, Step::Row))
    }

    /// True when there is one more row at least.
    pub(super) fn has_more(&mut self) -> Done<bool> {
        Ok(self.peek()?.is_some())
    }

    /// The source whose first row is next.
    fn peek(&mut self) -> Done<Option<usize>> {
        let mut best: Option<(i64, usize)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.fill(self.view, self.project, self.from)?;
            if let Some(row) = source.rows.front()
                && best.is_none_or(|(key, _)| row.key > key)
            {
                best = Some((row.key, at));
            }
        }
        Ok(best.map(|(_, at)| at))
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
    fn fill(&mut self, view: &View<'_>, project: i64, from: i64) -> Done<()> {
        while self.rows.is_empty() && !self.ended {
            let fetched = self.fetch(view, project, from)?;
            self.ended = fetched < self.piece;
            self.piece = PIECE;
            if let Some(last) = self.rows.back() {
                self.below = last.key;
            }
        }
        Ok(())
    }

    fn fetch(&mut self, view: &View<'_>, project: i64, from: i64) -> Done<i64> {
        let (below, piece) = (self.below, self.piece);
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
