//! The collecting side: reads what all processes of a group have written, bit by bit.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::adoption::Adoption;
use super::chunk::{self, Behind, Ended, Found, MAX_BYTES};
use super::file::{self, Header, Mark, Opened};
use super::folder::{Entry, Folder, Key};
use crate::buffer::stream::create_dirs;
use crate::lock_file::LockFile;

/// Most files of one haul, each of which is open until it is handed over.
const FILES_AT_ONCE: usize = 64;
/// How often to see whether the writer of a file that is read to its end is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Collects what the processes of a group capture. As long as this lives no other process does.
#[derive(Debug)]
pub struct Collector {
    pub(super) tail: Arc<Mutex<Tail>>,
}

impl Collector {
    /// Becomes the collector of the group folder `dir`, which is created where it is missing. `None` when another process
    /// is it.
    ///
    /// # Errors
    /// The folder cannot be written, or its file system knows no locks.
    pub fn try_lead(dir: &Path) -> io::Result<Option<Self>> {
        Ok(Tail::try_lead(dir)?.map(|tail| Self { tail: Arc::new(Mutex::new(tail)) }))
    }
}

/// The files of one group that this process leads.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) folder: Folder,
    pub(super) adoption: Option<Adoption>,
    /// The writer whose files were read last.
    last_writer: u64,
    buffer: Vec<u8>,
    /// Whether the last thing that went wrong was said.
    is_troubled: bool,
    _lock: LockFile,
}

/// What was read at once. Its files are locked until it is settled.
#[derive(Debug, Default)]
pub(super) struct Haul {
    pub(super) found: Found,
    taken: Vec<Taken>,
    /// There may be more at once.
    pub(super) is_full: bool,
    is_adopted: bool,
}

impl Haul {
    /// True when there is nothing to hand over and nothing to settle.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.is_settled()
    }

    /// True when no file waits for what was handed over.
    pub(super) fn is_settled(&self) -> bool {
        self.taken.is_empty()
    }
}

/// A file out of which something was read.
#[derive(Debug)]
struct Taken {
    key: Key,
    file: File,
    mark: Mark,
    /// It can be removed.
    is_done: bool,
}

/// How a file was left.
enum Left {
    /// There is nothing more in it for now.
    AtEnd,
    /// There is more in it.
    WithMore,
    /// It is not there any more.
    Gone,
}

impl Tail {
    pub(super) fn try_lead(dir: &Path) -> io::Result<Option<Self>> {
        create_dirs(dir)?;
        let lock = LockFile::acquire(&dir.join("collector.lock"))?;
        Ok(lock.map(|lock| Self {
            folder: Folder::new(dir),
            adoption: None,
            last_writer: 0,
            buffer: Vec::new(),
            is_troubled: false,
            _lock: lock,
        }))
    }

    /// Reads what is there, up to a bound; from an adopted group only when there is nothing in the own.
    pub(super) fn read(&mut self) -> Haul {
        let own = self.read_own();
        match &mut self.adoption {
            Some(adoption) if own.is_empty() => Haul { is_adopted: true, ..adoption.read() },
            _ => own,
        }
    }

    fn read_own(&mut self) -> Haul {
        let mut haul = Haul::default();
        if let Err(error) = self.folder.refresh() {
            self.say("the folder of captured events cannot be read", &error);
            return haul;
        }
        let writers = self.writers_from(self.last_writer);
        for writer in writers {
            self.last_writer = writer;
            self.read_writer(writer, &mut haul);
            haul.is_full = haul.found.is_full() || haul.taken.len() >= FILES_AT_ONCE;
            if haul.is_full {
                break;
            }
        }
        haul
    }

    /// All writers, those behind `last` first.
    fn writers_from(&self, last: u64) -> Vec<u64> {
        let behind = self.folder.entries.range((Bound::Excluded((last, u64::MAX)), Bound::Unbounded));
        let before = self.folder.entries.range(..=(last, u64::MAX));
        let mut writers: Vec<u64> = behind.chain(before).map(|((writer, _), _)| *writer).collect();
        writers.dedup();
        writers
    }

    /// Reads the files of one writer in their order.
    fn read_writer(&mut self, writer: u64, haul: &mut Haul) {
        let keys: Vec<Key> = self.folder.entries.range((writer, 0)..=(writer, u64::MAX)).map(|(key, _)| *key).collect();
        for (index, key) in keys.iter().enumerate() {
            let has_successor = index + 1 < keys.len();
            let Some(entry) = self.folder.entries.get_mut(key) else { continue };
            let left = read_file(entry, *key, has_successor, &mut self.buffer, haul);
            match left {
                Ok(Left::AtEnd) => {}
                Ok(Left::WithMore) => return,
                Ok(Left::Gone) => {
                    self.folder.entries.remove(key);
                }
                Err(error) => {
                    self.say("captured events cannot be read", &error);
                    return;
                }
            }
        }
    }

    /// Notes that everything in `haul` was handed over, and removes files that are done.
    pub(super) fn settle(&mut self, haul: Haul) {
        if let Some(adoption) = self.adoption.as_mut().filter(|_| haul.is_adopted) {
            return adoption.settle(Haul { is_adopted: false, ..haul });
        }
        for Taken { key, file, mark, is_done } in haul.taken {
            let Some(entry) = self.folder.entries.get_mut(&key) else { continue };
            // What is known here holds even if it cannot be written down.
            entry.mark = Some(mark);
            let settled = mark.write(&file).and_then(|()| if is_done { fs::remove_file(&entry.path) } else { Ok(()) });
            match settled {
                Ok(()) if is_done => {
                    self.folder.entries.remove(&key);
                }
                Ok(()) => self.is_troubled = false,
                Err(error) => self.say("how far captured events were collected cannot be written down", &error),
            }
        }
    }

    /// True when it is worth to [read](Self::read).
    pub(super) fn has_news(&self) -> bool {
        self.folder.has_news() || self.adoption.as_ref().is_some_and(Adoption::is_due)
    }

    /// How many files there are to look at.
    pub(super) fn files(&self) -> usize {
        self.folder.entries.len()
    }

    fn say(&mut self, what: &str, error: &io::Error) {
        if !self.is_troubled {
            tracing::warn!(%error, folder = %self.folder.dir().display(), "{what}; trying again");
        }
        self.is_troubled = true;
    }
}

/// Reads one file on from its mark into `haul`.
fn read_file(
    entry: &mut Entry,
    key: Key,
    has_successor: bool,
    buffer: &mut Vec<u8>,
    haul: &mut Haul,
) -> io::Result<Left> {
    if entry.is_left_alone {
        return Ok(Left::AtEnd);
    }
    let len = match fs::metadata(&entry.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Gone),
        metadata => metadata?.len(),
    };
    let looks = Instant::now() >= entry.look_at;
    if entry.read_len == Some(len) && !looks {
        return Ok(Left::AtEnd);
    }
    // One that is read to its end is asked for every second; a moment after its writer is gone is early enough.
    let wants_it_alone = looks || has_successor;
    let (file, is_alone) = match file::open(&entry.path, wants_it_alone)? {
        Opened::Alone(file) => (file, true),
        Opened::Shared(file) => (file, false),
        Opened::Busy => return Ok(Left::WithMore),
        Opened::Gone => return Ok(Left::Gone),
    };
    let Some(mark) = mark_of(entry, &file, is_alone)? else {
        return Ok(if entry.is_left_alone { Left::AtEnd } else { Left::Gone });
    };
    let is_complete = is_alone || has_successor;
    let (mark, ended) = read_records(&file, mark, is_complete, buffer, &mut haul.found)?;
    let is_at_end = ended != Ended::Full;
    if is_at_end && wants_it_alone {
        entry.look_at = Instant::now() + LOOK_EVERY;
    }
    entry.read_len = is_at_end.then_some(len);
    let is_done = is_alone && is_at_end;
    if entry.mark != Some(mark) || is_done {
        haul.taken.push(Taken { key, file, mark, is_done });
    }
    Ok(if is_at_end { Left::AtEnd } else { Left::WithMore })
}

/// Where to read on. `None` for a file that is left alone, or was removed since nobody ever wrote to it.
fn mark_of(entry: &mut Entry, file: &File, is_alone: bool) -> io::Result<Option<Mark>> {
    if let Some(mark) = entry.mark {
        return Ok(Some(mark));
    }
    let path = entry.path.display();
    match file::read_header(file)? {
        Header::Ours(mark) => {
            entry.mark = Some(mark);
            return Ok(Some(mark));
        }
        Header::Newer => tracing::warn!(%path, "a newer version has captured these events: they are left to it"),
        // A loss of power took it.
        Header::Unknown if is_alone && file.metadata()?.len() < file::HEADER_BYTES => {
            fs::remove_file(&entry.path)?;
            return Ok(None);
        }
        Header::Unknown => {
            tracing::warn!(%path, "this is no file of captured events, whatever its name says: left alone")
        }
    }
    entry.is_left_alone = true;
    Ok(None)
}

/// Reads records from `mark` on: until there are none, or there is enough.
pub(super) fn read_records(
    mut file: &File,
    mut mark: Mark,
    is_complete: bool,
    buffer: &mut Vec<u8>,
    found: &mut Found,
) -> io::Result<(Mark, Ended)> {
    let mut wanted = MAX_BYTES;
    loop {
        buffer.clear();
        file.seek(SeekFrom::Start(mark.offset))?;
        file.take(wanted as u64).read_to_end(buffer)?;
        let behind = match (buffer.len() < wanted, is_complete) {
            (false, _) => Behind::More,
            (true, false) => Behind::NothingYet,
            (true, true) => Behind::Nothing,
        };
        match chunk::read(buffer, behind, &mut mark, found) {
            Ended::Full => return Ok((mark, Ended::Full)),
            ended if behind != Behind::More => return Ok((mark, ended)),
            Ended::AtEnd => wanted = MAX_BYTES,
            Ended::Short(bytes) => wanted = bytes.max(MAX_BYTES),
        }
    }
}
