//! From a filter to the rows that have to be looked at.

use std::collections::HashSet;

use rusqlite::OptionalExtension;
use taskplane_model::TaskState;
use taskplane_model::filter::{Pattern, TaskFilter};
use taskplane_store::tasks::TaskQuery;

use super::get::keys_near;
use super::row::Brief;
use crate::errors::Done;
use crate::ids;
use crate::readers::View;

/// Most series of an index that are read side by side.
const MAX_SERIES: usize = 64;
/// Most terms that a pattern with `*` is tried on.
const MAX_TERMS: i64 = 100_000;

/// A filter in numbers.
#[derive(Debug)]
pub(super) struct Wanted<'q> {
    pub(super) project: i64,
    filter: &'q TaskFilter,
    states: Vec<u8>,
    names: Terms,
    queues: Terms,
    workers: Terms,
    engines: Terms,
    /// Least key.
    pub(super) from: i64,
    /// Key behind the greatest.
    pub(super) until: i64,
}

/// Which terms a list of patterns means.
#[derive(Debug)]
enum Terms {
    Any,
    These(HashSet<i64>),
    /// Too many to tell; the record decides.
    Unclear,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// At these keys, descending.
    Keys(Vec<i64>),
    /// Where the state is one of these, none of which is `succeeded`.
    States(Vec<u8>),
    /// Where the name is one of these.
    Names(Vec<i64>),
    /// Everywhere.
    All,
}

impl<'q> Wanted<'q> {
    pub(super) fn new(view: &View<'_>, query: &'q TaskQuery) -> Done<Self> {
        let filter = &query.filter;
        let engines: Vec<Pattern> = filter.engines.iter().cloned().map(Pattern).collect();
        let mut states: Vec<u8> = filter.states.iter().map(|state| *state as u8).collect();
        states.sort_unstable();
        states.dedup();
        Ok(Self {
            project: query.project.cast_signed(),
            filter,
            states,
            names: Terms::of(view, &filter.names, true)?,
            queues: Terms::of(view, &filter.queues, true)?,
            workers: Terms::of(view, &filter.workers, true)?,
            engines: Terms::of(view, &engines, false)?,
            from: filter.since.map_or(i64::MIN, ids::least_key),
            until: filter.until.map_or(i64::MAX, ids::least_key),
        })
    }

    /// The narrowest way to everything that is wanted.
    pub(super) fn plan(&self, view: &View<'_>, project: u64) -> Done<Plan> {
        let columns = [&self.names, &self.queues, &self.workers, &self.engines];
        if columns.into_iter().any(Terms::is_nothing) {
            return Ok(Plan::Keys(Vec::new()));
        }
        if !self.filter.ids.is_empty() {
            let mut keys = Vec::new();
            for id in &self.filter.ids {
                keys.extend(keys_near(view, project, id)?);
            }
            keys.sort_unstable_by(|a, b| b.cmp(a));
            keys.dedup();
            return Ok(Plan::Keys(keys));
        }
        if !self.states.is_empty() && !self.states.contains(&(TaskState::Succeeded as u8)) {
            return Ok(Plan::States(self.states.clone()));
        }
        Ok(self.plan_by_name())
    }

    /// The narrowest way that does not use the state.
    pub(super) fn plan_by_name(&self) -> Plan {
        match &self.names {
            Terms::These(names) if names.len() <= MAX_SERIES => Plan::Names(names.iter().copied().collect()),
            _ => Plan::All,
        }
    }

    /// States that are asked for; all when none is named.
    pub(super) fn states(&self) -> Vec<TaskState> {
        TaskState::ALL.into_iter().filter(|s| self.states.is_empty() || self.states.contains(&(*s as u8))).collect()
    }

    /// True when nothing but state and time narrows.
    pub(super) fn only_state_and_time(&self) -> bool {
        let columns = [&self.names, &self.queues, &self.workers, &self.engines];
        !self.needs_record() && columns.into_iter().all(|terms| matches!(terms, Terms::Any))
    }

    /// True when the columns cannot decide.
    pub(super) fn needs_record(&self) -> bool {
        let columns = [&self.names, &self.queues, &self.workers, &self.engines];
        self.filter.needs_record()
            || !self.filter.ids.is_empty()
            || columns.into_iter().any(|terms| matches!(terms, Terms::Unclear))
    }

    /// True when the columns do not speak against a row.
    pub(super) fn admits(&self, row: &Brief) -> bool {
        row.project == self.project
            && (self.states.is_empty() || self.states.contains(&row.state))
            && self.names.admit(row.name)
            && self.queues.admit(row.queue)
            && self.workers.admit(row.worker)
            && self.engines.admit(row.engine)
    }

    /// The filter itself.
    pub(super) fn filter(&self) -> &TaskFilter {
        self.filter
    }
}

impl Terms {
    fn of(view: &View<'_>, patterns: &[Pattern], stars: bool) -> Done<Self> {
        if patterns.is_empty() {
            return Ok(Self::Any);
        }
        let mut numbers = HashSet::new();
        let mut open = Vec::new();
        let mut find = view.db.prepare_cached("SELECT id FROM terms WHERE text = ?1")?;
        for pattern in patterns {
            match pattern.exact().or_else(|| (!stars).then_some(pattern.0.as_str())) {
                Some(text) => numbers.extend(find.query_row([text], |row| row.get::<_, i64>(0)).optional()?),
                None => open.push(pattern),
            }
        }
        if open.is_empty() {
            return Ok(Self::These(numbers));
        }
        let mut all = view.db.prepare_cached("SELECT id, text FROM terms LIMIT ?1")?;
        let mut rows = all.query([MAX_TERMS + 1])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            if open.iter().any(|pattern| pattern.matches(text)) {
                numbers.insert(row.get(0)?);
            }
        }
        Ok(if read > MAX_TERMS { Self::Unclear } else { Self::These(numbers) })
    }

    fn admit(&self, number: i64) -> bool {
        match self {
            Self::Any | Self::Unclear => true,
            Self::These(numbers) => numbers.contains(&number),
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::These(numbers) if numbers.is_empty())
    }
}
