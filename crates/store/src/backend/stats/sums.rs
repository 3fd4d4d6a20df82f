//! The sums of one span: by task type and queue, by each of them, and of all.

use std::collections::HashMap;

use taskplane_model::rollup::Rollup;

use super::{ANY, decode, encode};
use crate::Result;
use crate::backend::hashing::FastHash;

/// Name and queue of a row; [`ANY`] for all of them.
type Key = (i64, i64);
/// A row's name, queue and statistics as they are stored.
pub type Row = (i64, i64, Vec<u8>);

/// What one span adds up to.
#[derive(Debug, Default)]
pub struct Sums(HashMap<Key, Rollup, FastHash>);

/// The rows of a span as they are stored.
#[derive(Debug, Default)]
pub struct Stored(HashMap<Key, Vec<u8>, FastHash>);

/// How the rows of a span change.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows as they are to be.
    pub put: Vec<Row>,
    /// Name and queue of rows that are to go.
    pub remove: Vec<Key>,
}

impl Extend<Row> for Stored {
    fn extend<T: IntoIterator<Item = Row>>(&mut self, rows: T) {
        self.0.extend(rows.into_iter().map(|(name, queue, data)| ((name, queue), data)));
    }
}

impl Sums {
    /// Adds the statistics of one task type and queue.
    pub fn add(&mut self, name: i64, queue: i64, rollup: &Rollup) {
        self.0.entry((name, queue)).or_default().merge(rollup);
    }

    /// What makes these sums, and nothing else, of what is `stored` for a span of `span` minutes.
    ///
    /// # Errors
    /// None in practice.
    pub fn in_place_of(self, span: i64, mut stored: Stored) -> Result<Changes> {
        let mut changes = Changes::default();
        for ((name, queue), rollup) in self.with_totals(span) {
            let mut data = Vec::new();
            encode(&rollup, &mut data)?;
            if stored.0.remove(&(name, queue)).as_ref() != Some(&data) {
                changes.put.push((name, queue, data));
            }
        }
        changes.remove = stored.0.into_keys().collect();
        Ok(changes.sorted())
    }

    /// What adds these sums to what is `stored` for a span of `span` minutes.
    ///
    /// # Errors
    /// When stored bytes make no sense.
    pub fn added_to(self, span: i64, stored: &Stored) -> Result<Changes> {
        let mut changes = Changes::default();
        for ((name, queue), mut rollup) in self.with_totals(span) {
            let old = stored.0.get(&(name, queue));
            if let Some(old) = old {
                rollup.merge(&decode(old)?);
            }
            if !rollup.is_empty() {
                let mut data = Vec::new();
                encode(&rollup, &mut data)?;
                changes.put.push((name, queue, data));
            } else if old.is_some() {
                changes.remove.push((name, queue));
            }
        }
        Ok(changes.sorted())
    }

    /// All rows that are not empty. A single minute has none by task type: it is not worth it.
    fn with_totals(self, span: i64) -> HashMap<Key, Rollup, FastHash> {
        let mut all: HashMap<Key, Rollup, FastHash> = HashMap::default();
        for ((name, queue), rollup) in &self.0 {
            all.entry((ANY, ANY)).or_default().merge(rollup);
            all.entry((ANY, *queue)).or_default().merge(rollup);
            if span > 1 {
                all.entry((*name, ANY)).or_default().merge(rollup);
            }
        }
        if span > 1 {
            all.extend(self.0);
        }
        all.retain(|_, rollup| !rollup.is_empty());
        all
    }
}

impl Changes {
    /// In the order of the table.
    fn sorted(mut self) -> Self {
        self.put.sort_unstable_by_key(|(name, queue, _)| (*name, *queue));
        self.remove.sort_unstable();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(sent: &[(i64, i64, i64)]) -> Sums {
        let mut sums = Sums::default();
        for (name, queue, sent) in sent {
            sums.add(*name, *queue, &Rollup { sent: *sent, ..Rollup::default() });
        }
        sums
    }

    fn seen(changes: &Changes) -> Vec<(i64, i64, i64)> {
        let sent = |data: &[u8]| decode(data).expect("is read").sent;
        changes.put.iter().map(|(name, queue, data)| (*name, *queue, sent(data))).collect()
    }

    #[test]
    fn sums_have_their_totals() {
        let hour = sums(&[(1, 5, 2), (2, 5, 3), (2, 6, 4)]).in_place_of(60, Stored::default()).expect("works");
        assert_eq!(
            seen(&hour),
            [(ANY, ANY, 9), (ANY, 5, 5), (ANY, 6, 4), (1, ANY, 2), (1, 5, 2), (2, ANY, 7), (2, 5, 3), (2, 6, 4)]
        );
        let minute = sums(&[(1, 5, 2), (2, 6, 4)]).in_place_of(1, Stored::default()).expect("works");
        assert_eq!(seen(&minute), [(ANY, ANY, 6), (ANY, 5, 2), (ANY, 6, 4)]);
    }

    #[test]
    fn only_what_differs_is_written() {
        let mut stored = Stored::default();
        stored.extend(sums(&[(1, 5, 2), (2, 6, 3)]).in_place_of(60, Stored::default()).expect("works").put);
        let changes = sums(&[(1, 5, 2), (2, 5, 3)]).in_place_of(60, stored).expect("works");
        assert_eq!(seen(&changes), [(ANY, 5, 5), (2, 5, 3)]);
        assert_eq!(changes.remove, [(ANY, 6), (2, 6)]);
    }

    #[test]
    fn what_is_added_may_come_to_nothing() {
        let mut stored = Stored::default();
        stored.extend(sums(&[(1, 5, 2), (2, 5, 3)]).in_place_of(60, Stored::default()).expect("works").put);
        let changes = sums(&[(1, 5, -2), (2, 6, 1)]).added_to(60, &stored).expect("works");
        assert_eq!(seen(&changes), [(ANY, ANY, 4), (ANY, 5, 3), (ANY, 6, 1), (2, ANY, 4), (2, 6, 1)]);
        assert_eq!(changes.remove, [(1, ANY), (1, 5)]);
    }
}
