//! What is found in a stream's folder when a process starts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::batch::{Batches, End, Found, MAX_SEQ};
use super::segment::{self, HEADER_BYTES};

/// A segment as it is on disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Its first batch, if it has any, has this number or a higher one.
    pub(super) first_seq: u64,
    /// Its last sealed batch.
    pub(super) last_seq: Option<u64>,
    /// Events in sealed batches, without those that were moved away.
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

    fn take(&mut self, found: &Found) {
        self.events += u64::from(found.seal.events);
        self.last_seq = Some(found.seq());
        self.sealed_len = found.end;
    }
}

/// Events appended and not sealed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) events: u32,
    pub(super) bytes: usize,
}

/// Where a batch ends that was cut in two, and how many of its events were moved away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) at: u64,
    pub(super) moved: u32,
}

/// The state of a stream on disk.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// In order.
    pub(super) segments: Vec<Segment>,
    /// At the end of the last segment.
    pub(super) pending: Pending,
    /// Batches that were cut in two, and what is left under their numbers.
    pub(super) shortened: BTreeMap<u64, Short>,
    pub(super) dropped: u64,
    /// Places where something could not be read.
    pub(super) damaged: u64,
}

impl Recovered {
    fn take(&mut self, segment: &mut Segment, found: &Found) {
        segment.take(found);
        // No batch is taken from one that is newer, and none that is yet to come may be cut before it is there.
        if let Some(cut) = found.cut.filter(|cut| cut.of < found.seq()) {
            let moved = found.seal.events;
            self.shortened
                .entry(cut.of)
                .and_modify(|short| {
                    *short = Short { at: short.at.min(cut.at), moved: short.moved.saturating_add(moved) }
                })
                .or_insert(Short { at: cut.at, moved });
        }
    }

    /// Takes what was moved away from the counts of the segments that it was in.
    fn count_moved(&mut self) {
        for (seq, short) in &self.shortened {
            let holder = |s: &&mut Segment| s.first_seq <= *seq && s.last_seq.is_some_and(|last| last >= *seq);
            if let Some(segment) = self.segments.iter_mut().find(holder) {
                segment.events = segment.events.saturating_sub(u64::from(short.moved));
            }
        }
    }
}

/// Reads the segments in `dir`. The tail of the last one that is no whole record is cut off.
pub(super) fn recover(dir: &Path) -> io::Result<Recovered> {
    let mut seqs: Vec<u64> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        seqs.extend(segment::first_seq(&path).filter(|seq| *seq <= MAX_SEQ));
        if path.extension() == Some(OsStr::new(segment::UNFINISHED)) {
            fs::remove_file(path)?;
        }
    }
    seqs.sort_unstable();
    remove_stillborn(dir, &mut seqs)?;
    let mut recovered = Recovered::default();
    for (index, seq) in seqs.iter().enumerate() {
        let read = read_segment(dir, *seq, seqs.get(index + 1).copied(), &mut recovered)?;
        recovered.segments.push(read);
    }
    recovered.count_moved();
    Ok(recovered)
}

/// A segment that could be created and not begun is not the last one: the one before went on growing.
fn remove_stillborn(dir: &Path, seqs: &mut Vec<u64>) -> io::Result<()> {
    while let [.., last] = seqs[..]
        && seqs.len() > 1
    {
        let path = segment::path(dir, last);
        if fs::metadata(&path)?.len() >= HEADER_BYTES {
            break;
        }
        fs::remove_file(path)?;
        seqs.pop();
    }
    Ok(())
}

fn read_segment(dir: &Path, seq: u64, next_seq: Option<u64>, recovered: &mut Recovered) -> io::Result<Segment> {
    let mut read = Segment::empty(dir, seq);
    let file_len = fs::metadata(&read.path)?.len();
    let header = segment::read_header(&read.path)?;
    match header {
        Some((_, dropped)) => recovered.dropped = recovered.dropped.max(dropped),
        // A crash may come between creating a file and writing its header; a header lost later costs only its count.
        None if file_len > HEADER_BYTES => recovered.damaged += 1,
        None => {}
    }
    if file_len <= HEADER_BYTES {
        return Ok(read);
    }
    let mut batches = Batches::new(&read.path, HEADER_BYTES, file_len, seq.saturating_sub(1))?;
    let torn = loop {
        match batches.next()? {
            Ok(found) => recovered.take(&mut read, &found),
            Err(End { torn }) => break torn,
        }
    };
    match next_seq {
        None => leave_tail(&mut read, &batches, recovered, file_len)?,
        Some(next_seq) => {
            read.len = file_len;
            // Only the last segment can have been cut by a crash.
            recovered.damaged += u64::from(torn);
            if let Ok(found) = batches.finish(next_seq) {
                recovered.take(&mut read, &found);
            }
        }
    }
    recovered.dropped = recovered.dropped.max(batches.dropped());
    if header.is_some_and(|(begun_as, _)| begun_as != seq) {
        // Its batches were being dropped, to begin it anew under this number, and that was not written down any more.
        recovered.dropped = recovered.dropped.saturating_add(batches.stale());
    }
    recovered.damaged += batches.damaged();
    Ok(read)
}

/// Cuts off what is no whole record, and copies that were to be a batch and are not.
fn leave_tail(read: &mut Segment, batches: &Batches, recovered: &mut Recovered, file_len: u64) -> io::Result<()> {
    let unsealed = batches.unsealed();
    match unsealed.copies {
        Some((copies_at, _)) => read.len = copies_at,
        None => {
            read.len = batches.position();
            let events = u32::try_from(unsealed.events.len()).unwrap_or(u32::MAX).saturating_add(unsealed.spoilt);
            recovered.pending = Pending { events, bytes: unsealed.record_bytes() };
        }
    }
    if read.len < file_len {
        segment::open(&read.path)?.set_len(read.len)?;
    }
    Ok(())
}
