//! A mergeable sketch of durations: DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019) with signed counts.
//!
//! Bucket `i` holds durations in `(γ^(i-1), γ^i]` microseconds with γ = (1+α)/(1−α), α = 1 %. Any quantile is within 1 % of
//! a value that was added. Because buckets are plain counts, taking a value back is as exact as adding it, which is what
//! makes rollups exact when a task is folded again.

use std::cmp::Ordering;

use minicbor::data::Type;
use minicbor::decode::Error;
use minicbor::{Decode, Decoder, Encode};

/// Relative error of a quantile.
const ALPHA: f64 = 0.01;

/// Counts of durations by logarithmic bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Sketch {
    /// Bucket numbers and their counts, ascending, none of them zero. Bucket [`ZERO`] holds durations under a microsecond.
    #[cbor(n(0), with = "packed")]
    buckets: Vec<(i32, i64)>,
}

const ZERO: i32 = i32::MIN;

impl Sketch {
    /// Adds `count` (may be negative: takes back) durations of `micros`.
    pub fn add(&mut self, micros: u64, count: i64) {
        self.add_to_bucket(bucket_of(micros), count);
    }

    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.add_to_known(&other.buckets) {
            return;
        }
        let (mine, theirs) = (std::mem::take(&mut self.buckets), &other.buckets);
        let mut merged = Vec::with_capacity(mine.len() + theirs.len());
        let (mut mine, mut theirs) = (mine.into_iter().peekable(), theirs.iter().copied().peekable());
        while let (Some((bucket, _)), Some((other, _))) = (mine.peek(), theirs.peek()) {
            let side = bucket.cmp(other);
            let next = match side {
                Ordering::Less => mine.next(),
                Ordering::Greater => theirs.next(),
                Ordering::Equal => mine.next().zip(theirs.next()).map(|((bucket, a), (_, b))| (bucket, a + b)),
            };
            merged.extend(next.filter(|(_, count)| *count != 0));
        }
        merged.extend(mine);
        merged.extend(theirs);
        self.buckets = merged;
    }

    /// Adds a sketch as it is written, without a copy of it.
    pub(crate) fn merge_encoded(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Error> {
        let start = decoder.position();
        let is_packed = decoder.array()? == Some(1) && decoder.datatype()? == Type::Bytes;
        if is_packed {
            return self.merge_packed(decoder.bytes()?);
        }
        decoder.set_position(start);
        self.merge(&decoder.decode()?);
        Ok(())
    }

    fn merge_packed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (mut at, mut comes_to_nothing) = (0, false);
        let mut unknown = Vec::new();
        packed::each(bytes, |bucket, count| match self.find(at, bucket) {
            Some(found) => {
                let mine = &mut self.buckets[found].1;
                *mine += count;
                comes_to_nothing |= *mine == 0;
                at = found;
            }
            None => unknown.push((bucket, count)),
        })?;
        if comes_to_nothing {
            self.buckets.retain(|(_, count)| *count != 0);
        }
        if !unknown.is_empty() {
            self.merge(&Self { buckets: unknown });
        }
        Ok(())
    }

    /// Adds what `sum` has added up, and empties it.
    pub(crate) fn take(&mut self, sum: &mut SketchSum) {
        let counts = std::mem::take(&mut sum.counts).into_iter().zip(0..);
        let buckets = counts.filter(|(count, _)| *count != 0).map(|(count, bucket)| (bucket, count)).collect();
        self.merge(&Self { buckets });
        self.merge(&std::mem::take(&mut sum.others));
    }

    /// How many durations it holds.
    pub fn count(&self) -> i64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// True when it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The duration, in milliseconds, that a share `q` (0 to 1) of them does not exceed. `None` when it holds nothing.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let total = self.count();
        if total <= 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * (total - 1) as f64).floor() as i64;
        let mut below = 0;
        for (bucket, count) in &self.buckets {
            below += count;
            if below > rank {
                return Some(middle_of(*bucket) / 1000.0);
            }
        }
        None
    }

    /// Sum of all durations in milliseconds, within the sketch's relative error.
    pub fn total_ms(&self) -> f64 {
        self.buckets.iter().map(|(bucket, count)| middle_of(*bucket) * *count as f64).sum::<f64>() / 1000.0
    }

    fn add_to_bucket(&mut self, bucket: i32, count: i64) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                self.buckets[at].1 += count;
                if self.buckets[at].1 == 0 {
                    self.buckets.remove(at);
                }
            }
            Err(at) if count != 0 => self.buckets.insert(at, (bucket, count)),
            Err(_) => {}
        }
    }

    /// Adds `others`, if each of their buckets is known already and none comes to nothing; else does nothing. What sums much
    /// up soon knows all buckets.
    fn add_to_known(&mut self, others: &[(i32, i64)]) -> bool {
        let mut at = 0;
        for (bucket, count) in others {
            match self.find(at, *bucket) {
                Some(found) if self.buckets[found].1 + count != 0 => at = found,
                _ => return false,
            }
        }
        at = 0;
        for (bucket, count) in others {
            if let Some(found) = self.find(at, *bucket) {
                self.buckets[found].1 += count;
                at = found;
            }
        }
        true
    }

    /// The place of `bucket`, which is not before place `from`. Where no bucket is missing between, that is a step of as many
    /// places as numbers.
    fn find(&self, from: usize, bucket: i32) -> Option<usize> {
        let (first, _) = self.buckets.get(from)?;
        let distance = usize::try_from(i64::from(bucket) - i64::from(*first)).ok()?;
        let last = from.saturating_add(distance).min(self.buckets.len() - 1);
        if self.buckets[last].0 == bucket {
            return Some(last);
        }
        let found = self.buckets[from..last].binary_search_by_key(&bucket, |(bucket, _)| *bucket);
        found.ok().map(|at| from + at)
    }
}

/// Many sketches, as they are written, on their way into one: a place for each bucket, so that none has to be looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct SketchSum {
    counts: Vec<i64>,
    /// What has no place.
    others: Sketch,
}

/// Buckets that have a place; the last one holds more than a century.
const PLACES: usize = 2_304;

impl SketchSum {
    /// Adds a sketch as it is written.
    pub(crate) fn add_encoded(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Error> {
        let start = decoder.position();
        if decoder.array()? != Some(1) || decoder.datatype()? != Type::Bytes {
            decoder.set_position(start);
            self.others.merge(&decoder.decode()?);
            return Ok(());
        }
        let Self { counts, others } = self;
        packed::each(decoder.bytes()?, |bucket, count| match usize::try_from(bucket) {
            Ok(at) if at < counts.len() => counts[at] += count,
            Ok(at) if at < PLACES => {
                counts.resize((at + 1).next_multiple_of(128), 0);
                counts[at] += count;
            }
            _ => others.add_to_bucket(bucket, count),
        })
    }
}

/// Buckets as they are written: a byte string of pairs, each the distance from the bucket before it (the first from 0) and the
/// count. Numbers are zigzag-coded, seven bits a byte, the last byte without the high bit. Once it was a CBOR map.
mod packed {
    use minicbor::data::Type;
    use minicbor::decode::Error;
    use minicbor::encode::{Error as NotWritten, Write};
    use minicbor::{Decoder, Encoder};

    pub(super) fn encode<C, W: Write>(
        buckets: &[(i32, i64)],
        encoder: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), NotWritten<W::Error>> {
        let mut bytes = Vec::with_capacity(buckets.len() * 3 + 8);
        let mut last = 0;
        for (bucket, count) in buckets {
            put(i64::from(*bucket) - last, &mut bytes);
            put(*count, &mut bytes);
            last = i64::from(*bucket);
        }
        encoder.bytes(&bytes)?.ok()
    }

    pub(super) fn decode<C>(decoder: &mut Decoder<'_>, _context: &mut C) -> Result<Vec<(i32, i64)>, Error> {
        if !matches!(decoder.datatype()?, Type::Map | Type::MapIndef) {
            let bytes = decoder.bytes()?;
            let mut buckets = Vec::with_capacity(bytes.len() / 2);
            each(bytes, |bucket, count| buckets.push((bucket, count)))?;
            return Ok(buckets);
        }
        let buckets = decoder.map_iter()?.collect::<Result<Vec<_>, _>>()?;
        let is_sorted = buckets.is_sorted_by(|(bucket, _): &(i32, i64), (next, _)| bucket < next);
        if is_sorted { Ok(buckets) } else { Err(out_of_order()) }
    }

    /// Says the buckets of a byte string, ascending, until they make no sense.
    pub(super) fn each(mut bytes: &[u8], mut say: impl FnMut(i32, i64)) -> Result<(), Error> {
        let cut = || Error::message("buckets are cut");
        let mut last = None;
        while !bytes.is_empty() {
            let distance = take(&mut bytes).ok_or_else(cut)?;
            if last.is_some() && distance <= 0 {
                return Err(out_of_order());
            }
            let bucket = last.unwrap_or(0i64).checked_add(distance).ok_or_else(cut)?;
            let number = i32::try_from(bucket).map_err(|_| cut())?;
            say(number, take(&mut bytes).ok_or_else(cut)?);
            last = Some(bucket);
        }
        Ok(())
    }

    fn out_of_order() -> Error {
        Error::message("buckets are out of order")
    }

    fn put(number: i64, bytes: &mut Vec<u8>) {
        let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }

    fn take(bytes: &mut &[u8]) -> Option<i64> {
        // Nearly every number is one byte.
        if let Some((byte @ ..0x80, rest)) = bytes.split_first() {
            *bytes = rest;
            return Some(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        None
    }
}

fn gamma() -> f64 {
    (1.0 + ALPHA) / (1.0 - ALPHA)
}

fn bucket_of(micros: u64) -> i32 {
    if micros == 0 { ZERO } else { ((micros as f64).ln() / gamma().ln()).ceil() as i32 }
}

fn middle_of(bucket: i32) -> f64 {
    if bucket == ZERO { 0.0 } else { 2.0 * gamma().powi(bucket) / (gamma() + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent(mut values in prop::collection::vec(1u64..10_000_000_000, 1..200), q in 0.0f64..1.0) {
            let mut sketch = Sketch::default();
            for v in &values {
                sketch.add(*v, 1);
            }
            values.sort_unstable();
            let exact = values[(q * (values.len() - 1) as f64).floor() as usize] as f64 / 1000.0;
            let told = sketch.quantile_ms(q).expect("not empty");
            prop_assert!((told - exact).abs() <= exact * 0.0101, "{told} for {exact}");
        }

        #[test]
        fn taking_back_is_exact(values in prop::collection::vec(0u64..10_000_000, 0..50)) {
            let mut sketch = Sketch::default();
            for v in &values {
                sketch.add(*v, 1);
            }
            for v in &values {
                sketch.add(*v, -1);
            }
            prop_assert_eq!(sketch, Sketch::default());
        }

        #[test]
        fn merging_is_adding_one_by_one(
            mine in prop::collection::vec((0u64..1_000, -2i64..3), 0..40),
            theirs in prop::collection::vec((0u64..1_000, -2i64..3), 0..40),
        ) {
            let of = |values: &[(u64, i64)]| {
                let mut sketch = Sketch::default();
                values.iter().for_each(|(value, count)| sketch.add(*value, *count));
                sketch
            };
            let mut merged = of(&mine);
            merged.merge(&of(&theirs));
            prop_assert_eq!(&merged, &of(&[mine.clone(), theirs.clone()].concat()));
            let bytes = minicbor::to_vec(&merged).expect("is written");
            prop_assert_eq!(minicbor::decode::<Sketch>(&bytes).expect("is read"), merged.clone());
            let mut as_written = of(&mine);
            let bytes = minicbor::to_vec(of(&theirs)).expect("is written");
            as_written.merge_encoded(&mut Decoder::new(&bytes)).expect("is read");
            prop_assert_eq!(&as_written, &merged);
            let (mut sum, mut summed) = (SketchSum::default(), Sketch::default());
            for sketch in [of(&mine), of(&theirs)] {
                let bytes = minicbor::to_vec(sketch).expect("is written");
                sum.add_encoded(&mut Decoder::new(&bytes)).expect("is read");
            }
            summed.take(&mut sum);
            prop_assert_eq!(summed, merged);
        }
    }
    #[test]
    fn what_was_written_as_a_map_is_read() {
        let mut sketch = Sketch::default();
        [0, 1, 1, 3].iter().for_each(|micros| sketch.add(*micros, 1));
        let map = std::collections::BTreeMap::from([(i32::MIN, 1i64), (0, 2), (55, 1)]);
        let bytes = minicbor::to_vec((map,)).expect("is written");
        assert_eq!(minicbor::decode::<Sketch>(&bytes).expect("is read"), sketch);
        let mut merged = Sketch::default();
        merged.merge_encoded(&mut Decoder::new(&bytes)).expect("is read");
        assert_eq!(merged, sketch);
        let (mut sum, mut summed) = (SketchSum::default(), Sketch::default());
        sum.add_encoded(&mut Decoder::new(&bytes)).expect("is read");
        summed.take(&mut sum);
        assert_eq!(summed, sketch);
    }

    #[test]
    fn nonsense_is_not_read() {
        for bytes in [&[0x80][..], &[2], &[2, 2, 0, 2], &[2, 2, 1, 2], &[0xff; 12]] {
            let bytes = minicbor::to_vec((minicbor::bytes::ByteVec::from(bytes.to_vec()),)).expect("is written");
            assert!(minicbor::decode::<Sketch>(&bytes).is_err(), "{bytes:?}");
            assert!(Sketch::default().merge_encoded(&mut Decoder::new(&bytes)).is_err(), "{bytes:?}");
        }
    }
}
