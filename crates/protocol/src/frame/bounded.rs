use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

/// An array of which at most `MOST` items are kept, and all are counted: a frame of a few megabytes can hold a million empty
/// objects.
pub(super) struct Bounded<T, const MOST: usize> {
    /// The first `MOST` items.
    pub(super) items: Vec<T>,
    /// How many there are.
    pub(super) count: usize,
}

/// Reads the items, with room for `expected` of them at once: items are large, and growing copies all of them.
struct Items<T, const MOST: usize> {
    expected: usize,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Bounded<T, MOST> {
    /// Reads a JSON array of about `expected` items.
    pub(super) fn parse(text: &'de str, expected: usize) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer.deserialize_seq(Items { expected, item: PhantomData })?;
        deserializer.end()?;
        Ok(read)
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Items<T, MOST> {
    type Value = Bounded<T, MOST>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::with_capacity(self.expected.min(MOST));
        while items.len() < MOST {
            let Some(item) = array.next_element()? else {
                return Ok(Bounded { count: items.len(), items });
            };
            items.push(item);
        }
        let mut count = items.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Bounded { items, count })
    }
}
