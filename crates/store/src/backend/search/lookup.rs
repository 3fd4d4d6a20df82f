//! Looking for tasks: from clauses to ranges of keys, newest first, outside of which nothing can be what is meant.
//!
//! A look-up says which rows it needs and is given them, again and again; where they come from is the database's business. The
//! newest segments are asked first, a few and then more at a time, and first for the terms that have spoken against most blocks
//! so far.

use std::collections::{HashMap, VecDeque};

use super::build::{read_keys, read_opaque};
use super::terms::{Clause, TERM_BITS};
use super::{BLOCK, Segment, bucket, keys_place, place};
use crate::Result;
use crate::backend::hashing::FastHash;

/// Segments that are asked at once at first, and at most.
const FIRST_CHUNK: usize = 4;
const CHUNK: usize = 48;
/// Clauses that are used on one segment.
const LEARNING_CLAUSES: usize = 12;
const FIRST_CLAUSES: usize = 4;
const MORE_CLAUSES: usize = 8;
/// A share of blocks that a clause is expected to leave.
const UNKNOWN_SHARE: f32 = 0.1;

/// Rows of buckets by their numbers.
pub type Rows = HashMap<i64, Vec<u8>, FastHash>;

/// What there is of the index, all of one instant.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Tasks with this key or a greater one are not in it.
    pub indexed_until: i64,
    /// The segments.
    pub segments: Vec<Segment>,
    /// Keys of tasks that have changed and are not yet in it again.
    pub changed: Vec<i64>,
}

/// Keys among which there may be what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Least key.
    pub from: i64,
    /// Key behind the greatest.
    pub until: i64,
    /// About how many tasks these are; `u32::MAX` when nobody knows.
    pub tasks: u32,
}

/// A look-up at work.
#[derive(Debug)]
pub struct Lookup {
    clauses: Vec<Learned>,
    has_learned: bool,
    from: i64,
    below: i64,
    patches: Vec<Segment>,
    /// Ascending: the next one is the last.
    segments: Vec<Segment>,
    /// Single keys, ascending.
    keys: Vec<i64>,
    chunk: Option<Chunk>,
    chunk_size: usize,
    ranges: VecDeque<Range>,
    /// All ranges down to here have been found.
    position: i64,
}

#[derive(Debug)]
struct Learned {
    clause: Clause,
    /// The share of blocks that it left of late.
    share: f32,
}

/// Segments that are being asked.
#[derive(Debug)]
struct Chunk {
    are_patches: bool,
    probes: Vec<Probe>,
    round: Round,
}

#[derive(Debug)]
enum Round {
    /// Asks for these clauses.
    First(Vec<usize>),
    /// And for these, where something is left.
    More(Vec<usize>),
    /// Where the keys of what is left are.
    Keys,
}

#[derive(Debug)]
struct Probe {
    segment: Segment,
    /// One bit for each block that is left.
    blocks: Vec<u64>,
    /// Its rows are no longer there: it has been replaced since. Everything in its range is left.
    is_gone: bool,
}

impl Lookup {
    /// Looks below key `below` down to `from`.
    pub fn new(clauses: Vec<Clause>, outline: Outline, from: i64, below: i64) -> Self {
        let Outline { indexed_until, segments, changed } = outline;
        let here = |segment: &Segment| segment.low < below && segment.high > from;
        let (patches, mut segments): (Vec<_>, Vec<_>) = segments.into_iter().filter(here).partition(|s| s.is_patch);
        segments.sort_unstable_by_key(|segment| segment.low);
        let position = indexed_until.clamp(from, below.max(from));
        let mut lookup = Self {
            clauses: clauses.into_iter().map(|clause| Learned { clause, share: UNKNOWN_SHARE }).collect(),
            has_learned: false,
            from,
            below,
            patches,
            segments,
            keys: changed,
            chunk: None,
            chunk_size: FIRST_CHUNK,
            ranges: VecDeque::new(),
            position,
        };
        if position < below {
            lookup.ranges.push_back(Range { from: position, until: below, tasks: u32::MAX });
        }
        lookup.sort_keys();
        lookup
    }

    /// Leaves everything below key `below` down to `from`.
    pub fn of_everything(from: i64, below: i64) -> Self {
        Self::new(Vec::new(), Outline { indexed_until: i64::MIN, ..Outline::default() }, from, below)
    }

    /// The next range, as far as it has been found.
    pub fn pop_range(&mut self) -> Option<Range> {
        self.ranges.pop_front()
    }

    /// All ranges down to this key have been found.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// True when a good part of a large store has still to be asked.
    pub fn has_far_to_go(&self) -> bool {
        self.segments.len() >= CHUNK / 2
    }

    /// True when nothing has to be read any more to find all ranges.
    pub fn needs_nothing(&self) -> bool {
        self.chunk.is_none() && self.patches.is_empty() && self.segments.is_empty()
    }

    /// The numbers of the rows that are needed; `None` when all ranges have been found.
    pub fn ask(&mut self) -> Option<Vec<i64>> {
        if self.chunk.is_none() {
            self.chunk = self.next_chunk();
        }
        let Some(chunk) = &self.chunk else {
            self.pass_keys(self.from);
            self.position = self.from;
            return None;
        };
        let mut places = Vec::new();
        for probe in chunk.probes.iter().filter(|probe| probe.is_open()) {
            match &chunk.round {
                Round::First(clauses) | Round::More(clauses) => {
                    places.extend(clauses.iter().map(|at| probe.place(&self.clauses[*at].clause)));
                }
                Round::Keys if probe.is_whole() => {}
                Round::Keys => places.push(keys_place(probe.segment.id)),
            }
        }
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    /// Takes the rows that were asked for, as far as they are there.
    pub fn take(&mut self, rows: &Rows) -> Result<()> {
        let Some(mut chunk) = self.chunk.take() else { return Ok(()) };
        chunk.round = match &chunk.round {
            Round::First(clauses) => {
                self.narrow(&mut chunk.probes, clauses, rows)?;
                let used = clauses.clone();
                self.has_learned = true;
                Round::More(self.choose(MORE_CLAUSES, 0.0, &used))
            }
            Round::More(clauses) => {
                self.narrow(&mut chunk.probes, clauses, rows)?;
                Round::Keys
            }
            Round::Keys => return self.finish(chunk, rows),
        };
        if let Round::More(clauses) = &chunk.round
            && clauses.is_empty()
        {
            chunk.round = Round::Keys;
        }
        self.chunk = Some(chunk);
        Ok(())
    }

    fn next_chunk(&mut self) -> Option<Chunk> {
        let are_patches = !self.patches.is_empty();
        let source = if are_patches { &mut self.patches } else { &mut self.segments };
        let size = if are_patches { CHUNK } else { self.chunk_size };
        let mut probes = Vec::with_capacity(size.min(source.len()));
        while probes.len() < size
            && let Some(segment) = source.pop()
        {
            probes.push(Probe::new(segment));
        }
        if probes.is_empty() {
            return None;
        }
        if !are_patches {
            self.chunk_size = (size * 4).min(CHUNK);
        }
        // As many clauses as are likely to leave nothing of a segment where there is nothing.
        let first = if self.has_learned {
            self.choose(FIRST_CLAUSES, 0.5 / super::SEGMENT_TASKS.div_ceil(BLOCK) as f32, &[])
        } else {
            self.choose(LEARNING_CLAUSES, 0.0, &[])
        };
        Some(Chunk { are_patches, probes, round: Round::First(first) })
    }

    /// The clauses that leave least: at most so many, and no more than are likely to leave a share of `enough` together.
    fn choose(&self, most: usize, enough: f32, except: &[usize]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.clauses.len()).filter(|at| !except.contains(at)).collect();
        order.sort_by(|a, b| self.clauses[*a].share.total_cmp(&self.clauses[*b].share));
        let mut share = 1.0;
        let mut chosen = Vec::new();
        for at in order {
            if chosen.len() == most || share < enough {
                break;
            }
            share *= self.clauses[at].share;
            chosen.push(at);
        }
        chosen
    }

    /// Leaves of each segment what all of these clauses leave.
    fn narrow(&mut self, probes: &mut [Probe], clauses: &[usize], rows: &Rows) -> Result<()> {
        for at in clauses {
            let (mut left, mut blocks) = (0usize, 0usize);
            for probe in probes.iter_mut().filter(|probe| probe.is_open()) {
                left += probe.narrow(&self.clauses[*at].clause, rows)?;
                blocks += probe.segment.blocks();
            }
            if blocks > 0 {
                let learned = &mut self.clauses[*at].share;
                *learned = (*learned + left as f32 / blocks as f32) / 2.0;
            }
        }
        Ok(())
    }

    fn finish(&mut self, chunk: Chunk, rows: &Rows) -> Result<()> {
        if chunk.are_patches {
            if chunk.probes.iter().any(|probe| probe.is_gone) {
                self.give_up();
                return Ok(());
            }
            for probe in &chunk.probes {
                probe.add_keys(rows, &mut self.keys)?;
            }
            self.sort_keys();
            return Ok(());
        }
        let Some(low) = chunk.probes.last().map(|probe| probe.segment.low) else { return Ok(()) };
        for probe in &chunk.probes {
            for range in probe.ranges(rows)? {
                self.pass_keys(range.until);
                self.push(range);
            }
        }
        self.pass_keys(low);
        self.position = self.position.min(low.max(self.from));
        Ok(())
    }

    /// A patch has been replaced meanwhile, and nobody knows which tasks it had: everything is left.
    fn give_up(&mut self) {
        self.patches.clear();
        self.segments.clear();
        let range = Range { from: self.from, until: self.position, tasks: u32::MAX };
        self.push(range);
        self.position = self.from;
    }

    fn sort_keys(&mut self) {
        let (from, until) = (self.from, self.position);
        self.keys.retain(|key| *key >= from && *key < until);
        self.keys.sort_unstable();
        self.keys.dedup();
    }

    /// Makes ranges of the single keys from `down_to` on.
    fn pass_keys(&mut self, down_to: i64) {
        while let Some(key) = self.keys.pop_if(|key| *key >= down_to) {
            self.push(Range { from: key, until: key.saturating_add(1), tasks: 1 });
        }
    }

    fn push(&mut self, range: Range) {
        let range = Range { from: range.from.max(self.from), until: range.until.min(self.below), ..range };
        // Single keys that lie in it are not read twice.
        while self.keys.pop_if(|key| *key >= range.from).is_some() {}
        if range.from >= range.until {
            return;
        }
        match self.ranges.back_mut() {
            Some(last) if range.until >= last.from => {
                last.from = last.from.min(range.from);
                last.tasks = last.tasks.saturating_add(range.tasks);
            }
            _ => self.ranges.push_back(range),
        }
    }
}

impl Probe {
    fn new(segment: Segment) -> Self {
        let count = segment.blocks();
        let mut blocks = vec![u64::MAX; count.div_ceil(64)];
        if !count.is_multiple_of(64)
            && let Some(last) = blocks.last_mut()
        {
            *last = (1 << (count % 64)) - 1;
        }
        Self { segment, blocks, is_gone: false }
    }

    /// True while it is of use to ask for more.
    fn is_open(&self) -> bool {
        !self.is_gone && self.blocks.iter().any(|word| *word != 0)
    }

    /// True when every block of a segment that is no patch is left.
    fn is_whole(&self) -> bool {
        !self.segment.is_patch && self.count() == self.segment.blocks()
    }

    fn count(&self) -> usize {
        self.blocks.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn place(&self, clause: &Clause) -> i64 {
        let term = clause.0.first().copied().unwrap_or(0);
        place(self.segment.id, bucket::of(term, self.segment.bucket_bits))
    }

    /// Leaves what the clause leaves; says how many blocks that clause alone would.
    fn narrow(&mut self, clause: &Clause, rows: &Rows) -> Result<usize> {
        let place = self.place(clause);
        let Some(row) = rows.get(&place) else {
            self.is_gone = true;
            return Ok(0);
        };
        let bits = self.segment.bucket_bits;
        let first = clause.0.first().map_or(0, |term| term >> (TERM_BITS - bits) << (TERM_BITS - bits));
        let mut left = vec![0u64; self.blocks.len()];
        let mut set = |block: usize| left[block / 64] |= 1 << (block % 64);
        let blocks = self.segment.blocks();
        bucket::find(row, first, &clause.0, blocks, &mut set)?;
        read_opaque(&self.segment.opaque, blocks)?.into_iter().for_each(&mut set);
        let count = left.iter().map(|word| word.count_ones() as usize).sum();
        for (word, left) in self.blocks.iter_mut().zip(left) {
            *word &= left;
        }
        Ok(count)
    }

    /// Ranges of what is left, descending.
    fn ranges(&self, rows: &Rows) -> Result<Vec<Range>> {
        let Segment { low, high, tasks, .. } = self.segment;
        if !self.is_gone && !self.is_open() {
            return Ok(Vec::new());
        }
        let keys = rows.get(&keys_place(self.segment.id)).filter(|_| !self.is_gone && !self.is_whole());
        let Some(keys) = keys else { return Ok(vec![Range { from: low, until: high, tasks }]) };
        let starts = read_keys(keys)?;
        let mut ranges = Vec::new();
        for (block, start) in starts.iter().enumerate().rev() {
            if self.has(block) {
                // Tasks of two projects may have one key: the next block may begin with the key of the last task.
                let until = starts.get(block + 1).map_or(high, |next| (next + 1).min(high));
                ranges.push(Range { from: *start, until, tasks: BLOCK as u32 });
            }
        }
        Ok(ranges)
    }

    /// Adds the keys of a patch that are left.
    fn add_keys(&self, rows: &Rows, keys: &mut Vec<i64>) -> Result<()> {
        if !self.is_open() {
            return Ok(());
        }
        let all = rows.get(&keys_place(self.segment.id)).map(|row| read_keys(row)).transpose()?.unwrap_or_default();
        keys.extend(all.chunks(BLOCK).enumerate().filter(|(block, _)| self.has(*block)).flat_map(|(_, keys)| keys));
        Ok(())
    }

    fn has(&self, block: usize) -> bool {
        self.blocks.get(block / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }
}
