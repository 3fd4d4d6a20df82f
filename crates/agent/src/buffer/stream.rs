//! Folders of streams: one process to a stream, one agent to a stream.
//!
//! A stream belongs to the agent under whose name it was begun, since the brain counts a stream's batches under that name.
//! The name is in the file `owner`. A stream without a readable one is anybody's: who delivers it may be the wrong agent, but
//! it is delivered.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{BufferError, segment};
use crate::lock_file::{LockError, LockFile};

/// Attempts to begin a stream. Another process may take a folder for an abandoned one before it is locked.
const ATTEMPTS: usize = 3;

/// A stream's folder, ours as long as this lives.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: Uuid,
    pub(super) dir: PathBuf,
    /// Held locked. The kernel releases it when the process ends, however it ends.
    _lock: LockFile,
}

/// What came of reaching for a stream.
pub(super) enum Claim {
    /// It is ours now.
    Ours(Stream),
    /// Another process has it.
    Taken,
    /// It belongs to the agent of this name.
    Foreign(String),
    /// There is nothing in it.
    Empty,
}

impl Stream {
    /// Reaches for the stream `id` in the name of `owner`.
    pub(super) fn claim(streams: &Path, id: Uuid, owner: &str) -> Result<Claim, BufferError> {
        let dir = streams.join(id.to_string());
        if let Some(other) = read_owner(&dir).filter(|other| other != owner && !owner.is_empty()) {
            return Ok(Claim::Foreign(other));
        }
        match Self::lock(dir, id)? {
            None => Ok(Claim::Taken),
            Some(stream) if stream.has_log() => Ok(Claim::Ours(stream)),
            // A new buffer is a new stream: the brain knows the numbers of the old one.
            Some(stream) => {
                stream.remove();
                Ok(Claim::Empty)
            }
        }
    }

    /// Begins a new stream.
    pub(super) fn begin(streams: &Path, owner: &str) -> Result<Self, BufferError> {
        for _ in 0..ATTEMPTS {
            let id = Uuid::new_v4();
            let dir = streams.join(id.to_string());
            create_dirs(&dir)
                .and_then(|()| sync_dir(streams))
                .map_err(|source| BufferError::unwritable(&dir, source))?;
            if let Some(stream) = Self::lock(dir.clone(), id)? {
                write_owner(&dir, owner).map_err(|source| BufferError::unwritable(&dir, source))?;
                return Ok(stream);
            }
        }
        Err(BufferError::Locked { path: streams.to_owned() })
    }

    /// True when it has been written to: a log always has a last segment.
    fn has_log(&self) -> bool {
        fs::read_dir(&self.dir)
            .is_ok_and(|entries| entries.flatten().any(|entry| segment::first_seq(&entry.path()).is_some()))
    }

    /// `None` when another process has it, or removed it a moment ago.
    fn lock(dir: PathBuf, id: Uuid) -> Result<Option<Self>, BufferError> {
        let path = dir.join("lock");
        match LockFile::acquire(&path) {
            Ok(lock) => Ok(lock.map(|lock| Self { id, dir, _lock: lock })),
            Err(LockError::Unwritable(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(LockError::Unwritable(source)) => Err(BufferError::unwritable(&path, source)),
            Err(LockError::CannotLock(source)) => Err(BufferError::CannotLock { path, source }),
        }
    }

    /// Removes the stream and all that is in it. The log goes first: without one the rest is an empty stream to others.
    pub(super) fn remove(self) {
        let removed = fs::read_dir(&self.dir).and_then(|entries| {
            let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
            paths.sort_by_key(|path| (segment::first_seq(path).is_none(), path.ends_with("lock")));
            paths.iter().try_for_each(fs::remove_file)?;
            fs::remove_dir(&self.dir)
        });
        if let Err(error) = removed {
            tracing::warn!(%error, stream = %self.id, "the folder of a stream that is done could not be removed");
        }
    }
}

/// Creates the folder of streams under `data_dir`.
pub(super) fn streams_dir(data_dir: &Path) -> Result<PathBuf, BufferError> {
    let streams = data_dir.join("streams");
    create_dirs(&streams).map_err(|source| BufferError::unwritable(&streams, source))?;
    Ok(streams)
}

/// Ids of the streams that are there, in a fixed order.
pub(super) fn existing(streams: &Path) -> Result<Vec<Uuid>, BufferError> {
    let unwritable = |source| BufferError::unwritable(streams, source);
    let mut ids = Vec::new();
    for entry in fs::read_dir(streams).map_err(unwritable)? {
        let entry = entry.map_err(unwritable)?;
        // Only the form that we write: a copy that someone set aside under another name is not a stream.
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| Uuid::parse_str(name).ok().filter(|id| id.to_string() == name));
        if let Some(id) = id.filter(|_| entry.path().is_dir()) {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The file is there before the first segment is, so that a stream with a log has one.
pub(crate) fn write_owner(dir: &Path, owner: &str) -> io::Result<()> {
    if owner.is_empty() {
        return Ok(());
    }
    let mut file = segment::create(&dir.join("owner"))?;
    file.write_all(format!("{:08x} {owner}\n", crc32fast::hash(owner.as_bytes())).as_bytes())?;
    file.sync_all()
}

/// `None` when there is no name that can be relied on.
pub(crate) fn read_owner(dir: &Path) -> Option<String> {
    let text = fs::read_to_string(dir.join("owner")).ok()?;
    let (crc, name) = text.strip_suffix('\n')?.split_once(' ')?;
    (u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(name.as_bytes())).then(|| name.to_owned())
}

/// Creates folders that only their owner may look into.
pub(crate) fn create_dirs(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Makes creations and removals of files in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("dir");
        let streams = streams_dir(&dir.path().join("data")).expect("a folder");
        (dir, streams)
    }

    fn begun(streams: &Path, owner: &str) -> Stream {
        let stream = Stream::begin(streams, owner).expect("a stream");
        segment::create(&segment::path(&stream.dir, 1)).expect("a segment");
        stream
    }

    #[test]
    fn living_processes_never_share_a_stream_and_dead_ones_leave_theirs() {
        let (_dir, streams) = folder();
        let stream = begun(&streams, "a");
        let id = stream.id;
        assert!(matches!(Stream::claim(&streams, id, "a"), Ok(Claim::Taken)));
        drop(stream);
        assert!(matches!(Stream::claim(&streams, id, "a"), Ok(Claim::Ours(stream)) if stream.id == id));
    }

    #[test]
    fn a_stream_that_has_lost_its_log_is_removed() {
        let (_dir, streams) = folder();
        let id = Stream::begin(&streams, "a").expect("a stream").id;
        assert!(matches!(Stream::claim(&streams, id, "a"), Ok(Claim::Empty)));
        assert!(existing(&streams).expect("reads").is_empty());
    }

    #[test]
    fn the_stream_of_another_agent_is_left_alone_unless_nobody_can_tell_whose_it_is() {
        let (_dir, streams) = folder();
        let id = begun(&streams, "web 1").id;
        assert!(matches!(Stream::claim(&streams, id, "web 2"), Ok(Claim::Foreign(owner)) if owner == "web 1"));
        fs::write(streams.join(id.to_string()).join("owner"), "0badc0de web 1\n").expect("writes");
        assert!(matches!(Stream::claim(&streams, id, "web 2"), Ok(Claim::Ours(_))));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_look_inside() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, streams) = folder();
        let stream = begun(&streams, "a");
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("data")), 0o700);
        assert_eq!((mode(&stream.dir), mode(&stream.dir.join("lock"))), (0o700, 0o600));
    }
}
