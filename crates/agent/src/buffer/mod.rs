//! The durable buffer: a bounded log on disk of opaque events, in sealed batches.
//!
//! # What it promises
//!
//! * An event is in the file before [`Buffer::append`] returns: it survives `kill -9`. It is on the disk before its batch
//!   can be read: a batch that the brain has seen survives the loss of power. Where a disk refuses to sync, that is said.
//! * A batch gets its sequence number when it is sealed. What was stored under a number never changes; one that the brain
//!   never stored, because it is too large, may be [split](Buffer::split). Numbers strictly increase within a stream.
//! * A batch is kept until it is acked, across crashes and restarts, unless the buffer is full: then the oldest go first, and
//!   are counted, event by event.
//! * Damage is confined to the record it hit. Events that are lost to it are counted; a batch whose seal is damaged is put
//!   together again.
//! * A full or failing disk loses events, counted; it never stops the observer and never fails the process.
//!
//! # On disk
//!
//! ```text
//! <data_dir>/streams/<uuid>/lock                     locked as long as a process has the stream
//! <data_dir>/streams/<uuid>/owner                    the agent's name: "crc32 name"
//! <data_dir>/streams/<uuid>/00000000000000000001.log segments, named by the first number that may be in them
//! segment = "TPBUFFR2" | seq u64 | dropped u64 | crc32 u32, then records
//! record  = tag u32 | crc32(body) u32 | crc32(tag, crc) u32 | body; tag = kind << 24 | length of the body
//! body    = ts i64 | event                                      kind 1: an event
//!         | seq u64 | start u64 | events u32                    kind 2: the events since offset `start` are batch `seq`
//!         | dropped u64                                         kind 3: so many events were dropped by now, ever
//!         | ts i64 | of u64 | at u64 | event                    kind 4: an event of batch `of` again, from behind offset `at`
//!         | seq u64 | start u64 | of u64 | at u64 | events u32  kind 5: those are batch `seq`, and `of` ends before `at`
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
mod damage;
mod delivery;
mod disk;
mod leftovers;
pub(crate) mod record;
mod recovery;
mod room;
mod segment;
mod split;
mod spool;
pub(crate) mod stream;
mod trouble;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use taskplane_model::Timestamp;
use taskplane_model::agent::BufferReport;
use taskplane_protocol::limits::{SEAL_BYTES, SEAL_EVENTS};
use thiserror::Error;
use uuid::Uuid;

pub use batch::SealedBatch;
pub use leftovers::Leftovers;
pub use record::MAX_EVENT_BYTES;
pub use spool::{Spool, Status};

use batch::MAX_SEQ;
use damage::Damage;
use disk::Disk;
use record::Seal;
use recovery::{Pending, Segment, Short};
use segment::HEADER_BYTES;
use stream::{Stream, streams_dir};
use trouble::Troubles;

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
    disk: Disk,
    /// In order; never empty. The last is the one that is appended to, through `active`.
    segments: VecDeque<Segment>,
    active: File,
    /// Something may stand behind the end of the active segment.
    tail_is_dirty: bool,
    pending: Pending,
    next_seq: u64,
    /// Up to here the brain has everything, or it was dropped.
    acked: u64,
    front: Front,
    front_ts: Option<Timestamp>,
    /// What is left of batches that were split.
    shortened: BTreeMap<u64, Short>,
    reader: Option<delivery::Reader>,
    /// How often in a row reading failed.
    read_failures: u32,
    dropped: u64,
    /// The count of dropped events that is on disk.
    noted: u64,
    damage: Damage,
    damaged: u64,
    staged: Vec<u8>,
    troubles: Troubles,
}

/// How far a segment is behind us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Front {
    offset: u64,
    /// Events before that.
    events: u64,
    /// The number before that of the next batch.
    seq: u64,
}

impl Front {
    /// The beginning of the segment named `first_seq`.
    fn of(first_seq: u64) -> Self {
        Self { offset: HEADER_BYTES, events: 0, seq: first_seq.saturating_sub(1) }
    }
}

impl Buffer {
    /// Continues a stream under `data_dir` that no living process has, or begins a new one. It is anybody's; see
    /// [`open_for`](Self::open_for).
    ///
    /// # Errors
    /// The folder cannot be created, read, written or locked.
    pub fn open(data_dir: &Path, options: BufferOptions) -> Result<Self, BufferError> {
        Self::open_for("", data_dir, options)
    }

    /// Continues a stream of the agent `owner` under `data_dir` that no living process has, or begins a new one.
    ///
    /// # Errors
    /// The folder cannot be created, read, written or locked.
    pub fn open_for(owner: &str, data_dir: &Path, options: BufferOptions) -> Result<Self, BufferError> {
        if let Some(left) = Leftovers::new(owner, data_dir, options.clone())?.take_over()? {
            return Ok(left);
        }
        let stream = Stream::begin(&streams_dir(data_dir)?, owner)?;
        let dir = stream.dir.clone();
        Self::recovered(stream, options).map_err(|source| BufferError::unwritable(&dir, source))
    }

    #[cfg(test)]
    pub(crate) fn open_on_a_disk_that_refuses(data_dir: &Path) -> Self {
        let stream = Stream::begin(&streams_dir(data_dir).expect("a folder"), "").expect("a stream");
        let mut buffer = Self::recovered(stream, BufferOptions::default()).expect("a buffer");
        buffer.disk.faults.writes = Some(io::ErrorKind::ReadOnlyFilesystem);
        buffer
    }

    fn recovered(stream: Stream, options: BufferOptions) -> io::Result<Self> {
        let mut disk = Disk::default();
        let found = recovery::recover(&stream.dir)?;
        let mut segments = VecDeque::from(found.segments);
        let (first_seq, active) = match segments.back() {
            Some(last) => (segments[0].first_seq, continue_segment(&mut disk, last, found.dropped)?),
            None => {
                let first = Segment::empty(&stream.dir, 1);
                let file = begin_segment(&mut disk, &stream.dir, &first, 0)?;
                segments.push_back(first);
                (1, file)
            }
        };
        let next = |s: &Segment| s.first_seq.max(s.last_seq.map_or(1, |last| last + 1));
        let next_seq = segments.iter().map(next).max().unwrap_or(1);
        let mut buffer = Self {
            stream,
            options,
            disk,
            segments,
            active,
            tail_is_dirty: false,
            pending: found.pending,
            next_seq,
            acked: first_seq.saturating_sub(1),
            front: Front::of(first_seq),
            front_ts: None,
            shortened: found.shortened,
            reader: None,
            read_failures: 0,
            dropped: found.dropped,
            noted: found.dropped,
            damage: Damage::default(),
            damaged: found.damaged,
            staged: Vec::new(),
            troubles: Troubles::default(),
        };
        if buffer.damaged > 0 {
            let (places, path) = (buffer.damaged, buffer.stream.dir.display());
            tracing::error!(places, %path, "the buffer is damaged on disk; what cannot be read is counted as dropped");
        }
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
        let sealed: u64 = self.segments.iter().fold(0, |sum, s| sum.saturating_add(s.events));
        let events = sealed.saturating_add(u64::from(self.pending.events)).saturating_sub(self.front.events);
        let total: u64 = self.segments.iter().map(|s| s.len - HEADER_BYTES).sum();
        BufferReport {
            events,
            bytes: total.saturating_sub(self.front.offset - HEADER_BYTES),
            oldest_ts: self.front_ts.filter(|_| events > 0),
            dropped: self.dropped.saturating_add(self.damage.events()),
        }
    }

    /// Places where something on disk could not be read when the stream was opened. The events that this cost are part of
    /// [`report`](Self::report)`.dropped` as soon as delivery has passed them.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// What is wrong with the disk, for people; `None` when all is well.
    pub fn trouble(&self) -> Option<&str> {
        self.troubles.text()
    }

    /// True when there is nothing in it, acked or not.
    pub fn is_empty(&self) -> bool {
        self.pending.events == 0 && self.segments.iter().all(|s| s.last_seq.is_none())
    }

    /// Removes the stream from the disk, with all that is left in it. For one that is done.
    pub fn remove(self) {
        self.stream.remove();
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
                self.dropped = self.dropped.saturating_add(1);
                continue;
            }
            if self.is_full(staged, bytes) {
                self.write_staged(&mut staged);
                self.seal();
                if self.is_full(staged, bytes) {
                    // It cannot be sealed, since the disk takes nothing.
                    self.dropped = self.dropped.saturating_add(1);
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
            self.dropped = self.dropped.saturating_add(u64::from(staged.events));
        }
        *staged = Pending::default();
        self.staged = bytes;
        self.staged.clear();
    }

    /// Counts events that were dropped before they came here, and writes the count down.
    pub fn count_lost(&mut self, events: u64) {
        if events == 0 {
            return;
        }
        self.dropped = self.dropped.saturating_add(events);
        if let Err(error) = self.write_without_dropping(&[]) {
            self.troubles.cannot_write(&error);
        }
    }

    /// Makes a batch of what is pending and brings it to the disk. `None` when nothing is pending, or when the disk takes
    /// nothing; then it stays pending.
    pub fn seal(&mut self) -> Option<u64> {
        if self.pending.events == 0 || self.next_seq > MAX_SEQ {
            return None;
        }
        let start = self.segments.back()?.sealed_len;
        let seal = Seal { seq: self.next_seq, start, events: self.pending.events };
        let mut bytes = Vec::new();
        record::put_seal(&mut bytes, seal);
        if !self.write_where_there_is_room(&bytes) {
            return None;
        }
        match self.disk.sync(&self.active) {
            Ok(()) => {
                self.troubles.can_sync();
                self.count_sealed(seal);
            }
            Err(error) => self.seal_elsewhere(seal, &error),
        }
        self.pending = Pending::default();
        if self.segments.back()?.len >= self.options.segment_bytes() {
            self.rotate();
        }
        Some(seal.seq)
    }

    fn count_sealed(&mut self, seal: Seal) {
        if let Some(active) = self.segments.back_mut() {
            active.events += u64::from(seal.events);
            active.last_seq = Some(seal.seq);
            active.sealed_len = active.len;
        }
        self.next_seq = seal.seq + 1;
    }

    /// The disk did not take what was written since the last seal, and may have forgotten it without saying so again: writes
    /// it to a new file. When that fails too the batch counts as sealed all the same, since it can still be delivered; what a
    /// loss of power would take is said.
    fn seal_elsewhere(&mut self, seal: Seal, error: &io::Error) {
        match self.copy_unsynced(seal) {
            Ok((segment, file)) => {
                tracing::warn!(%error, seq = seal.seq, "the disk refused to sync the buffer: the batch was written anew");
                if let Some(active) = self.segments.back_mut() {
                    active.len = active.sealed_len;
                }
                // The same number means the same name: the new file is in the place of the old one.
                if self.segments.back().is_some_and(|active| active.first_seq == segment.first_seq) {
                    self.segments.pop_back();
                } else {
                    self.cut_active();
                    self.tail_is_dirty = false;
                }
                self.active = file;
                self.segments.push_back(segment);
                if self.segments.len() == 1 {
                    self.front = Front { offset: HEADER_BYTES, events: 0, ..self.front };
                }
                self.reader = None;
                self.next_seq = seal.seq + 1;
            }
            Err(again) => {
                self.troubles.cannot_sync(&again);
                self.count_sealed(seal);
            }
        }
    }

    fn copy_unsynced(&mut self, seal: Seal) -> io::Result<(Segment, File)> {
        let Some(active) = self.segments.back() else { return Err(io::ErrorKind::NotFound.into()) };
        let mut new = Segment::empty(&self.stream.dir, seal.seq);
        let mut bytes = segment::header(new.first_seq, self.dropped).to_vec();
        File::open(&active.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(active.sealed_len))?;
            file.take(active.len - active.sealed_len).read_to_end(&mut bytes)
        })?;
        // It ends in the seal; only where its batch begins is different.
        let events_end = bytes.len().saturating_sub(record::SEAL_RECORD_BYTES);
        bytes.truncate(events_end);
        record::put_seal(&mut bytes, Seal { start: HEADER_BYTES, ..seal });
        let unfinished = new.path.with_extension(segment::UNFINISHED);
        let file = self.disk.create(&unfinished)?;
        let written = self
            .disk
            .write(&file, 0, &bytes)
            .and_then(|()| self.disk.sync(&file))
            .and_then(|()| self.disk.rename(&unfinished, &new.path))
            .and_then(|()| self.disk.sync_dir(&self.stream.dir));
        if let Err(error) = written {
            let _ = self.disk.remove(&unfinished);
            return Err(error);
        }
        new.len = bytes.len() as u64;
        new.sealed_len = new.len;
        new.events = u64::from(seal.events);
        new.last_seq = Some(seal.seq);
        Ok((new, file))
    }

    /// Begins a new segment, named by the next number. Should that fail, the old one just grows.
    fn rotate(&mut self) {
        if self.segments.back().is_none_or(|active| active.first_seq == self.next_seq) {
            return;
        }
        let next = Segment::empty(&self.stream.dir, self.next_seq);
        match begin_segment(&mut self.disk, &self.stream.dir, &next, self.dropped) {
            Ok(file) => {
                self.active = file;
                self.noted = self.dropped;
                self.tail_is_dirty = false;
                self.segments.push_back(next);
                self.troubles.can_begin();
            }
            Err(error) => self.troubles.cannot_begin(&error),
        }
    }
}

fn begin_segment(disk: &mut Disk, dir: &Path, new: &Segment, dropped: u64) -> io::Result<File> {
    let file = disk.create(&new.path)?;
    let begun = disk
        .write(&file, 0, &segment::header(new.first_seq, dropped))
        .and_then(|()| disk.sync(&file))
        .and_then(|()| disk.sync_dir(dir));
    if let Err(error) = begun {
        // Another one may still grow, and must stay the last.
        let _ = disk.remove(&new.path);
        return Err(error);
    }
    Ok(file)
}

/// Opens the last segment to append behind its last whole record.
fn continue_segment(disk: &mut Disk, last: &Segment, dropped: u64) -> io::Result<File> {
    let file = segment::open(&last.path)?;
    let header = segment::read_header(&last.path)?;
    if file.metadata()?.len() < HEADER_BYTES || header.is_some_and(|(begun_as, _)| begun_as != last.first_seq) {
        disk.write(&file, 0, &segment::header(last.first_seq, dropped))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
