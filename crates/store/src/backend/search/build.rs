//! Making a segment.

use super::bucket::{self, BucketWriter};
use super::terms::{Document, TERM_BITS, document_terms};
use super::{BLOCK, KEYS, SEGMENT_POSTINGS, SEGMENT_TASKS, Segment};
use crate::Result;
use crate::backend::corrupt;

/// Pairs of a term and a block per bucket: about two kilobytes.
const BUCKET_POSTINGS: usize = 2_048;
const MAX_BUCKET_BITS: u32 = 11;
/// Distinct terms of a block that there is room for at first.
const FIRST_SLOTS: usize = 1 << 14;
/// Digits by which terms are sorted.
const DIGIT_BITS: u32 = TERM_BITS / 2;

/// Tasks on their way into a segment, in ascending order of their keys.
#[derive(Debug)]
pub struct Builder {
    is_patch: bool,
    keys: Vec<i64>,
    /// Terms and blocks, in the order of blocks.
    postings: Vec<u64>,
    opaque: Vec<u16>,
    seen: Seen,
}

/// A segment with the rows of its buckets.
#[derive(Debug)]
pub struct Built {
    /// The segment; its number is given when it is stored.
    pub segment: Segment,
    /// Numbers and contents of its buckets, all of them, also empty ones.
    pub buckets: Vec<(i64, Vec<u8>)>,
}

impl Builder {
    /// No task yet. A patch is of single tasks, any other segment of all tasks in its range.
    pub fn new(is_patch: bool) -> Self {
        Self { is_patch, keys: Vec::new(), postings: Vec::new(), opaque: Vec::new(), seen: Seen::new() }
    }

    /// Adds a task behind the last one.
    pub fn add(&mut self, key: i64, document: &Document<'_>) {
        if self.keys.len().is_multiple_of(BLOCK) {
            self.seen.clear();
        }
        let block = self.block();
        self.keys.push(key);
        let (seen, postings) = (&mut self.seen, &mut self.postings);
        let is_whole = document_terms(document, |term| {
            if seen.enter(term) {
                postings.push(u64::from(term) << 16 | u64::from(block));
            }
        });
        if !is_whole && self.opaque.last() != Some(&block) {
            self.opaque.push(block);
        }
    }

    /// True when no more tasks should be added.
    pub fn is_full(&self) -> bool {
        self.keys.len() >= SEGMENT_TASKS || self.postings.len() >= SEGMENT_POSTINGS
    }

    /// The key of the last task.
    pub fn last_key(&self) -> Option<i64> {
        self.keys.last().copied()
    }

    /// The segment, of keys from `low` and before `high`; `None` without a task.
    pub fn finish(mut self, low: i64, high: i64) -> Option<Built> {
        if self.keys.is_empty() {
            return None;
        }
        sort_by_term(&mut self.postings);
        let bits = (self.postings.len() / BUCKET_POSTINGS).max(1).ilog2().min(MAX_BUCKET_BITS) + 1;
        let mut opaque = Vec::new();
        let blocks = self.keys.len().div_ceil(BLOCK);
        for block in &self.opaque {
            opaque.extend_from_slice(&block.to_le_bytes());
        }
        let segment = Segment {
            id: 0,
            is_patch: self.is_patch,
            low,
            high,
            tasks: self.keys.len() as u32,
            postings: self.postings.len() as u32,
            bucket_bits: bits,
            opaque,
        };
        let mut buckets = write_buckets(&self.postings, bits, blocks);
        buckets.push((KEYS, self.write_keys()));
        Some(Built { segment, buckets })
    }

    fn block(&self) -> u16 {
        (self.keys.len() / BLOCK) as u16
    }

    /// The first key of each block; of a patch, every key.
    fn write_keys(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut before = 0i64;
        for key in self.keys.iter().step_by(if self.is_patch { 1 } else { BLOCK }) {
            bucket::put_number(&mut bytes, key.wrapping_sub(before).cast_unsigned());
            before = *key;
        }
        bytes
    }
}

/// Reads the keys that a segment's row of keys has.
pub fn read_keys(mut bytes: &[u8]) -> Result<Vec<i64>> {
    let mut keys = Vec::new();
    let mut before = 0i64;
    while !bytes.is_empty() {
        before = before.wrapping_add(bucket::number(&mut bytes)?.cast_signed());
        keys.push(before);
    }
    Ok(keys)
}

/// Reads a list of opaque blocks.
pub(super) fn read_opaque(bytes: &[u8], blocks: usize) -> Result<Vec<usize>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let numbers: Vec<usize> = pairs.iter().map(|pair| usize::from(u16::from_le_bytes(*pair))).collect();
    if !rest.is_empty() || numbers.iter().any(|block| *block >= blocks) {
        return Err(corrupt("a segment of the search index has blocks that do not exist"));
    }
    Ok(numbers)
}

fn write_buckets(postings: &[u64], bits: u32, blocks: usize) -> Vec<(i64, Vec<u8>)> {
    let mut buckets = Vec::with_capacity((1 << bits) + 1);
    let mut writer = BucketWriter::default();
    let mut of_term = Vec::new();
    let mut lists = postings.chunk_by(|a, b| a >> 16 == b >> 16).peekable();
    for number in 0..1u32 << bits {
        drop(writer.finish(number << (TERM_BITS - bits)));
        while let Some(list) = lists.next_if(|list| bucket::of((list[0] >> 16) as u32, bits) == i64::from(number)) {
            of_term.clear();
            of_term.extend(list.iter().map(|posting| *posting as u16));
            writer.add((list[0] >> 16) as u32, &of_term, blocks);
        }
        buckets.push((i64::from(number), writer.finish(0)));
    }
    buckets
}

/// Sorts by term and leaves the order of blocks.
fn sort_by_term(postings: &mut Vec<u64>) {
    let mut other = vec![0; postings.len()];
    for shift in [16, 16 + DIGIT_BITS] {
        let digit = |posting: u64| (posting >> shift) as usize & ((1 << DIGIT_BITS) - 1);
        let mut starts = vec![0usize; (1 << DIGIT_BITS) + 1];
        for posting in postings.iter() {
            starts[digit(*posting) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        for posting in postings.iter() {
            let start = &mut starts[digit(*posting)];
            other[*start] = *posting;
            *start += 1;
        }
        std::mem::swap(postings, &mut other);
    }
}

/// The terms of a block, each once.
#[derive(Debug)]
struct Seen {
    /// A term and, above it, the round in which it was entered.
    slots: Vec<u64>,
    round: u64,
    count: usize,
}

impl Seen {
    fn new() -> Self {
        Self { slots: vec![0; FIRST_SLOTS], round: 1, count: 0 }
    }

    fn clear(&mut self) {
        self.round += 1;
        self.count = 0;
    }

    /// True when the term is new.
    fn enter(&mut self, term: u32) -> bool {
        let entry = self.round << 32 | u64::from(term);
        let mask = self.slots.len() - 1;
        // Terms are hashes, but those of a column follow one another.
        let mut at = term.wrapping_mul(0x9e37_79b1) as usize >> 7 & mask;
        loop {
            let slot = &mut self.slots[at];
            if *slot == entry {
                return false;
            }
            if *slot >> 32 != self.round {
                *slot = entry;
                self.count += 1;
                if self.count * 2 > self.slots.len() {
                    self.grow();
                }
                return true;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let double = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, double);
        self.count = 0;
        for slot in old {
            if slot >> 32 == self.round {
                self.enter(slot as u32);
            }
        }
    }
}
