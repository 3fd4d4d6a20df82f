//! Where a scan has to look.

use taskplane_store::Result;
use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::search::lookup::Rows;
use taskplane_store::backend::search::{Lookup, Outline, Range, Segment};

use super::segment;
use crate::session::{Session, column};

/// Noted changes beyond which the index is not used: each is a task to look at.
const MAX_CHANGES: i64 = 10_000;
/// Ranges that are read at once, and about how many tasks may be in them.
const BATCH_RANGES: usize = 32;
const BATCH_TASKS: u32 = 2_048;

/// Ranges of keys, newest first, as far as they have been found.
#[derive(Debug)]
pub(crate) struct Ranges {
    found: Vec<Range>,
    lookup: Lookup,
    is_complete: bool,
}

impl Ranges {
    /// Below key `below`, outside of these ranges there is nothing of what is wanted.
    pub(crate) async fn new(session: &Session, wanted: &Wanted<'_>, plan: &Plan, below: i64) -> Result<Self> {
        Self::between(session, wanted, plan, (wanted.from, below)).await
    }

    /// The same, of keys from one on and below another.
    pub(crate) async fn between(
        session: &Session,
        wanted: &Wanted<'_>,
        plan: &Plan,
        (from, below): (i64, i64),
    ) -> Result<Self> {
        let clauses = wanted.clauses(plan);
        let outline = if clauses.is_empty() { None } else { outline(session, from, below).await? };
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

    /// The range at a place in their order and some that follow, as far as they have been found: as many as are read at once.
    pub(crate) fn batch(&self, at: usize) -> &[Range] {
        let rest = self.found.get(at..).unwrap_or_default();
        let mut tasks = 0u32;
        let more = rest.iter().take(BATCH_RANGES).take_while(|range| {
            tasks = tasks.saturating_add(range.tasks);
            tasks <= BATCH_TASKS
        });
        let count = more.count().max(1).min(rest.len());
        &rest[..count]
    }

    /// All ranges down to this key have been found.
    pub(crate) fn position(&self) -> i64 {
        self.lookup.position()
    }

    /// True when all have been found.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// About how many tasks are in those that have been found.
    pub(crate) fn tasks(&self) -> u32 {
        self.found.iter().fold(0, |tasks, range| tasks.saturating_add(range.tasks))
    }

    /// Looks on.
    pub(crate) async fn find_more(&mut self, session: &Session) -> Result<()> {
        if let Some(places) = self.lookup.ask() {
            let mut rows = Rows::default();
            if !places.is_empty() {
                let sql = "SELECT place, body FROM search_buckets WHERE place = ANY($1)";
                for row in session.query(sql, &[&places]).await? {
                    rows.insert(column(&row, 0)?, column(&row, 1)?);
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

/// What there is of the index between two keys, all of one instant, as one statement sees it; `None` when too much has changed
/// since it was made.
async fn outline(session: &Session, from: i64, below: i64) -> Result<Option<Outline>> {
    let sql = "SELECT id, is_patch, low, high, tasks, postings, bucket_bits, opaque, 0 FROM search_segments
            WHERE high > $1 AND low < $2
        UNION ALL SELECT indexed_until, false, 0, 0, 0, 0, 0, '', 1 FROM search_state
        UNION ALL (SELECT key, false, 0, 0, 0, 0, 0, '', 2 FROM search_changes WHERE key >= $1 AND key < $2 LIMIT $3)";
    let mut outline = Outline::default();
    for row in session.query(sql, &[&from, &below, &(MAX_CHANGES + 1)]).await? {
        match column::<i32>(&row, 8)? {
            0 => outline.segments.push(segment(&row)? as Segment),
            1 => outline.indexed_until = column(&row, 0)?,
            _ => outline.changed.push(column(&row, 0)?),
        }
    }
    Ok((outline.changed.len() as i64 <= MAX_CHANGES).then_some(outline))
}
