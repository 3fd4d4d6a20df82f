//! A sealed batch, read back.

use std::io;

use super::record::Record;
use super::segment::{Item, Scanner};

/// Events under one sequence number. It never changes.
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

/// What came of reading on.
pub(super) enum ReadOn {
    /// A batch, and how many of its events could not be read.
    Batch(SealedBatch, u64),
    /// No more batches. `torn` when what follows is damaged.
    End { torn: bool },
}

/// Reads the next batch. Events whose seal is damaged belong to no batch and are passed.
pub(super) fn read_batch(scanner: &mut Scanner) -> io::Result<ReadOn> {
    let mut bytes = Vec::new();
    // Where each event begins in the segment, and where it ends in `bytes`.
    let mut events: Vec<(u64, usize)> = Vec::new();
    loop {
        match scanner.next()? {
            Item::Record { at, record: Record::Event { event, .. } } => {
                bytes.extend_from_slice(event);
                events.push((at, bytes.len()));
            }
            Item::Record { record: Record::Seal(seal), .. } => {
                let strange = events.iter().take_while(|(at, _)| *at < seal.start).count();
                let skipped = strange.checked_sub(1).map_or(0, |last| events[last].1);
                bytes.drain(..skipped);
                let ends: Vec<usize> = events[strange..].iter().map(|(_, end)| end - skipped).collect();
                let lost = u64::from(seal.events).saturating_sub(ends.len() as u64) + strange as u64;
                return Ok(ReadOn::Batch(SealedBatch { seq: seal.seq, bytes, ends }, lost));
            }
            Item::Record { record: Record::Dropped(_), .. } | Item::Damaged => {}
            Item::End { torn } => return Ok(ReadOn::End { torn }),
        }
    }
}
