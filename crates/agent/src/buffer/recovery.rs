//! What is found in a stream's folder when a process starts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::record::{Record, event_record_bytes};
use super::segment::{self, HEADER_BYTES, Item, Scanner};

/// A segment as it is on disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Its first batch, if it has any, has this number or a higher one.
    pub(super) first_seq: u64,
    /// Its last sealed batch.
    pub(super) last_seq: Option<u64>,
    /// Events in sealed batches.
    pub(super) events: u64,
    /// Up to here it is in sealed batches.
    pub(super) sealed_len: u64,
    /// Up to here it is whole.
    pub(super) len: u64,
}

impl Segment {
    pub(super) fn empty(dir: &Path, seq: u64) -> Self {
        let path = segment::path(dir, seq);
        Self { path, first_seq: seq, last_seq: None, events: 0, sealed_len: HEADER_BYTES, len: HEADER_BYTES }
    }
}

/// Events appended and not sealed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) events: u32,
    pub(super) bytes: usize,
}

/// The state of a stream on disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In order.
    pub(super) segments: Vec<Segment>,
    /// At the end of the last segment.
    pub(super) pending: Pending,
    pub(super) dropped: u64,
    /// Places where something could not be read.
    pub(super) damaged: u64,
}

/// Reads the segments in `dir`. The tail of the last one that is no whole record is cut off.
pub(super) fn recover(dir: &Path) -> io::Result<Found> {
    let mut seqs: Vec<u64> = Vec::new();
    for entry in fs::read_dir(dir)? {
        seqs.extend(segment::first_seq(&entry?.path()));
    }
    seqs.sort_unstable();
    let mut found = Found::default();
    for (index, seq) in seqs.iter().enumerate() {
        let is_last = index + 1 == seqs.len();
        let read = read_segment(dir, *seq, is_last, &mut found)?;
        found.segments.push(read);
    }
    Ok(found)
}

fn read_segment(dir: &Path, seq: u64, is_last: bool, found: &mut Found) -> io::Result<Segment> {
    let mut read = Segment::empty(dir, seq);
    let mut file = segment::open(&read.path)?;
    let file_len = file.metadata()?.len();
    match segment::read_header(&mut file)? {
        Some(dropped) => found.dropped = found.dropped.max(dropped),
        // A crash may come between creating a file and writing its header; a header lost later costs only its count.
        None if file_len > HEADER_BYTES => found.damaged += 1,
        None => {}
    }
    if file_len > HEADER_BYTES {
        let torn = scan(&mut read, file_len, found)?;
        // Only the last segment can have been cut by a crash; elsewhere, and if much is missing, it is damage.
        found.damaged += u64::from(torn && !is_last);
    }
    if is_last {
        file.set_len(read.len.min(file_len))?;
    } else {
        found.pending = Pending::default();
        read.len = file_len.max(HEADER_BYTES);
    }
    Ok(read)
}

/// Fills in `read`; true when the segment ends in something that is no record.
fn scan(read: &mut Segment, file_len: u64, found: &mut Found) -> io::Result<bool> {
    let mut scanner = Scanner::new(&read.path, HEADER_BYTES, file_len)?;
    loop {
        match scanner.next()? {
            Item::Record { record: Record::Event { event, .. }, .. } => {
                found.pending.events += 1;
                found.pending.bytes += event_record_bytes(event);
            }
            Item::Record { record: Record::Seal(seal), .. } => {
                // A batch below the segment's name was already dropped when the segment was begun anew under that name.
                if seal.seq >= read.first_seq {
                    read.events += u64::from(seal.events);
                    read.last_seq = Some(seal.seq);
                }
                found.pending = Pending::default();
                read.sealed_len = scanner.position();
            }
            Item::Record { record: Record::Dropped(dropped), .. } => found.dropped = found.dropped.max(dropped),
            Item::Damaged => found.damaged += 1,
            Item::End { torn } => {
                read.len = scanner.position();
                return Ok(torn);
            }
        }
    }
}
