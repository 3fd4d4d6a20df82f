//! One file of the log: a header, then records.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::{Decoded, HEADER_BYTES as RECORD_HEADER_BYTES, Record, checked, decode, is_header};

/// First bytes of every segment; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"TPBUFFR2";
/// Magic, first sequence number, events dropped by then, checksum of these.
pub(super) const HEADER_BYTES: u64 = 28;
/// Extension of a segment that is being written beside the others. One that is found was never finished.
pub(super) const UNFINISHED: &str = "new";
/// How much is read from disk at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The path of the segment whose first batch is `seq`.
pub(super) fn path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:020}.log"))
}

/// The sequence number in a segment's name.
pub(super) fn first_seq(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// The bytes that a segment begins with.
pub(super) fn header(seq: u64, dropped: u64) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&seq.to_le_bytes());
    header[16..24].copy_from_slice(&dropped.to_le_bytes());
    let crc = crc32fast::hash(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The number under which the segment at `path` was begun, and the events dropped before; `None` when the header is damaged.
pub(super) fn read_header(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let mut header = [0; HEADER_BYTES as usize];
    if File::open(path)?.read_exact(&mut header).is_err() {
        return Ok(None);
    }
    let whole = header.starts_with(MAGIC) && crc32fast::hash(&header[..24]).to_le_bytes() == header[24..];
    let number = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    Ok(number(8).zip(number(16)).filter(|_| whole))
}

/// Creates the file of a segment, mode 0600. One that a crash left unfinished is begun again.
pub(super) fn create(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).write(true).create(true).truncate(true))
}

/// Opens a segment to append to it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).write(true))
}

fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// What a [`Scanner`] comes across.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// A whole record that begins at `at`.
    Record { at: u64, record: Record<'a> },
    /// Something damaged, which was passed: one event, or what nobody can tell.
    Damaged { is_event: bool },
    /// Nothing more can be read. `torn` when bytes remain that are no record.
    End { torn: bool },
}

/// Reads a segment record by record, in bounded memory.
pub(super) struct Scanner {
    file: File,
    /// Bytes read and not yet passed, which begin at `at` in the file.
    window: Vec<u8>,
    /// How much of the window is behind us.
    passed: usize,
    at: u64,
    /// Nothing at or after this offset is looked at.
    end: u64,
}

impl Scanner {
    /// Reads `path` from `from` up to `end`, both offsets of record boundaries.
    pub(super) fn new(path: &Path, from: u64, end: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Self { file, window: Vec::new(), passed: 0, at: from, end })
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.at + self.passed as u64
    }

    /// Lets the scanner see what was appended up to `end` since it was made.
    pub(super) fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// The next item. After [`Item::End`] it may be called again when the segment was [extended](Self::extend).
    pub(super) fn next(&mut self) -> io::Result<Item<'_>> {
        let at = self.position();
        let mut needed = RECORD_HEADER_BYTES;
        let bytes = loop {
            let complete = self.fill(needed)?;
            match decode(&self.window[self.passed..]) {
                Decoded::Partial(bytes) if complete => needed = bytes,
                Decoded::Partial(_) => return Ok(Item::End { torn: at < self.end }),
                Decoded::Nothing => return self.pass_damage(at),
                Decoded::Spoilt { is_event, bytes } => {
                    self.passed += bytes;
                    return Ok(Item::Damaged { is_event });
                }
                Decoded::Whole(_, bytes) => break bytes,
            }
        };
        let from = self.passed;
        self.passed += bytes;
        match checked(&self.window[from..], bytes) {
            Some(record) => Ok(Item::Record { at, record }),
            None => Ok(Item::Damaged { is_event: false }),
        }
    }

    /// Passes on to the next header. Where there is none the segment ends here.
    fn pass_damage(&mut self, at: u64) -> io::Result<Item<'static>> {
        if self.find_header()? {
            return Ok(Item::Damaged { is_event: false });
        }
        self.go_back(at)?;
        Ok(Item::End { torn: true })
    }

    /// Passes on to the next header; false when there is none.
    fn find_header(&mut self) -> io::Result<bool> {
        self.passed += 1;
        loop {
            let here = &self.window[self.passed..];
            if let Some(further) = here.windows(RECORD_HEADER_BYTES).position(is_header) {
                self.passed += further;
                return Ok(true);
            }
            self.passed += (here.len() + 1).saturating_sub(RECORD_HEADER_BYTES);
            if !self.fill(RECORD_HEADER_BYTES)? {
                return Ok(false);
            }
        }
    }

    fn go_back(&mut self, at: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.window.clear();
        (self.at, self.passed) = (at, 0);
        Ok(())
    }

    /// Sees to it that `needed` bytes are in the window; false when the segment ends before.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        if self.window.len() - self.passed >= needed {
            return Ok(true);
        }
        self.window.drain(..self.passed);
        self.at += self.passed as u64;
        self.passed = 0;
        let read_to = self.at + self.window.len() as u64;
        let wanted = needed.max(CHUNK_BYTES).saturating_sub(self.window.len()) as u64;
        let room = self.end.saturating_sub(read_to).min(wanted);
        (&mut self.file).take(room).read_to_end(&mut self.window)?;
        Ok(self.window.len() >= needed)
    }
}
