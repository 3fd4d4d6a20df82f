//! Batches, as they are found in a segment.

use std::io;
use std::path::Path;

use taskplane_model::Timestamp;

use super::record::{Cut, Record, Seal, event_record_bytes};
use super::segment::{Item, Scanner};

/// Highest number of a batch. What is above is damage, or a brain that is not well.
pub(super) const MAX_SEQ: u64 = i64::MAX.cast_unsigned();

/// Events under one sequence number. What was stored under a number never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    /// Position in the stream.
    pub seq: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl SealedBatch {
    /// The events, as they were appended.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| {
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.bytes[start..self.ends[index]]
        })
    }

    /// Bytes of all events.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// A batch in a segment.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) seal: Seal,
    /// The batch that it was taken from.
    pub(super) cut: Option<Cut>,
    /// Its events that can be read.
    pub(super) events: Events,
    /// Events that can be read and belong to no batch, since the seals of theirs are gone.
    pub(super) strays: u64,
    /// Where the next one begins.
    pub(super) end: u64,
}

impl Found {
    pub(super) fn seq(&self) -> u64 {
        self.seal.seq
    }

    /// Leaves away what was moved into another batch: `moved` events, those at or behind offset `at`.
    pub(super) fn keep_before(&mut self, at: u64, moved: u32) {
        self.events.truncate(self.events.before(at));
        self.seal.events = self.seal.events.saturating_sub(moved);
    }

    /// How many of its events cannot be read.
    pub(super) fn unreadable(&self) -> u64 {
        u64::from(self.seal.events).saturating_sub(self.events.len() as u64)
    }

    pub(super) fn into_batch(self) -> SealedBatch {
        let ends = self.events.marks.iter().map(|mark| mark.end).collect();
        SealedBatch { seq: self.seal.seq, bytes: self.events.bytes, ends }
    }
}

/// Events in the order in which they were appended.
#[derive(Debug, Default)]
pub(super) struct Events {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where its record begins in the segment.
    at: u64,
    /// Where it ends in `bytes`.
    end: usize,
    ts: Timestamp,
}

impl Events {
    fn push(&mut self, at: u64, ts: Timestamp, event: &[u8]) {
        self.bytes.extend_from_slice(event);
        self.marks.push(Mark { at, end: self.bytes.len(), ts });
    }

    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Where the record of one begins.
    pub(super) fn offset(&self, index: usize) -> Option<u64> {
        self.marks.get(index).map(|mark| mark.at)
    }

    /// Time and text of those from `first` on.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = (Timestamp, &[u8])> {
        (first..self.marks.len())
            .map(|index| (self.marks[index].ts, &self.bytes[self.start(index)..self.marks[index].end]))
    }

    /// The first event of the second of two halves that are about as long, neither of them empty.
    pub(super) fn middle(&self) -> Option<usize> {
        let last = self.marks.len().checked_sub(1).filter(|last| *last > 0)?;
        let half = self.bytes.len() / 2;
        Some(self.marks.partition_point(|mark| mark.end <= half).clamp(1, last))
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.marks[before].end)
    }

    /// How many begin before `at`.
    fn before(&self, at: u64) -> usize {
        self.marks.partition_point(|mark| mark.at < at)
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start(len.min(self.marks.len())));
        self.marks.truncate(len);
    }

    /// Takes those before `at` away.
    fn split_before(&mut self, at: u64) -> Self {
        let index = self.before(at);
        let start = self.start(index);
        let mut later = Self { bytes: self.bytes.split_off(start), marks: self.marks.split_off(index) };
        later.marks.iter_mut().for_each(|mark| mark.end -= start);
        std::mem::replace(self, later)
    }
}

/// What stands behind the last seal.
#[derive(Debug, Default)]
pub(super) struct Unsealed {
    pub(super) events: Events,
    /// Damaged ones.
    pub(super) spoilt: u32,
    /// Where copies begin that no record made a batch of, and what they were to be taken from.
    pub(super) copies: Option<(u64, Cut)>,
}

impl Unsealed {
    /// Bytes of the records of its events that can be read.
    pub(super) fn record_bytes(&self) -> usize {
        self.events.bytes.len() + self.events.len() * event_record_bytes(b"")
    }
}

/// Reads a segment batch by batch.
pub(super) struct Batches {
    scanner: Scanner,
    /// The number before that of the next batch.
    previous: u64,
    unsealed: Unsealed,
    /// Found together with the one before it.
    next: Option<Found>,
    /// Most events that were said to be dropped.
    dropped: u64,
    /// Places where something could not be read.
    damaged: u64,
    /// Events in batches of an older life of the segment.
    stale: u64,
}

impl Batches {
    /// Reads `path` from `from` up to `end`; the first batch there has a number above `previous`.
    pub(super) fn new(path: &Path, from: u64, end: u64, previous: u64) -> io::Result<Self> {
        let scanner = Scanner::new(path, from, end)?;
        Ok(Self { scanner, previous, unsealed: Unsealed::default(), next: None, dropped: 0, damaged: 0, stale: 0 })
    }

    /// Lets it see what was appended up to `end` since it was made.
    pub(super) fn extend(&mut self, end: u64) {
        self.scanner.extend(end);
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.scanner.position()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    pub(super) fn stale(&self) -> u64 {
        self.stale
    }

    pub(super) fn unsealed(&self) -> &Unsealed {
        &self.unsealed
    }

    /// The next batch, or how the segment ends.
    pub(super) fn next(&mut self) -> io::Result<Result<Found, End>> {
        if let Some(found) = self.next.take() {
            return Ok(Ok(found));
        }
        loop {
            let (at, seal, cut) = match self.scanner.next()? {
                Item::Record { at, record: Record::Event { ts, event } } => {
                    self.unsealed.events.push(at, ts, event);
                    continue;
                }
                Item::Record { at, record: Record::Copy { ts, cut, event } } => {
                    self.unsealed.copies.get_or_insert((at, cut));
                    self.unsealed.events.push(at, ts, event);
                    continue;
                }
                Item::Record { record: Record::Dropped(dropped), .. } => {
                    self.dropped = self.dropped.max(dropped);
                    continue;
                }
                Item::Damaged { is_event } => {
                    self.damaged += 1;
                    self.unsealed.spoilt += u32::from(is_event);
                    continue;
                }
                Item::End { torn } => return Ok(Err(End { torn })),
                Item::Record { at, record: Record::Seal(seal) } => (at, seal, None),
                Item::Record { at, record: Record::Move(seal, cut) } => (at, seal, Some(cut)),
            };
            if seal.seq > MAX_SEQ {
                self.damaged += 1;
            } else if let Some(found) = self.sealed(at, seal, cut) {
                return Ok(Ok(found));
            }
        }
    }

    /// The record at `at` makes a batch. `None` for one of an older life of the segment, which was dropped before it was
    /// begun anew.
    fn sealed(&mut self, at: u64, seal: Seal, cut: Option<Cut>) -> Option<Found> {
        let Unsealed { mut events, copies, .. } = std::mem::take(&mut self.unsealed);
        if seal.seq <= self.previous {
            self.stale = self.stale.saturating_add(u64::from(seal.events));
            return None;
        }
        let strays = events.split_before(seal.start);
        let end = self.scanner.position();
        // Where a record begins, whatever the seal says: it is read from there once what is before was acked.
        let begins = events.offset(0).unwrap_or(at);
        let before = self.reclaim(strays, copies, seal.seq, begins);
        let found = Found { seal, cut, events, strays: before.as_ref().err().copied().unwrap_or(0), end };
        self.previous = seal.seq;
        match before {
            Ok(before) => {
                self.next = Some(found);
                Some(before)
            }
            Err(_) => Some(found),
        }
    }

    /// The segment is over and the next one begins with `next_seq`: the batch whose seal is damaged, if it is known which one
    /// that is, or how many events belong to no batch.
    pub(super) fn finish(&mut self, next_seq: u64) -> Result<Found, u64> {
        let Unsealed { events, copies, .. } = std::mem::take(&mut self.unsealed);
        let end = self.scanner.position();
        let found = self.reclaim(events, copies, next_seq, end);
        self.previous = self.previous.max(next_seq.saturating_sub(1));
        found
    }

    /// Events before a batch `seq`, which do not belong to it. When just one number is missing they are that batch. When none
    /// is missing they are nothing: what was written again elsewhere.
    fn reclaim(&self, strays: Events, copies: Option<(u64, Cut)>, seq: u64, end: u64) -> Result<Found, u64> {
        let missing = seq.saturating_sub(self.previous).saturating_sub(1);
        match (missing, strays.offset(0)) {
            (1, Some(start)) => {
                let seal = Seal { seq: seq - 1, start, events: u32::try_from(strays.len()).unwrap_or(u32::MAX) };
                let cut = copies.filter(|(at, _)| *at == start).map(|(_, cut)| cut);
                Ok(Found { seal, cut, events: strays, strays: 0, end })
            }
            (0, _) => Err(0),
            _ => Err(strays.len() as u64),
        }
    }
}

/// How a segment ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// In bytes that are no record.
    pub(super) torn: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(sizes: &[usize]) -> Events {
        let mut events = Events::default();
        sizes.iter().enumerate().for_each(|(n, size)| events.push(n as u64 * 10, Timestamp(0), &vec![b'x'; *size]));
        events
    }

    #[test]
    fn two_halves_are_about_as_long_and_never_empty() {
        for (sizes, middle) in [
            (&[][..], None),
            (&[5], None),
            (&[5, 5], Some(1)),
            (&[1, 1, 1, 9], Some(3)),
            (&[9, 1, 1, 1], Some(1)),
            (&[0, 0, 0], Some(2)),
            (&[2, 2, 2, 2], Some(2)),
        ] {
            assert_eq!(events(sizes).middle(), middle, "{sizes:?}");
        }
    }

    #[test]
    fn events_are_taken_apart_at_an_offset() {
        let mut later = events(&[1, 2, 3]);
        let earlier = later.split_before(20);
        assert_eq!((earlier.len(), earlier.bytes.len()), (2, 3));
        assert_eq!(later.from(0).map(|(_, event)| event.len()).collect::<Vec<_>>(), [3]);
        later.truncate(0);
        assert_eq!((later.len(), later.bytes.len()), (0, 0));
    }
}
