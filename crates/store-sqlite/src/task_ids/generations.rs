//! Which generation an id may be in: a filter for each.

use std::collections::VecDeque;

use super::GENERATION;
use super::filter::Part;

/// What is known of the generations.
#[derive(Debug, Default)]
pub(super) struct Generations {
    /// Of the first filter.
    first: i64,
    /// One a generation; `None` where the ids are not known.
    filters: VecDeque<Option<Part>>,
}

impl Generations {
    /// Nothing is known of generations from `first` on.
    pub(super) fn unknown(first: i64) -> Self {
        Self { first, filters: VecDeque::new() }
    }

    /// False when no id with this hash is in `generation`.
    pub(super) fn may_have(&self, generation: i64, hash: i64) -> bool {
        let filter = self.place(generation).and_then(|at| self.filters.get(at)?.as_ref());
        filter.is_none_or(|filter| filter.may_have(hash))
    }

    /// Takes note of all ids of a generation.
    pub(super) fn put(&mut self, generation: i64, hashes: Part) {
        let Some(at) = self.place(generation) else { return };
        while self.filters.len() <= at {
            self.filters.push_back(None);
        }
        self.filters[at] = Some(hashes);
    }

    /// Takes note that a generation has nothing yet.
    pub(super) fn begin(&mut self, generation: i64) {
        self.put(generation, empty());
    }

    /// Adds an id to a generation whose ids are known.
    pub(super) fn add(&mut self, generation: i64, hash: i64) {
        let filter = self.place(generation).and_then(|at| self.filters.get_mut(at)?.as_mut());
        if let Some(filter) = filter {
            filter.add(hash);
        }
    }

    /// Forgets the generations before `oldest`, which are gone.
    pub(super) fn forget_before(&mut self, oldest: i64) {
        while self.first < oldest && self.filters.pop_front().is_some() {
            self.first += 1;
        }
        self.first = self.first.max(oldest);
    }

    fn place(&self, generation: i64) -> Option<usize> {
        usize::try_from(generation - self.first).ok()
    }
}

/// The filter of a generation, still empty.
pub(super) fn empty() -> Part {
    Part::with_room(GENERATION as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_not_to_be_there_is_denied() {
        let mut generations = Generations::unknown(5);
        assert!(generations.may_have(5, 1) && generations.may_have(9, 1), "nothing is known");
        generations.begin(7);
        generations.add(7, 1);
        generations.add(6, 1);
        assert!(generations.may_have(7, 1) && !generations.may_have(7, 2));
        assert!(generations.may_have(6, 2), "not all of it is known");
        generations.forget_before(7);
        assert!(generations.may_have(7, 1) && !generations.may_have(7, 2));
        generations.forget_before(20);
        generations.begin(20);
        assert!(!generations.may_have(20, 1) && generations.may_have(21, 1));
    }
}
