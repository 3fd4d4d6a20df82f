//! From a filter to the rows that have to be looked at.

use std::collections::HashSet;

use taskplane_model::TaskState;
use taskplane_model::filter::{Pattern, TaskFilter};

use super::census::Kind;
use super::hashing::FastHash;
use super::ids;
use super::search::Clause;
use super::search::terms::Column;
use crate::tasks::TaskQuery;

/// Most names whose tasks are read side by side, each state by itself.
const MAX_NAMES: usize = 64;
/// Most terms that a pattern with `*` is tried on.
pub const MAX_TERMS: usize = 100_000;

/// The numbers of a task's row.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// Key.
    pub key: i64,
    /// Project.
    pub project: i64,
    /// Engine's term.
    pub engine: i64,
    /// State.
    pub state: u8,
    /// Task type's term.
    pub name: i64,
    /// Queue's term.
    pub queue: i64,
    /// Worker's term.
    pub worker: i64,
}

/// A filter in numbers.
#[derive(Debug)]
pub struct Wanted<'q> {
    /// Project.
    pub project: i64,
    filter: &'q TaskFilter,
    states: Vec<u8>,
    terms: FilterTerms,
    /// Least key.
    pub from: i64,
    /// Key behind the greatest.
    pub until: i64,
}

/// Which terms a filter means, column by column.
#[derive(Debug)]
pub struct FilterTerms {
    /// Task types.
    pub names: Terms,
    /// Queues.
    pub queues: Terms,
    /// Workers.
    pub workers: Terms,
    /// Engines.
    pub engines: Terms,
}

/// Which terms a list of patterns means.
#[derive(Debug)]
pub enum Terms {
    /// Whatever there is.
    Any,
    /// These.
    These(HashSet<i64, FastHash>),
    /// Too many to tell; the record decides.
    Unclear,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nowhere.
    Nothing,
    /// At tasks with these ids.
    Ids(Vec<String>),
    /// Where the state is one of these, none of which is `succeeded`.
    States(Vec<u8>),
    /// Where the name and the state are each one of these.
    Names {
        /// Task types.
        names: Vec<i64>,
        /// States.
        states: Vec<u8>,
    },
    /// Everywhere.
    All,
}

impl<'q> Wanted<'q> {
    /// What `query` means, given what its patterns mean.
    pub fn new(query: &'q TaskQuery, terms: FilterTerms) -> Self {
        let filter = &query.filter;
        let mut states: Vec<u8> = filter.states.iter().map(|state| *state as u8).collect();
        states.sort_unstable();
        states.dedup();
        Self {
            project: query.project.cast_signed(),
            filter,
            states,
            terms,
            from: filter.since.map_or(i64::MIN, ids::least_key),
            until: filter.until.map_or(i64::MAX, ids::least_key),
        }
    }

    /// The narrowest way to everything that is wanted.
    pub fn plan(&self) -> Plan {
        if self.terms.all().into_iter().any(Terms::is_nothing) {
            return Plan::Nothing;
        }
        if !self.filter.ids.is_empty() {
            return Plan::Ids(self.filter.ids.clone());
        }
        // Words lead to few tasks, of which each state of a name would have to be looked for by itself.
        let has_words = !self.words().is_empty();
        if let (Terms::These(names), false) = (&self.terms.names, has_words)
            && names.len() <= MAX_NAMES
        {
            let mut names: Vec<i64> = names.iter().copied().collect();
            names.sort_unstable();
            return Plan::Names { names, states: self.states().into_iter().map(|state| state as u8).collect() };
        }
        if !self.states.is_empty() && !self.states.contains(&(TaskState::Succeeded as u8)) {
            return Plan::States(self.states.clone());
        }
        Plan::All
    }

    /// States that are asked for; all when none is named.
    pub fn states(&self) -> Vec<TaskState> {
        TaskState::ALL.into_iter().filter(|s| self.states.is_empty() || self.states.contains(&(*s as u8))).collect()
    }

    /// True when nothing but name, state and time narrows.
    pub fn only_name_state_and_time(&self) -> bool {
        let FilterTerms { names: _, queues, workers, engines } = &self.terms;
        !self.needs_record() && [queues, workers, engines].into_iter().all(|terms| matches!(terms, Terms::Any))
    }

    /// True when nothing but state and time narrows.
    pub fn only_state_and_time(&self) -> bool {
        self.only_name_state_and_time() && matches!(self.terms.names, Terms::Any)
    }

    /// True when the columns cannot decide.
    pub fn needs_record(&self) -> bool {
        self.filter.needs_record()
            || !self.filter.ids.is_empty()
            || self.terms.all().into_iter().any(|terms| matches!(terms, Terms::Unclear))
    }

    /// True when tasks of a kind are wanted, as far as that decides.
    pub fn admits_kind(&self, kind: &Kind) -> bool {
        kind.project == self.project
            && self.terms.names.admit(kind.name)
            && self.terms.queues.admit(kind.queue)
            && self.terms.engines.admit(kind.engine)
    }

    /// True when tasks with a worker are wanted, as far as that decides.
    pub fn admits_worker(&self, worker: i64) -> bool {
        self.terms.workers.admit(worker)
    }

    /// True when the columns do not speak against a row.
    pub fn admits(&self, row: &Brief) -> bool {
        row.project == self.project
            && (self.states.is_empty() || self.states.contains(&row.state))
            && self.terms.names.admit(row.name)
            && self.terms.queues.admit(row.queue)
            && self.terms.workers.admit(row.worker)
            && self.terms.engines.admit(row.engine)
    }

    /// What the search index is asked for along `plan`; nothing when the plan leads straight to what is wanted.
    pub fn clauses(&self, plan: &Plan) -> Vec<Clause> {
        if matches!(plan, Plan::Nothing | Plan::Ids(_)) {
            return Vec::new();
        }
        let columns = [
            (Column::Engine, &self.terms.engines),
            (Column::Queue, &self.terms.queues),
            (Column::Worker, &self.terms.workers),
        ];
        let mut clauses: Vec<Clause> = columns.into_iter().filter_map(|(column, terms)| terms.clause(column)).collect();
        clauses.extend(self.words());
        // Alone, names have an index of their own.
        if !clauses.is_empty() || !matches!(plan, Plan::Names { .. }) {
            clauses.extend(self.terms.names.clause(Column::Name));
        }
        clauses
    }

    /// What the search index knows of words and arguments that are asked for.
    fn words(&self) -> Vec<Clause> {
        let texts = self.filter.text.iter().flat_map(|text| Clause::text(text));
        texts.chain(self.filter.args.iter().map(|(name, value)| Clause::argument(name, value))).collect()
    }

    /// The filter itself.
    pub fn filter(&self) -> &TaskFilter {
        self.filter
    }
}

impl FilterTerms {
    fn all(&self) -> [&Terms; 4] {
        [&self.names, &self.queues, &self.workers, &self.engines]
    }
}

impl Terms {
    fn admit(&self, number: i64) -> bool {
        match self {
            Self::Any | Self::Unclear => true,
            Self::These(numbers) => numbers.contains(&number),
        }
    }

    fn clause(&self, column: Column) -> Option<Clause> {
        match self {
            Self::These(numbers) => Some(Clause::numbers(column, numbers.iter().copied())),
            Self::Any | Self::Unclear => None,
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::These(numbers) if numbers.is_empty())
    }
}

/// Engines of a filter as patterns; in them `*` means itself.
pub fn engine_patterns(filter: &TaskFilter) -> Vec<Pattern> {
    filter.engines.iter().cloned().map(Pattern).collect()
}
