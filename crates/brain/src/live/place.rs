use std::fmt;
use std::ops::{Index, IndexMut};

use super::Topic;

/// How much has changed of each topic since a journal began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts([u64; Topic::ALL.len()]);

impl Index<Topic> for Counts {
    type Output = u64;

    fn index(&self, topic: Topic) -> &u64 {
        &self.0[topic as usize]
    }
}

impl IndexMut<Topic> for Counts {
    fn index_mut(&mut self, topic: Topic) -> &mut u64 {
        &mut self.0[topic as usize]
    }
}

/// How far a reader has been told, in which journal. Its text is what follows the epoch in the id of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the journal. None has the number 0: a reader at the default place is nowhere.
    pub(super) journal: u64,
    pub(super) counts: Counts,
}

impl Place {
    /// Reads what [`fmt::Display`] writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(str::parse);
        let journal = numbers.next()?.ok()?;
        let mut counts = Counts::default();
        for topic in Topic::ALL {
            counts[topic] = numbers.next()?.ok()?;
        }
        numbers.next().is_none().then_some(Self { journal, counts })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.journal)?;
        self.counts.0.iter().try_for_each(|count| write!(f, ".{count}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { journal: 7, counts: Counts([1, 2, 3, 4, 5, u64::MAX]) };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for text in ["", "7", "7.1.2.3.4.5", "7.1.2.3.4.5.6.7", "7.1.2.3.4.5.x", "7.1.2.3.4.5.-6"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
