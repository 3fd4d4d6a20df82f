//! The rows of a census.
//!
//! All lists of places stand one behind the other, cut into rows of [`ROW_BYTES`]. The directory begins with the number of tasks.
//! Then come the kinds and the workers, each with how many tasks it has and how long its list is, and at last the states other
//! than `succeeded`, each with its list and, for each task in it, the numbers of its kind and worker in the directory: there are
//! few such tasks, and what they are is asked for most. The row of blocks has, for each, the distance of its least key from the
//! one before, and its tasks.

use std::ops::Range;

use taskplane_model::TaskState;

use super::take::Taker;
use super::{BLOCKS, DIRECTORY, Kind, LISTS, MAX_TASKS, ROW_BYTES};
use crate::Result;
use crate::backend::corrupt;
use crate::backend::search::bucket::{number, put_number};
use crate::backend::search::places;

/// The state of which there is no list: what is in none is in this one.
pub(super) const SUCCEEDED: u8 = TaskState::Succeeded as u8;

/// What a census has, and where.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) tasks: usize,
    pub(super) kinds: Vec<(Kind, List)>,
    pub(super) workers: Vec<(i64, List)>,
    pub(super) states: Vec<OfState>,
}

/// Tasks in a state.
#[derive(Debug)]
pub(super) struct OfState {
    pub(super) state: TaskState,
    pub(super) tasks: usize,
    list: Vec<u8>,
    /// Two bytes each: numbers of kinds and workers.
    kinds: Vec<u16>,
    workers: Vec<u16>,
}

/// Where a list is.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    offset: usize,
    bytes: usize,
    tasks: usize,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) least_key: i64,
    pub(super) tasks: usize,
}

/// The rows of what was taken.
pub(super) fn write(taker: &Taker) -> Vec<(i64, Vec<u8>)> {
    let (mut directory, mut lists) = (Vec::new(), Vec::new());
    let all = taker.tasks;
    let mut add = |tasks: &[u16], directory: &mut Vec<u8>| {
        let before = lists.len();
        places::put(tasks, all, &mut lists);
        put_number(directory, tasks.len() as u64);
        put_number(directory, (lists.len() - before) as u64);
    };
    put_number(&mut directory, all as u64);
    let (mut kind_of, mut worker_of) = (vec![0u16; all], vec![0u16; all]);
    put_number(&mut directory, taker.kinds.len() as u64);
    for (at, (kind, tasks)) in taker.kinds.iter().enumerate() {
        for part in [kind.queue, kind.name, kind.project, kind.engine] {
            put_number(&mut directory, part.cast_unsigned());
        }
        add(tasks, &mut directory);
        tasks.iter().for_each(|place| kind_of[usize::from(*place)] = at as u16);
    }
    put_number(&mut directory, taker.workers.len() as u64);
    for (at, (worker, tasks)) in taker.workers.iter().enumerate() {
        put_number(&mut directory, worker.cast_unsigned());
        add(tasks, &mut directory);
        tasks.iter().for_each(|place| worker_of[usize::from(*place)] = at as u16);
    }
    put_number(&mut directory, taker.states.len() as u64);
    for (state, tasks) in &taker.states {
        let mut list = Vec::new();
        places::put(tasks, all, &mut list);
        for part in [u64::from(*state), tasks.len() as u64, list.len() as u64] {
            put_number(&mut directory, part);
        }
        directory.extend_from_slice(&list);
        for (numbers, count) in [(&kind_of, taker.kinds.len()), (&worker_of, taker.workers.len())] {
            let wide = is_wide(count);
            for place in tasks {
                let [low, high] = numbers[usize::from(*place)].to_le_bytes();
                directory.push(low);
                directory.extend(wide.then_some(high));
            }
        }
    }
    let (mut blocks, mut before) = (Vec::new(), 0i64);
    for (least_key, tasks) in &taker.blocks {
        put_number(&mut blocks, least_key.wrapping_sub(before).cast_unsigned());
        put_number(&mut blocks, *tasks as u64);
        before = *least_key;
    }
    let rows = lists.chunks(ROW_BYTES).enumerate().map(|(at, row)| (LISTS + at as i64, row.to_vec()));
    [(DIRECTORY, directory), (BLOCKS, blocks)].into_iter().chain(rows).collect()
}

/// Reads the row of blocks.
pub(super) fn read_blocks(mut bytes: &[u8]) -> Result<Vec<Block>> {
    let (mut blocks, mut key) = (Vec::new(), 0i64);
    while !bytes.is_empty() {
        key = key.wrapping_add(number(&mut bytes)?.cast_signed());
        blocks.push(Block { least_key: key, tasks: small(&mut bytes)? });
    }
    Ok(blocks)
}

impl Directory {
    pub(super) fn read(mut bytes: &[u8]) -> Result<Self> {
        let bytes = &mut bytes;
        let tasks = small(bytes)?;
        let mut offset = 0;
        let mut kinds = Vec::new();
        for _ in 0..small(bytes)? {
            let mut next = || number(bytes).map(u64::cast_signed);
            let kind = Kind { queue: next()?, name: next()?, project: next()?, engine: next()? };
            kinds.push((kind, List::next(bytes, &mut offset)?));
        }
        let mut workers = Vec::new();
        for _ in 0..small(bytes)? {
            let worker = number(bytes)?.cast_signed();
            workers.push((worker, List::next(bytes, &mut offset)?));
        }
        let mut states = Vec::new();
        for _ in 0..small(bytes)? {
            let state = u8::try_from(number(bytes)?).ok().and_then(TaskState::from_number);
            let state = state.ok_or_else(|| corrupt("a census has an unknown state"))?;
            let (tasks, length) = (small(bytes)?, number(bytes)? as usize);
            let list = part(bytes, length)?.to_vec();
            let (kinds, workers) = (indexes(bytes, tasks, kinds.len())?, indexes(bytes, tasks, workers.len())?);
            states.push(OfState { state, tasks, list, kinds, workers });
        }
        Ok(Self { tasks, kinds, workers, states })
    }
}

impl OfState {
    /// Says the places of its tasks, of `all` in all.
    pub(super) fn places(&self, all: usize, take: impl FnMut(usize)) -> Result<()> {
        places::read(&self.list, self.tasks, all, take)
    }

    /// The kinds and workers of its tasks in the same order, as numbers in the directory.
    pub(super) fn what(&self) -> impl Iterator<Item = (usize, usize)> {
        self.kinds.iter().zip(&self.workers).map(|(kind, worker)| (usize::from(*kind), usize::from(*worker)))
    }
}

impl List {
    /// Numbers of its rows.
    pub(super) fn rows(&self) -> Range<i64> {
        let row = |offset: usize| LISTS + (offset / ROW_BYTES) as i64;
        if self.bytes == 0 { 0..0 } else { row(self.offset)..row(self.offset + self.bytes - 1) + 1 }
    }

    /// Says its places, of `all` in all; `row` gives its rows.
    pub(super) fn read<'r>(
        &self,
        row: impl Fn(i64) -> Result<&'r [u8]>,
        all: usize,
        take: impl FnMut(usize),
    ) -> Result<()> {
        let rows = self.rows();
        let mut bytes = Vec::with_capacity(rows.end.saturating_sub(rows.start) as usize * ROW_BYTES);
        for number in rows {
            bytes.extend_from_slice(row(number)?);
        }
        let begin = self.offset % ROW_BYTES;
        let list = bytes.get(begin..begin + self.bytes).ok_or_else(ends_early)?;
        places::read(list, self.tasks, all, take)
    }

    /// The next list of a directory, which begins at `offset`.
    fn next(bytes: &mut &[u8], offset: &mut usize) -> Result<Self> {
        let list = Self { offset: *offset, tasks: small(bytes)?, bytes: number(bytes)? as usize };
        // No list has more bytes than two for each task, and a few.
        if list.bytes > 4 * MAX_TASKS {
            return Err(corrupt("a list of a census is too long"));
        }
        *offset += list.bytes;
        Ok(list)
    }
}

fn indexes(bytes: &mut &[u8], tasks: usize, bound: usize) -> Result<Vec<u16>> {
    let width = if is_wide(bound) { 2 } else { 1 };
    let numbers: Vec<u16> = match part(bytes, tasks * width)? {
        narrow if width == 1 => narrow.iter().map(|byte| u16::from(*byte)).collect(),
        wide => wide.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect(),
    };
    if numbers.iter().any(|number| usize::from(*number) >= bound) {
        return Err(corrupt("a census names what it does not have"));
    }
    Ok(numbers)
}

/// True when numbers below `count` take two bytes.
fn is_wide(count: usize) -> bool {
    count > 1 << u8::BITS
}

fn part<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8]> {
    let (part, rest) = bytes.split_at_checked(length).ok_or_else(ends_early)?;
    *bytes = rest;
    Ok(part)
}

/// A number of tasks, or of something that is not more than they are.
fn small(bytes: &mut &[u8]) -> Result<usize> {
    let number = number(bytes)? as usize;
    if number > MAX_TASKS { Err(corrupt("a census has more than it can hold")) } else { Ok(number) }
}

fn ends_early() -> crate::StoreError {
    corrupt("a census ends early")
}
