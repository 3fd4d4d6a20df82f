//! The durable buffer: a bounded log on disk of opaque events, in sealed batches.
//!
//! # What it promises
//!
//! * An event is in the file before [`Buffer::append`] returns: it survives `kill -9`. It is on the disk before its batch
//!   can be read: a batch that the brain has seen survives the loss of power.
//! * A batch gets its sequence number when it is sealed, and never changes. Numbers strictly increase within a stream.
//! * A batch is kept until it is acked, across crashes and restarts, unless the buffer is full: then the oldest go first, and
//!   are counted, event by event.
//! * Damage is confined to the record it hit, at worst to the rest of its segment, and is counted.
//! * A full or failing disk loses events, counted; it never stops the observer and never fails the process.
//!
//! # On disk
//!
//! ```text
//! <data_dir>/streams/<uuid>/lock                     locked as long as a process has the stream
//! <data_dir>/streams/<uuid>/00000000000000000001.log segments, named by the first number that may be in them
//! segment = "TPBUFFR1" | seq u64 | dropped u64 | crc32 u32, then records
//! record  = len u32 | crc32(len, body) u32 | body
//! body    = 1 | ts i64 | event                            an event
//!         | 2 | seq u64 | start u64 | events u32      the events since offset `start` are batch `seq`
//!         | 3 | dropped u64                           so many events were dropped by now, ever
//! ```
//!
//! All numbers are little-endian. Records are only ever appended, to the last segment. A batch lies in one segment. When a
//! segment is long enough a new one is begun after a seal; a segment goes when all its batches are acked or dropped. The last
//! one is never removed before its successor, named by the next number, is there: so the next number survives an empty buffer.
//!
//! # Recovery
//!
//! All segments are read once. What is no whole record at the end of the last one was never promised to anyone and is cut.
//! Whole events behind the last seal are sealed. Acks are not written down: after a restart the brain's first ack says what
//! it has, and batches are replayed from there.

mod batch;
mod delivery;
mod record;
mod recovery;
mod room;
mod segment;
mod spool;
mod stream;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use taskplane_model::Timestamp;
use taskplane_model::agent::BufferReport;
use taskplane_protocol::limits::{SEAL_BYTES, SEAL_EVENTS};
use thiserror::Error;
use uuid::Uuid;

pub use batch::SealedBatch;
pub use record::MAX_EVENT_BYTES;
pub use spool::{Spool, Status};

use record::Seal;
use recovery::{Pending, Segment};
use segment::HEADER_BYTES;
use stream::{Stream, sync_dir};

/// How much is kept, and when a batch is full.
#[derive(Clone, Debug)]
pub struct BufferOptions {
    /// Most bytes on disk. Room for a few batches more may be needed for a moment.
    pub max_bytes: u64,
    /// A batch is sealed at so many events …
    pub seal_events: usize,
    /// … or so many bytes.
    pub seal_bytes: usize,
}

impl Default for BufferOptions {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, seal_events: SEAL_EVENTS, seal_bytes: SEAL_BYTES }
    }
}

impl BufferOptions {
    /// Length at which a segment is closed: what is lost at once when the buffer is full.
    fn segment_bytes(&self) -> u64 {
        (self.max_bytes / 32).clamp(4 << 10, 8 << 20)
    }
}

/// Why a buffer cannot be opened.
#[derive(Debug, Error)]
pub enum BufferError {
    /// The folder cannot be created, read or written.
    #[error("the data folder cannot be used: {}: {source}; choose another one or make it writable for this user", .path.display())]
    Unwritable {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process took the stream at the same moment.
    #[error("the stream {} is locked by another process; start the agent again", .path.display())]
    Locked {
        /// The stream.
        path: PathBuf,
    },
    /// The file system knows no locks.
    #[error("{} cannot be locked: {source}; choose a data folder on a local disk", .path.display())]
    CannotLock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BufferError {
    fn unwritable(path: &Path, source: io::Error) -> Self {
        Self::Unwritable { path: path.to_owned(), source }
    }
}

/// One stream's buffer, owned by this process.
pub struct Buffer {
    stream: Stream,
    options: BufferOptions,
    /// In order; never empty. The last is the one that is appended to, through `active`.
    segments: VecDeque<Segment>,
    active: File,
    pending: Pending,
    next_seq: u64,
    /// Up to here the brain has everything, or it was dropped.
    acked: u64,
    /// How far the first segment is acked: an offset, and the events before it.
    front: (u64, u64),
    front_ts: Option<Timestamp>,
    reader: Option<delivery::Reader>,
    dropped: u64,
    /// The count of dropped events that is on disk.
    noted: u64,
    damaged: u64,
    staged: Vec<u8>,
    /// The last write failed; said once.
    failing: bool,
    /// In tests, the bytes that the disk still has room for.
    #[cfg(test)]
    disk_room: Option<usize>,
}

impl Buffer {
    /// Continues a stream under `data_dir` that no living process has, or begins a new one.
    ///
    /// # Errors
    /// The folder cannot be created, read, written or locked.
    pub fn open(data_dir: &Path, options: BufferOptions) -> Result<Self, BufferError> {
        let stream = Stream::claim(data_dir)?;
        let dir = stream.dir.clone();
        Self::recovered(stream, options).map_err(|source| BufferError::unwritable(&dir, source))
    }

    fn recovered(stream: Stream, options: BufferOptions) -> io::Result<Self> {
        let found = recovery::recover(&stream.dir)?;
        let mut segments = VecDeque::from(found.segments);
        let active = match segments.back_mut() {
            Some(last) => continue_segment(last, found.dropped)?,
            None => {
                let first = Segment::empty(&stream.dir, 1);
                let file = begin_segment(&stream.dir, &first, 0)?;
                segments.push_back(first);
                file
            }
        };
        let next_seq =
            segments.iter().map(|s| s.first_seq.max(s.last_seq.map_or(0, |last| last + 1))).max().unwrap_or(1);
        let acked = segments.front().map_or(0, |first| first.first_seq - 1);
        let mut buffer = Self {
            stream,
            options,
            segments,
            active,
            pending: found.pending,
            next_seq,
            acked,
            front: (HEADER_BYTES, 0),
            front_ts: None,
            reader: None,
            dropped: found.dropped,
            noted: found.dropped,
            damaged: found.damaged,
            staged: Vec::new(),
            failing: false,
            #[cfg(test)]
            disk_room: None,
        };
        buffer.seal();
        buffer.look_at_front();
        Ok(buffer)
    }

    /// The stream's id, `hello.instance_id`.
    pub fn stream_id(&self) -> Uuid {
        self.stream.id
    }

    /// Number of the last sealed batch; 0 when there never was one.
    pub fn last_sealed(&self) -> u64 {
        self.next_seq - 1
    }

    /// Up to here the brain has everything, or it was dropped.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// True when events wait to be sealed.
    pub fn has_pending(&self) -> bool {
        self.pending.events > 0
    }

    /// How full it is.
    pub fn report(&self) -> BufferReport {
        let sealed: u64 = self.segments.iter().map(|s| s.events).sum();
        let events = (sealed + u64::from(self.pending.events)).saturating_sub(self.front.1);
        let total: u64 = self.segments.iter().map(|s| s.len - HEADER_BYTES).sum();
        BufferReport {
            events,
            bytes: total.saturating_sub(self.front.0 - HEADER_BYTES),
            oldest_ts: self.front_ts.filter(|_| events > 0),
            dropped: self.dropped,
        }
    }

    /// Places where something on disk could not be read, since the stream was opened.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Appends one event. See [`append_all`](Self::append_all).
    pub fn append(&mut self, ts: Timestamp, event: &[u8]) {
        self.append_all([(ts, event)]);
    }

    /// Appends events; batches that become full are sealed. When this returns each is in the file, or counted as dropped:
    /// because it is over [`MAX_EVENT_BYTES`], or because the disk takes nothing and there is nothing older to drop.
    pub fn append_all<'e>(&mut self, events: impl IntoIterator<Item = (Timestamp, &'e [u8])>) {
        let mut staged = Pending::default();
        for (ts, event) in events {
            let bytes = record::event_record_bytes(event);
            if event.len() > MAX_EVENT_BYTES {
                self.dropped += 1;
                continue;
            }
            if self.is_full(staged, bytes) {
                self.write_staged(&mut staged);
                self.seal();
                if self.is_full(staged, bytes) {
                    // It cannot be sealed, since the disk takes nothing.
                    self.dropped += 1;
                    continue;
                }
            }
            record::put_event(&mut self.staged, ts, event);
            staged = Pending { events: staged.events + 1, bytes: staged.bytes + bytes };
            self.front_ts.get_or_insert(ts);
        }
        self.write_staged(&mut staged);
        if self.pending.events as usize >= self.options.seal_events || self.pending.bytes >= self.options.seal_bytes {
            self.seal();
        }
    }

    fn is_full(&self, staged: Pending, more: usize) -> bool {
        let events = (self.pending.events + staged.events) as usize;
        events > 0
            && (events >= self.options.seal_events
                || self.pending.bytes + staged.bytes + more > self.options.seal_bytes)
    }

    fn write_staged(&mut self, staged: &mut Pending) {
        let bytes = std::mem::take(&mut self.staged);
        if self.write(&bytes) {
            self.pending.events += staged.events;
            self.pending.bytes += staged.bytes;
        } else {
            self.dropped += u64::from(staged.events);
        }
        *staged = Pending::default();
        self.staged = bytes;
        self.staged.clear();
    }

    /// Makes a batch of what is pending and brings it to the disk. `None` when nothing is pending, or when the disk takes
    /// nothing; then it stays pending.
    pub fn seal(&mut self) -> Option<u64> {
        if self.pending.events == 0 {
            return None;
        }
        let start = self.segments.back()?.sealed_len;
        let seal = Seal { seq: self.next_seq, start, events: self.pending.events };
        let mut bytes = Vec::new();
        record::put_seal(&mut bytes, seal);
        if !self.write(&bytes) {
            return None;
        }
        if let Err(error) = self.active.sync_data() {
            tracing::warn!(%error, "a batch may not survive a loss of power: the disk refused to sync the buffer");
        }
        let active = self.segments.back_mut()?;
        active.events += u64::from(seal.events);
        active.last_seq = Some(seal.seq);
        active.sealed_len = active.len;
        self.pending = Pending::default();
        self.next_seq += 1;
        if self.segments.back()?.len >= self.options.segment_bytes() {
            self.rotate();
        }
        Some(seal.seq)
    }

    /// Begins a new segment, named by the next number. Should that fail, the old one just grows.
    fn rotate(&mut self) {
        if self.segments.back().is_none_or(|active| active.first_seq == self.next_seq) {
            return;
        }
        let next = Segment::empty(&self.stream.dir, self.next_seq);
        match begin_segment(&self.stream.dir, &next, self.dropped) {
            Ok(file) => {
                self.active = file;
                self.segments.push_back(next);
            }
            Err(error) => tracing::warn!(%error, "the buffer could not begin a new segment"),
        }
    }
}

fn begin_segment(dir: &Path, new: &Segment, dropped: u64) -> io::Result<File> {
    let mut file = segment::create(&new.path)?;
    file.write_all(&segment::header(new.first_seq, dropped))?;
    file.sync_all()?;
    sync_dir(dir)?;
    Ok(file)
}

/// Opens the last segment to append behind its last whole record.
fn continue_segment(last: &mut Segment, dropped: u64) -> io::Result<File> {
    let mut file = segment::open(&last.path)?;
    if file.metadata()?.len() < HEADER_BYTES {
        file.set_len(0)?;
        file.write_all(&segment::header(last.first_seq, dropped))?;
    }
    file.seek(SeekFrom::Start(last.len))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
