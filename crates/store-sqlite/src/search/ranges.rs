//! Where a scan has to look.

use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::search::lookup::Rows;
use taskplane_store::backend::search::{Lookup, Outline, Range};

use super::{segments, state};
use crate::errors::Done;
use crate::readers::View;

/// Noted changes beyond which the index is not used: each is a task to look at.
const MAX_CHANGES: usize = 10_000;

/// Ranges of keys, newest first, as far as they have been found.
#[derive(Debug)]
pub(crate) struct Ranges {
    found: Vec<Range>,
    lookup: Lookup,
    is_complete: bool,
}

impl Ranges {
    /// Below key `below`, outside of these ranges there is nothing of what is wanted.
    pub(crate) fn new(view: &View<'_>, wanted: &Wanted<'_>, plan: &Plan, below: i64) -> Done<Self> {
        Self::between(view, wanted, plan, (wanted.from, below))
    }

    /// The same, of keys from one on and below another.
    pub(crate) fn between(view: &View<'_>, wanted: &Wanted<'_>, plan: &Plan, (from, below): (i64, i64)) -> Done<Self> {
        let clauses = wanted.clauses(plan);
        let outline = if clauses.is_empty() { None } else { outline(view, from, below)? };
        let lookup = match outline {
            Some(outline) => Lookup::new(clauses, outline, from, below),
            None => Lookup::of_everything(from, below),
        };
        let mut ranges = Self { found: Vec::new(), lookup, is_complete: false };
        ranges.collect();
        Ok(ranges)
    }

    /// These, which descend.
    pub(crate) fn of(found: Vec<Range>) -> Self {
        let least = found.last().map_or(i64::MIN, |range| range.from);
        Self { found, lookup: Lookup::of_everything(least, least), is_complete: true }
    }

    /// The range at a place in their order, if it has been found.
    pub(crate) fn get(&self, at: usize) -> Option<Range> {
        self.found.get(at).copied()
    }

    /// All ranges down to this key have been found.
    pub(crate) fn position(&self) -> i64 {
        self.lookup.position()
    }

    /// True when all have been found.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// True when a good part of a large store has still to be looked through.
    pub(crate) fn have_far_to_go(&self) -> bool {
        self.lookup.has_far_to_go()
    }

    /// About how many tasks are in those that have been found.
    pub(crate) fn tasks(&self) -> u32 {
        self.found.iter().fold(0, |tasks, range| tasks.saturating_add(range.tasks))
    }

    /// Looks on.
    pub(crate) fn find_more(&mut self, view: &View<'_>) -> Done<()> {
        if let Some(places) = self.lookup.ask() {
            let mut select = view.db.prepare_cached("SELECT body FROM search_buckets WHERE place = ?1")?;
            let mut rows = Rows::default();
            for place in places {
                let mut found = select.query([place])?;
                if let Some(row) = found.next()? {
                    rows.insert(place, row.get(0)?);
                }
            }
            self.lookup.take(&rows)?;
        }
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        self.is_complete = self.lookup.needs_nothing() && self.lookup.ask().is_none();
        self.found.extend(std::iter::from_fn(|| self.lookup.pop_range()));
    }
}

/// What there is of the index between two keys; `None` when too much has changed since.
fn outline(view: &View<'_>, from: i64, below: i64) -> Done<Option<Outline>> {
    let mut select = view.db.prepare_cached("SELECT key FROM search_changes WHERE key >= ?1 AND key < ?2 LIMIT ?3")?;
    let values = [from, below, MAX_CHANGES as i64 + 1];
    let changed = select.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    if changed.len() > MAX_CHANGES {
        return Ok(None);
    }
    let segments = segments(view.db, from, below)?;
    Ok(Some(Outline { indexed_until: state(view.db)?.indexed_until, segments, changed }))
}
