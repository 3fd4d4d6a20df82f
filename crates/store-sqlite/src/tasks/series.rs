//! One series of rows, newest first, in ranges that may hold what is wanted, read piece by piece.

use std::collections::VecDeque;

use rusqlite::Row;
use rusqlite::types::ValueRef;
use taskplane_store::backend::plan::{Brief, Plan, Wanted};
use taskplane_store::backend::sieve::{Sieve, StoredId};

use super::get::keys_near;
use super::row::{brief_columns, id_and_record, read_brief, task_columns};
use crate::errors::{Done, Fault};
use crate::readers::View;
use crate::search::Ranges;

/// Rows that are read at once at first, by all series together, and later on, by each.
const FIRST_ROWS: usize = 64;
const ROWS: i64 = 512;

/// What is read of which rows.
pub(super) struct Want<'w> {
    pub(super) wanted: &'w Wanted<'w>,
    sieve: Sieve<'w>,
    has_record: bool,
}

/// Rows of one kind.
#[derive(Debug)]
pub(super) struct Series {
    kind: Kind,
    /// The range that is being read.
    range: usize,
    /// The next piece lies below this key.
    below: i64,
    rows: i64,
    pieces: u32,
    pub(super) is_over: bool,
}

#[derive(Debug)]
enum Kind {
    Keys(VecDeque<i64>),
    State(u8),
    Name(i64, u8),
    All,
}

/// What whoever takes rows says to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It may come at once.
    GoOn,
    /// It belongs to the next piece.
    Enough,
}

impl<'w> Want<'w> {
    /// Tasks.
    pub(super) fn tasks(wanted: &'w Wanted<'w>) -> Self {
        Self { wanted, sieve: Sieve::new(wanted.filter()), has_record: true }
    }

    /// What decides whether a task is wanted.
    pub(super) fn decision(wanted: &'w Wanted<'w>) -> Self {
        Self { has_record: wanted.needs_record(), ..Self::tasks(wanted) }
    }

    /// True when nothing in a row speaks against it.
    fn admits(&mut self, view: &View<'_>, brief: &Brief, row: &Row<'_>) -> Done<bool> {
        if !self.wanted.admits(brief) || !self.has_record || self.sieve.is_open() {
            return Ok(self.wanted.admits(brief));
        }
        self.sieve.learn_name(brief.name, || view.names.term(view.db, brief.name))?;
        let (id, record) = id_and_record(row)?;
        let id = match id {
            ValueRef::Blob(uuid) => StoredId::Uuid(uuid),
            ValueRef::Text(text) => StoredId::Text(text),
            _ => return Err(Fault::corrupt("a task id is neither text nor bytes")),
        };
        Ok(self.sieve.leaves(brief.name, id, record)?)
    }
}

impl Series {
    /// The series of a plan, of keys below `below`.
    pub(super) fn of(view: &View<'_>, wanted: &Wanted<'_>, plan: Plan, below: i64) -> Done<Vec<Self>> {
        let kinds: Vec<Kind> = match plan {
            Plan::Nothing => Vec::new(),
            Plan::Ids(ids) => vec![Kind::Keys(keys_of(view, wanted, &ids, below)?)],
            Plan::States(states) => states.into_iter().map(Kind::State).collect(),
            Plan::Names { names, states } => {
                names.iter().flat_map(|name| states.iter().map(|state| Kind::Name(*name, *state))).collect()
            }
            Plan::All => vec![Kind::All],
        };
        let rows = (FIRST_ROWS / kinds.len().max(1)).max(4) as i64;
        let series = |kind| Self { kind, range: 0, below, rows, pieces: 0, is_over: false };
        Ok(kinds.into_iter().map(series).collect())
    }

    /// The state of all its rows, if it is one.
    pub(super) fn state(&self) -> Option<u8> {
        match self.kind {
            Kind::State(state) | Kind::Name(_, state) => Some(state),
            Kind::Keys(_) | Kind::All => None,
        }
    }

    /// True when something has been read, or passed over, and all that is to come is below `start`: whoever goes on from there
    /// comes to an end.
    pub(super) fn got_on(&self, ranges: &Ranges, start: i64) -> bool {
        (self.pieces > 0 || ranges.get(0).is_none()) && self.rest_below(ranges).is_some_and(|below| below < start)
    }

    /// All rows to come are below this key; `None` when there are none.
    pub(super) fn rest_below(&self, ranges: &Ranges) -> Option<i64> {
        let next = ranges.get(self.range).map_or_else(|| ranges.position(), |range| range.until);
        (!self.is_over).then(|| self.below.min(next))
    }

    /// Reads one piece, or looks for more ranges, and gives rows that may be wanted to `take`. Returns how many were read.
    pub(super) fn advance(
        &mut self,
        view: &View<'_>,
        want: &mut Want<'_>,
        ranges: &mut Ranges,
        mut take: impl FnMut(Brief, &Row<'_>) -> Done<Taken>,
    ) -> Done<u32> {
        if matches!(self.kind, Kind::Keys(_)) {
            return self.advance_keys(view, want, take);
        }
        let Some(range) = ranges.get(self.range) else {
            if ranges.is_complete() {
                self.is_over = true;
            } else {
                ranges.find_more(view)?;
            }
            return Ok(0);
        };
        let below = self.below.min(range.until);
        self.pieces += 1;
        let (mut read, mut last, mut is_cut) = (0, below, false);
        if range.from < below {
            let (sql, values) = self.select(want, range.from, below);
            let mut select = view.db.prepare_cached(sql)?;
            let mut rows = select.query(rusqlite::params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                let brief = read_brief(row)?;
                (read, last) = (read + 1, brief.key);
                if want.admits(view, &brief, row)? && take(brief, row)? == Taken::Enough {
                    is_cut = true;
                    break;
                }
            }
        }
        if is_cut || i64::from(read) == self.rows {
            self.below = last;
        } else {
            (self.range, self.below) = (self.range + 1, range.from.min(self.below));
        }
        self.rows = (self.rows * 4).min(ROWS);
        Ok(read)
    }

    fn advance_keys(
        &mut self,
        view: &View<'_>,
        want: &mut Want<'_>,
        mut take: impl FnMut(Brief, &Row<'_>) -> Done<Taken>,
    ) -> Done<u32> {
        let Kind::Keys(keys) = &mut self.kind else { return Ok(0) };
        let sql = concat!("SELECT ", task_columns!(), " FROM tasks WHERE key = ?1");
        let mut select = view.db.prepare_cached(sql)?;
        let mut read = 0;
        while read < ROWS as u32
            && let Some(key) = keys.pop_front()
        {
            self.below = key;
            let mut rows = select.query([key])?;
            let Some(row) = rows.next()? else { continue };
            read += 1;
            let brief = read_brief(row)?;
            if key >= want.wanted.from && want.admits(view, &brief, row)? && take(brief, row)? == Taken::Enough {
                break;
            }
        }
        self.pieces += 1;
        self.is_over = keys.is_empty();
        Ok(read)
    }

    /// How a piece between two keys is read.
    fn select(&self, want: &Want<'_>, from: i64, below: i64) -> (&'static str, Vec<i64>) {
        macro_rules! either {
            ($rest:literal) => {
                if want.has_record {
                    concat!("SELECT ", task_columns!(), " FROM tasks ", $rest)
                } else {
                    concat!("SELECT ", brief_columns!(), " FROM tasks ", $rest)
                }
            };
        }
        let project = want.wanted.project;
        match &self.kind {
            // `state <> 4` is what the index is limited to; said literally, it lets the planner use it.
            Kind::State(state) => (
                either!(
                    "INDEXED BY tasks_by_state WHERE project = ?1 AND state = ?2 AND state <> 4 AND key < ?3 AND key >= ?4
                     ORDER BY key DESC LIMIT ?5"
                ),
                vec![project, i64::from(*state), below, from, self.rows],
            ),
            Kind::Name(name, state) => (
                either!(
                    "INDEXED BY tasks_by_name WHERE project = ?1 AND name = ?2 AND state = ?3 AND key < ?4 AND key >= ?5
                     ORDER BY key DESC LIMIT ?6"
                ),
                vec![project, *name, i64::from(*state), below, from, self.rows],
            ),
            // Rows of other projects count too, so that the work is bounded.
            Kind::Keys(_) | Kind::All => (
                either!("NOT INDEXED WHERE key < ?1 AND key >= ?2 ORDER BY key DESC LIMIT ?3"),
                vec![below, from, self.rows],
            ),
        }
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
