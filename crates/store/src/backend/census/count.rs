//! Counting along the lists of censuses, newest first.
//!
//! Like a look-up of the search index, it says which rows it needs and is given them, again and again. What censuses do not say
//! of the keys that are asked for (tasks that are too new for one, blocks with changes, blocks at the edges) is left in ranges.

use taskplane_model::TaskState;

use super::directory::{Block, Directory, List, SUCCEEDED, read_blocks};
use super::{BLOCKS, Census, DIRECTORY};
use crate::Result;
use crate::backend::corrupt;
use crate::backend::plan::Wanted;
use crate::backend::search::Range;
use crate::backend::search::lookup::Rows;
use crate::backend::tally::Tally;
use crate::retention::Kept;

/// Censuses that are read at once at first, and at most.
const FIRST_CHUNK: usize = 4;
const CHUNK: usize = 64;

/// What there is of censuses, all of one instant.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The censuses.
    pub censuses: Vec<Census>,
    /// Keys of tasks that have changed since.
    pub changed: Vec<i64>,
    /// Tasks below this key have been dropped, but for those that are kept longer for their state.
    pub dropped_below: i64,
    /// Tasks below this key have been dropped.
    pub first: i64,
}

/// A count at work.
#[derive(Debug)]
pub struct Counting<'w> {
    wanted: &'w Wanted<'w>,
    states: Vec<TaskState>,
    /// Ascending: the next one is the last.
    censuses: Vec<Census>,
    changed: Vec<i64>,
    dropped_below: i64,
    from: i64,
    until: i64,
    chunk: Option<(Vec<Probe>, Round)>,
    chunk_size: usize,
    /// Behind the newest census.
    newest: Range,
    /// What else is left, descending.
    left: Vec<Range>,
    /// Down to here all has been counted or is left.
    position: i64,
}

#[derive(Clone, Copy, Debug)]
enum Round {
    Directories,
    Lists,
}

#[derive(Debug)]
struct Probe {
    census: Census,
    directory: Option<(Directory, Meant)>,
    /// Its blocks, if not all of it counts.
    blocks: Option<Vec<Block>>,
}

/// Which of a directory's entries are wanted, in its order.
#[derive(Debug)]
struct Meant {
    kinds: Vec<bool>,
    workers: Vec<bool>,
}

impl<'w> Counting<'w> {
    /// Counts what is wanted in these states.
    pub fn new(wanted: &'w Wanted<'w>, states: &[TaskState], outline: Outline) -> Self {
        let Outline { mut censuses, mut changed, dropped_below, first } = outline;
        let (from, until) = (wanted.from.max(first), wanted.until);
        censuses.retain(|census| census.low < until && census.high > from);
        censuses.sort_unstable_by_key(|census| census.low);
        changed.sort_unstable();
        let behind = censuses.last().map_or(from, |newest| newest.high).min(until);
        Self {
            wanted,
            states: states.to_vec(),
            censuses,
            changed,
            dropped_below,
            from,
            until,
            chunk: None,
            chunk_size: FIRST_CHUNK,
            newest: Range { from: behind, until: until.max(behind), tasks: u32::MAX },
            left: Vec::new(),
            position: behind,
        }
    }

    /// The numbers of the rows that are needed; `None` when all is counted that can be, or that has to be.
    pub fn ask(&mut self, tally: &Tally) -> Option<Vec<i64>> {
        if !tally.is_open(&self.states) {
            return None;
        }
        if self.chunk.is_none() {
            self.chunk = Some((self.next_chunk()?, Round::Directories));
        }
        let (probes, round) = self.chunk.as_ref()?;
        let mut places = Vec::new();
        for probe in probes {
            let mut need = |row| places.push(super::place(probe.census.id, row));
            match round {
                Round::Directories => {
                    need(DIRECTORY);
                    if self.is_cut(&probe.census) {
                        need(BLOCKS);
                    }
                }
                Round::Lists => self.rows_of_lists(probe, tally).into_iter().for_each(need),
            }
        }
        Some(places)
    }

    /// Takes the rows that were asked for, as far as they are there.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn take(&mut self, rows: &Rows, tally: &mut Tally) -> Result<()> {
        let Some((mut probes, round)) = self.chunk.take() else { return Ok(()) };
        match round {
            Round::Directories => {
                for probe in &mut probes {
                    let row = |row| rows.get(&super::place(probe.census.id, row));
                    let directory = row(DIRECTORY).map(|row| Directory::read(row)).transpose()?;
                    probe.directory = directory.map(|directory| {
                        let meant = self.meant(&directory);
                        (directory, meant)
                    });
                    probe.blocks = row(BLOCKS).map(|row| read_blocks(row)).transpose()?;
                }
                self.chunk = Some((probes, Round::Lists));
            }
            // What was not asked for is not needed: states have only been closed since.
            Round::Lists => probes.iter().try_for_each(|probe| self.count(probe, rows, tally))?,
        }
        Ok(())
    }

    /// Where the newest tasks are, of which no census has been taken.
    pub fn newest(&self) -> Range {
        self.newest
    }

    /// What else is left to be counted, descending, when there is nothing to ask for any more.
    pub fn into_left(mut self) -> Vec<Range> {
        self.leave_down_to(self.from);
        self.left
    }

    fn next_chunk(&mut self) -> Option<Vec<Probe>> {
        let size = self.chunk_size.min(self.censuses.len());
        self.chunk_size = (self.chunk_size * 4).min(CHUNK);
        let newest = self.censuses.split_off(self.censuses.len() - size).into_iter().rev();
        let probes: Vec<Probe> = newest.map(|census| Probe { census, directory: None, blocks: None }).collect();
        (!probes.is_empty()).then_some(probes)
    }

    /// True when not all of a census counts.
    fn is_cut(&self, census: &Census) -> bool {
        let Census { low, high, .. } = *census;
        low < self.from || high > self.until || low < self.dropped_below || !self.changed_in(low, high).is_empty()
    }

    fn changed_in(&self, low: i64, high: i64) -> &[i64] {
        let at = |key| self.changed.partition_point(|changed| *changed < key);
        &self.changed[at(low)..at(high)]
    }

    /// Numbers of the rows in which lists are that decide.
    fn rows_of_lists(&self, probe: &Probe, tally: &Tally) -> Vec<i64> {
        let Some((directory, meant)) = probe.directory.as_ref().filter(|_| self.needs_lists(probe, tally)) else {
            return Vec::new();
        };
        let lists = meant.lists(directory).into_iter().flatten().flatten();
        let mut rows: Vec<i64> = lists.flat_map(List::rows).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    fn meant(&self, directory: &Directory) -> Meant {
        Meant {
            kinds: directory.kinds.iter().map(|(kind, _)| self.wanted.admits_kind(kind)).collect(),
            workers: directory.workers.iter().map(|(worker, _)| self.wanted.admits_worker(*worker)).collect(),
        }
    }

    /// True when it matters which tasks have succeeded: of all others the directory says what they are.
    fn needs_lists(&self, probe: &Probe, tally: &Tally) -> bool {
        let is_wanted = self.states.contains(&TaskState::Succeeded) && tally.is_open(&[TaskState::Succeeded]);
        is_wanted && probe.census.high > self.dropped_below
    }

    fn count(&mut self, probe: &Probe, rows: &Rows, tally: &mut Tally) -> Result<()> {
        let Census { low, high, .. } = probe.census;
        // Not there any more, or between two of them: what nobody has counted is left.
        let Some((directory, meant)) = &probe.directory else { return Ok(()) };
        self.leave_down_to(high);
        self.position = low.max(self.from);
        let cut = probe.blocks.as_ref().map(|blocks| self.cut(probe, blocks, directory.tasks)).transpose()?;
        let mut succeeded = match self.needs_lists(probe, tally) {
            true => Some(members(probe, directory, meant, rows)?),
            false => None,
        };
        if let (Some(succeeded), Some(Cut { whole, .. })) = (&mut succeeded, &cut) {
            succeeded.keep(whole);
        }
        for of_state in &directory.states {
            let state = of_state.state;
            let is_open = self.states.contains(&state) && tally.is_open(&[state]);
            if !is_open && succeeded.is_none() {
                continue;
            }
            let is_longer_kept = Kept::of_state(state) == Kept::Failures;
            let counts = |place| match &cut {
                None => true,
                Some(Cut { whole, longer_kept }) => whole.has(place) || (is_longer_kept && longer_kept.has(place)),
            };
            let (mut count, mut what) = (0, of_state.what());
            of_state.places(directory.tasks, |place| {
                let is_meant = what.next().is_some_and(|(kind, worker)| meant.kinds[kind] && meant.workers[worker]);
                if is_meant && counts(place) {
                    count += 1;
                }
                if let Some(succeeded) = &mut succeeded {
                    succeeded.take(place);
                }
            })?;
            if is_open {
                tally.add_many(state as u8, count);
            }
        }
        if let Some(succeeded) = succeeded {
            tally.add_many(SUCCEEDED, succeeded.count());
        }
        Ok(())
    }

    /// Which places of a census count; what does not, and is asked for, is left to be counted by rows.
    fn cut(&mut self, probe: &Probe, blocks: &[Block], all: usize) -> Result<Cut> {
        let wrong = || corrupt("blocks of a census are not right");
        let Census { low, high, .. } = probe.census;
        let mut cut = Cut { whole: Places::none(all), longer_kept: Places::none(all) };
        let (mut until_place, mut end) = (all, high);
        for (at, block) in blocks.iter().enumerate().rev() {
            // Tasks that have come since below the first one belong to its block.
            let begin = if at == 0 { low } else { block.least_key };
            let place = until_place.checked_sub(block.tasks).ok_or_else(wrong)?;
            let is_split = begin < self.dropped_below && end > self.dropped_below;
            if is_split || begin < self.from || end > self.until || !self.changed_in(begin, end).is_empty() {
                let (from, until) = (begin.max(self.from), end.min(self.until));
                if from < until {
                    self.left.push(Range { from, until, tasks: block.tasks as u32 });
                }
            } else {
                let counts = if end > self.dropped_below { &mut cut.whole } else { &mut cut.longer_kept };
                (place..until_place).for_each(|place| counts.set(place));
            }
            (until_place, end) = (place, begin);
        }
        if until_place > 0 { Err(wrong()) } else { Ok(cut) }
    }

    /// Nobody has counted what is between here and `key`.
    fn leave_down_to(&mut self, key: i64) {
        if key < self.position {
            self.left.push(Range { from: key, until: self.position, tasks: u32::MAX });
            self.position = key;
        }
    }
}

impl Meant {
    /// Lists of the kinds and of the workers that are wanted; nothing of either where all are.
    fn lists<'d>(&self, directory: &'d Directory) -> [Option<Vec<&'d List>>; 2] {
        [wanted_lists(&directory.kinds, &self.kinds), wanted_lists(&directory.workers, &self.workers)]
    }
}

fn wanted_lists<'d, T>(all: &'d [(T, List)], meant: &[bool]) -> Option<Vec<&'d List>> {
    let wanted = || all.iter().zip(meant).filter(|(_, meant)| **meant).map(|((_, list), _)| list);
    meant.contains(&false).then(|| wanted().collect())
}

/// Places of what is wanted, whatever its state.
fn members(probe: &Probe, directory: &Directory, meant: &Meant, rows: &Rows) -> Result<Places> {
    let all = directory.tasks;
    let row = |number: i64| {
        let row = rows.get(&super::place(probe.census.id, number));
        row.map(Vec::as_slice).ok_or_else(|| corrupt("a census is not whole"))
    };
    let mut members = Places::all(all);
    for lists in meant.lists(directory).into_iter().flatten() {
        let mut either = Places::none(all);
        for list in lists {
            list.read(row, all, |place| either.set(place))?;
        }
        members.keep(&either);
    }
    Ok(members)
}

/// What counts of a census.
#[derive(Debug)]
struct Cut {
    /// In every state.
    whole: Places,
    /// In those states only in which tasks are kept longer: the others have been dropped.
    longer_kept: Places,
}

/// Places of a census, one bit each.
#[derive(Debug)]
struct Places {
    bits: Vec<u64>,
}

impl Places {
    fn none(all: usize) -> Self {
        Self { bits: vec![0; all.div_ceil(64)] }
    }

    fn all(all: usize) -> Self {
        let mut places = Self { bits: vec![u64::MAX; all.div_ceil(64)] };
        if !all.is_multiple_of(64)
            && let Some(last) = places.bits.last_mut()
        {
            *last = (1 << (all % 64)) - 1;
        }
        places
    }

    fn set(&mut self, place: usize) {
        if let Some(word) = self.bits.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn take(&mut self, place: usize) {
        if let Some(word) = self.bits.get_mut(place / 64) {
            *word &= !(1 << (place % 64));
        }
    }

    fn has(&self, place: usize) -> bool {
        self.bits.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    fn keep(&mut self, others: &Self) {
        self.bits.iter_mut().zip(&others.bits).for_each(|(word, other)| *word &= other);
    }

    fn count(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}
