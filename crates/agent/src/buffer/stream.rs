//! Folders of streams: one process to a stream.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{BufferError, segment};

/// A stream's folder, ours as long as this lives.
pub(super) struct Stream {
    pub(super) id: Uuid,
    pub(super) dir: PathBuf,
    /// Held locked. The kernel releases it when the process ends, however it ends.
    _lock: File,
}

impl Stream {
    /// Continues the first stream under `data_dir` that no living process has, or begins a new one.
    pub(super) fn claim(data_dir: &Path) -> Result<Self, BufferError> {
        let streams = data_dir.join("streams");
        create_dirs(&streams).map_err(|source| BufferError::unwritable(&streams, source))?;
        for id in existing(&streams).map_err(|source| BufferError::unwritable(&streams, source))? {
            match Self::lock(&streams, id)? {
                Some(stream) if stream.has_log() => return Ok(stream),
                // A new buffer is a new stream: the brain knows the numbers of the old one.
                Some(stream) => tracing::warn!(stream = %stream.id, "a stream has lost its log and is left alone"),
                None => {}
            }
        }
        let id = Uuid::new_v4();
        let dir = streams.join(id.to_string());
        create_dirs(&dir).and_then(|()| sync_dir(&streams)).map_err(|source| BufferError::unwritable(&dir, source))?;
        Self::lock(&streams, id)?.ok_or(BufferError::Locked { path: dir })
    }

    /// True when it has been written to: a log always has a last segment.
    fn has_log(&self) -> bool {
        fs::read_dir(&self.dir)
            .is_ok_and(|entries| entries.flatten().any(|entry| segment::first_seq(&entry.path()).is_some()))
    }

    fn lock(streams: &Path, id: Uuid) -> Result<Option<Self>, BufferError> {
        let dir = streams.join(id.to_string());
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let lock = options.open(&path).map_err(|source| BufferError::unwritable(&path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { id, dir, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(BufferError::CannotLock { path, source }),
        }
    }
}

/// Ids of the streams that are there, in a fixed order.
fn existing(streams: &Path) -> io::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(streams)? {
        let entry = entry?;
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

fn create_dirs(path: &Path) -> io::Result<()> {
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
    use super::*;

    #[test]
    fn living_processes_never_share_a_stream_and_dead_ones_leave_theirs() {
        let dir = tempfile::tempdir().expect("dir");
        let first = Stream::claim(dir.path()).expect("first");
        let second = Stream::claim(dir.path()).expect("second");
        assert_ne!(first.id, second.id);
        let left = first.id;
        segment::create(&segment::path(&first.dir, 1)).expect("a segment");
        drop(first);
        assert_eq!(Stream::claim(dir.path()).expect("third").id, left);
        assert!(second.dir.exists());
    }

    #[test]
    fn a_stream_that_has_lost_its_log_is_not_continued() {
        let dir = tempfile::tempdir().expect("dir");
        let lost = Stream::claim(dir.path()).expect("first").id;
        assert_ne!(Stream::claim(dir.path()).expect("second").id, lost);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_look_inside() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("dir");
        let stream = Stream::claim(&dir.path().join("data")).expect("stream");
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("data")), 0o700);
        assert_eq!((mode(&stream.dir), mode(&stream.dir.join("lock"))), (0o700, 0o600));
    }
}
