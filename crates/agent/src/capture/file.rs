//! One capture file: its name, its header with the drained mark, its locks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::lock_file::is_same_file;

/// First bytes of every file; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"TPCAPTR1";
const VERSION_AT: usize = 7;
/// Magic, mark, checksum of the mark.
pub(super) const HEADER_BYTES: u64 = 36;
/// Extension of a file that is being begun.
pub(super) const UNFINISHED: &str = "new";

/// Kinds of records.
pub(super) const EVENT: u8 = 1;
pub(super) const ORIGINAL: u8 = 16;
pub(super) const LOST: u8 = 17;

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) pid: u32,
    /// Chosen at random by each writer.
    pub(super) writer: u64,
    pub(super) number: u64,
}

impl Name {
    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}-{:016x}-{:010}.capture", self.pid, self.writer, self.number))
    }

    /// `None` for any file that we did not name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (pid, rest) = name.strip_suffix(".capture")?.split_once('-')?;
        let (writer, number) = rest.split_once('-')?;
        let found = Self {
            pid: pid.parse().ok()?,
            writer: u64::from_str_radix(writer, 16).ok()?,
            number: number.parse().ok()?,
        };
        (found.path(Path::new("")).to_str() == Some(name)).then_some(found)
    }
}

/// How far a file is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The next record begins here.
    pub(super) offset: u64,
    /// Events before that: handed over, or counted as damaged.
    pub(super) events: u64,
    /// What the records before that say to be lost.
    pub(super) lost: u64,
}

impl Mark {
    pub(super) const BEGINNING: Self = Self { offset: HEADER_BYTES, events: 0, lost: 0 };

    fn to_bytes(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.events.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lost.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when it is damaged, or cannot be.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let mark = Self { offset: number(0)?, events: number(8)?, lost: number(16)? };
        (mark.to_bytes() == bytes && mark.offset >= HEADER_BYTES).then_some(mark)
    }

    /// Writes it into the header of `file`, which must not be open for appending.
    pub(super) fn write(self, mut file: &File) -> io::Result<()> {
        file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        file.write_all(&self.to_bytes())
    }
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It can be read from here.
    Ours(Mark),
    /// A newer version of us has written it.
    Newer,
    /// Too short, or nothing that we know.
    Unknown,
}

/// Reads the header. A damaged mark is as good as none: the file is drained again from its beginning.
pub(super) fn read_header(mut file: &File) -> io::Result<Header> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
    file.seek(SeekFrom::Start(0))?;
    file.take(HEADER_BYTES).read_to_end(&mut bytes)?;
    Ok(match bytes.get(..MAGIC.len()) {
        Some(magic) if magic == MAGIC && bytes.len() as u64 == HEADER_BYTES => {
            let len = file.metadata()?.len();
            let mark = Mark::from_bytes(&bytes[MAGIC.len()..]).filter(|mark| mark.offset <= len);
            Header::Ours(mark.unwrap_or(Mark::BEGINNING))
        }
        Some(magic) if magic != MAGIC && magic[..VERSION_AT] == MAGIC[..VERSION_AT] => Header::Newer,
        _ => Header::Unknown,
    })
}

/// Begins a file to append to, locked shared, mode 0600. It comes under its name when it is whole, so that nobody takes it for
/// one that was left behind.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&unfinished)?;
    let begun = file
        .try_lock_shared()
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(MAGIC))
        .and_then(|()| file.write_all(&Mark::BEGINNING.to_bytes()))
        .and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = begun {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    Ok(file)
}

/// A file that was opened to drain or to remove it.
pub(super) enum Opened {
    /// Nobody writes to it any more, nor reads it.
    Alone(File),
    /// Its writer may be alive.
    Shared(File),
    /// Someone is removing it.
    Busy,
    /// It was removed.
    Gone,
}

/// Opens a file with a lock: exclusively if that is wanted and can be had, else shared.
pub(super) fn open(path: &Path, wants_it_alone: bool) -> io::Result<Opened> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        opened => opened?,
    };
    let opened = if wants_it_alone && file.try_lock().is_ok() {
        Opened::Alone(file)
    } else if file.try_lock_shared().is_ok() {
        Opened::Shared(file)
    } else {
        return Ok(Opened::Busy);
    };
    let (Opened::Alone(file) | Opened::Shared(file)) = &opened else { return Ok(opened) };
    Ok(if is_same_file(file, path) { opened } else { Opened::Gone })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_names_that_we_give_are_names() {
        let name = Name { pid: 17, writer: 0xab, number: 3 };
        assert_eq!(name.path(Path::new("")).to_str(), Some("17-00000000000000ab-0000000003.capture"));
        assert_eq!(Name::parse("17-00000000000000ab-0000000003.capture"), Some(name));
        for foreign in [
            "17-ab-3.capture",
            "17-00000000000000AB-0000000003.capture",
            "17-00000000000000ab-0000000003.capture.bak",
            "collector.lock",
            ".capture",
            "+17-00000000000000ab-0000000003.capture",
        ] {
            assert_eq!(Name::parse(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn a_mark_is_read_as_it_was_written_and_a_damaged_one_is_found(
            offset in HEADER_BYTES.., events: u64, lost: u64, at in 0usize..28, by in 1u8..,
        ) {
            let mark = Mark { offset, events, lost };
            let mut bytes = mark.to_bytes();
            prop_assert_eq!(Mark::from_bytes(&bytes), Some(mark));
            bytes[at] ^= by;
            prop_assert_eq!(Mark::from_bytes(&bytes), None);
        }
    }
}
