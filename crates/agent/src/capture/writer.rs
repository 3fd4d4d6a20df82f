//! The hook's side: one `write` for each event.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use taskplane_model::Timestamp;

use super::CaptureOptions;
use super::file::{self, EVENT, HEADER_BYTES, Header, LOST, Mark, Name, ORIGINAL, Opened};
use super::room::make_room;
use crate::buffer::MAX_EVENT_BYTES;
use crate::buffer::record::{HEADER_BYTES as RECORD_HEADER_BYTES, put};
use crate::buffer::stream::create_dirs;

/// Bytes of the record that says what was lost.
const LOST_RECORD_BYTES: usize = RECORD_HEADER_BYTES + 8;
/// Pause after no file could be begun. A disk that is full must not cost each hook an attempt.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A longer staging area is given back after use.
const KEPT_BYTES: usize = 64 << 10;

/// Writes what one process captures. It is that process's alone: a forked child drops it, which closes the file and changes
/// nothing, and opens its own.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    options: CaptureOptions,
    id: u64,
    current: Option<Current>,
    /// Files that were rotated out and may still be there, oldest first.
    past: VecDeque<Past>,
    next_number: u64,
    /// Events that were lost and of which no record tells yet.
    lost: u64,
    staged: Vec<u8>,
    /// No file could be begun; when to try again.
    retry_at: Option<Instant>,
}

/// The file that is written to, locked shared.
#[derive(Debug)]
struct Current {
    file: File,
    len: u64,
    what: Past,
}

/// A kind and the parts of a body.
type Record<'a> = (u8, &'a [&'a [u8]]);

/// What was written into a file.
#[derive(Clone, Copy, Debug)]
struct Past {
    number: u64,
    events: u64,
    /// What its records say to be lost.
    lost: u64,
}

/// What became of a file that was to be dropped.
enum Discarded {
    /// It is gone; so many events in it were not drained.
    Dropped(u64),
    /// The collector has it.
    Busy,
    /// It cannot be removed.
    Stuck,
}

impl Writer {
    /// Begins to capture into the group folder `dir`, which is created where it is missing.
    ///
    /// # Errors
    /// The folder cannot be written, or its file system knows no locks.
    pub fn open(dir: &Path, options: CaptureOptions) -> io::Result<Self> {
        let mut writer = Self {
            dir: dir.to_owned(),
            options,
            id: random_id()?,
            current: None,
            past: VecDeque::new(),
            next_number: 1,
            lost: 0,
            staged: Vec::new(),
            retry_at: None,
        };
        writer.begin()?;
        Ok(writer)
    }

    /// Captures a wire event, redacted and encoded. When this returns it is in the file, or counted as lost.
    pub fn event(&mut self, ts: Timestamp, event: &str) {
        self.event_with_original(None, ts, event);
    }

    /// Captures an event and, before it and in the same step, what the engine on this host needs and nobody else may see. When
    /// that is longer than an event may be it is left out.
    pub fn event_with_original(&mut self, original: Option<&[u8]>, ts: Timestamp, event: &str) {
        let ts = ts.0.to_le_bytes();
        let text = event.as_bytes();
        let event: Record<'_> = (EVENT, &[&ts, text]);
        let is_written = text.len() <= MAX_EVENT_BYTES
            && match original.filter(|original| original.len() <= MAX_EVENT_BYTES) {
                Some(original) => self.append(&[(ORIGINAL, &[original]), event]),
                None => self.append(&[event]),
            };
        if is_written {
            // `append` succeeds only with a file.
            self.current.iter_mut().for_each(|current| current.what.events += 1);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Events that were lost and of which no record tells yet.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Ends the capture. What was lost last is said, where the disk takes it.
    pub fn close(mut self) {
        if self.lost > 0 && self.has_room(LOST_RECORD_BYTES) {
            self.write(&[]);
        }
    }

    fn append(&mut self, records: &[Record<'_>]) -> bool {
        let bytes = |(_, body): &Record<'_>| RECORD_HEADER_BYTES + body.iter().map(|part| part.len()).sum::<usize>();
        if !self.has_room(records.iter().map(bytes).sum::<usize>() + LOST_RECORD_BYTES) {
            return false;
        }
        let mut staged = std::mem::take(&mut self.staged);
        records.iter().for_each(|(kind, body)| put(&mut staged, *kind, body));
        let is_written = self.write(&staged);
        staged.clear();
        staged.shrink_to(KEPT_BYTES);
        self.staged = staged;
        is_written
    }

    /// Writes records and, in the same step, how many events were lost.
    fn write(&mut self, record: &[u8]) -> bool {
        let Some(current) = &mut self.current else { return false };
        let told = self.lost;
        let mut with_lost = Vec::new();
        let record = if told == 0 {
            record
        } else {
            put(&mut with_lost, LOST, &[&told.to_le_bytes()]);
            with_lost.extend_from_slice(record);
            &with_lost
        };
        let taken = loop {
            match current.file.write(record) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                taken => break taken.unwrap_or(0),
            }
        };
        current.len += taken as u64;
        if taken == record.len() {
            current.what.lost += told;
            self.lost -= told;
            return true;
        }
        if told > 0 && taken >= LOST_RECORD_BYTES {
            // That record is whole.
            current.what.lost += told;
            self.lost -= told;
        }
        if taken > 0 {
            // Nothing is written behind half a record: at the end of a file it is passed over. It is not cut off, since the
            // collector may be reading there.
            self.put_away();
        }
        false
    }

    /// Sees to it that there is a file with room for so many bytes.
    fn has_room(&mut self, bytes: usize) -> bool {
        let is_full =
            |current: &Current| current.len > HEADER_BYTES && current.len + bytes as u64 > self.options.file_bytes;
        if self.current.as_ref().is_some_and(|current| !is_full(current)) {
            return true;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        // The next one is there before this one is let go: who finds this one alone finds the next one too.
        let begun = self.begin();
        self.retry_at = begun.is_err().then(|| Instant::now() + RETRY_AFTER);
        begun.is_ok()
    }

    /// Begins the next file, and lets go of the current one.
    fn begin(&mut self) -> io::Result<()> {
        self.drop_oldest()?;
        // Where that fails, creating the file says why.
        self.lost = self.lost.saturating_add(make_room(&self.dir, &self.options).unwrap_or(0));
        let number = self.next_number;
        let path = Name { pid: std::process::id(), writer: self.id, number }.path(&self.dir);
        let file = match file::create(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create_dirs(&self.dir)?;
                file::create(&path)?
            }
            created => created?,
        };
        self.next_number += 1;
        self.put_away();
        self.current = Some(Current { file, len: HEADER_BYTES, what: Past { number, events: 0, lost: 0 } });
        Ok(())
    }

    fn put_away(&mut self) {
        if let Some(current) = self.current.take() {
            self.past.push_back(current.what);
        }
    }

    /// Drops the oldest files until there is room for one more. The one that the collector has in its hands is passed over,
    /// as far as that goes.
    fn drop_oldest(&mut self) -> io::Result<()> {
        let most = self.options.files.max(2);
        let others = usize::from(self.current.is_some());
        if self.past.len() + others < most {
            return Ok(());
        }
        let (dir, writer) = (self.dir.clone(), self.id);
        let path = move |past: &Past| Name { pid: std::process::id(), writer, number: past.number }.path(&dir);
        self.past.retain(|past| path(past).exists());
        let mut index = 0;
        while self.past.len() + others >= most && index < self.past.len() {
            match discard(&path(&self.past[index]), self.past[index]) {
                Discarded::Dropped(events) => {
                    self.lost = self.lost.saturating_add(events);
                    self.past.remove(index);
                }
                Discarded::Busy | Discarded::Stuck => index += 1,
            }
        }
        if self.past.len() + others >= 2 * most {
            return Err(io::Error::other("too many files of this process cannot be removed"));
        }
        Ok(())
    }
}

fn discard(path: &Path, past: Past) -> Discarded {
    let file = match file::open(path, true) {
        Ok(Opened::Alone(file)) => file,
        Ok(Opened::Gone) => return Discarded::Dropped(0),
        Ok(Opened::Shared(_) | Opened::Busy) => return Discarded::Busy,
        Err(_) => return Discarded::Stuck,
    };
    let mark = match file::read_header(&file) {
        Ok(Header::Ours(mark)) => mark,
        _ => Mark::BEGINNING,
    };
    match fs::remove_file(path) {
        Ok(()) => {
            let events = past.events.saturating_sub(mark.events);
            Discarded::Dropped(events.saturating_add(past.lost.saturating_sub(mark.lost)))
        }
        Err(_) => Discarded::Stuck,
    }
}

fn random_id() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}
