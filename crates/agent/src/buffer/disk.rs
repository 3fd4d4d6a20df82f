//! What the buffer asks of the file system while the agent runs. All of it may fail; tests make it fail.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::segment;
use super::stream::sync_dir;

/// The disk that the buffer is on.
#[derive(Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: faults::Faults,
}

impl Disk {
    /// Writes at an offset. When it fails a part may have been written.
    pub(super) fn write(&mut self, mut file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.seek(SeekFrom::Start(at))?;
        #[cfg(test)]
        {
            let (taken, outcome) = self.faults.write(bytes.len());
            file.write_all(&bytes[..taken])?;
            outcome
        }
        #[cfg(not(test))]
        file.write_all(bytes)
    }

    pub(super) fn cut(&mut self, file: &File, len: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        file.set_len(len)
    }

    /// Brings a file's content to the disk.
    pub(super) fn sync(&mut self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.sync()?;
        file.sync_data()
    }

    /// Creates a file, mode 0600. One that is there is emptied.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<File> {
        #[cfg(test)]
        self.faults.step()?;
        segment::create(path)
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.faults.free(path)?;
        fs::remove_file(path)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        fs::rename(from, to)
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        sync_dir(dir)
    }

    /// Asked before something is read.
    #[cfg_attr(not(test), expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests make it fail"))]
    pub(super) fn may_read(&mut self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.read()?;
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod faults {
    use std::io::ErrorKind;

    use super::*;

    /// What goes wrong.
    #[derive(Debug, Default)]
    pub(in super::super) struct Faults {
        /// Bytes that the disk still has room for.
        pub(in super::super) room: Option<usize>,
        /// Writes fail with this.
        pub(in super::super) writes: Option<ErrorKind>,
        /// So many syncs of files fail.
        pub(in super::super) syncs: usize,
        /// So many reads fail.
        pub(in super::super) reads: usize,
        /// The process is killed after so many bytes and other steps; from then on nothing happens any more.
        pub(in super::super) killed_after: Option<usize>,
    }

    impl Faults {
        pub(super) fn write(&mut self, len: usize) -> (usize, io::Result<()>) {
            if let Some(kind) = self.writes {
                return (0, Err(kind.into()));
            }
            let life = self.killed_after.unwrap_or(usize::MAX);
            let room = self.room.unwrap_or(usize::MAX);
            let taken = len.min(life).min(room);
            self.killed_after = self.killed_after.map(|left| left - taken);
            self.room = self.room.map(|left| left - taken);
            match taken {
                _ if taken == len => (taken, Ok(())),
                _ if taken == life => (taken, Err(ErrorKind::Other.into())),
                _ => (taken, Err(ErrorKind::StorageFull.into())),
            }
        }

        pub(super) fn step(&mut self) -> io::Result<()> {
            match &mut self.killed_after {
                Some(0) => Err(ErrorKind::Other.into()),
                Some(left) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }

        pub(super) fn sync(&mut self) -> io::Result<()> {
            self.step()?;
            fail_some(&mut self.syncs)
        }

        pub(super) fn read(&mut self) -> io::Result<()> {
            fail_some(&mut self.reads)
        }

        /// Room comes back when a file goes.
        pub(super) fn free(&mut self, path: &Path) -> io::Result<()> {
            self.step()?;
            let freed = fs::metadata(path).map_or(0, |metadata| metadata.len() as usize);
            self.room = self.room.map(|room| room + freed);
            Ok(())
        }
    }

    fn fail_some(times: &mut usize) -> io::Result<()> {
        match times.checked_sub(1) {
            Some(left) => {
                *times = left;
                Err(ErrorKind::Other.into())
            }
            None => Ok(()),
        }
    }
}
