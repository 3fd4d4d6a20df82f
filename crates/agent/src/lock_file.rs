//! Locks between processes: a file that is held locked, and given up by a forked child.
//!
//! The kernel releases a lock when its process ends, however it ends. A child that was forked meanwhile shares the lock,
//! though, and would keep it after its parent's death: [`forget_inherited_locks`] closes the child's share.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, TryLockError as Busy};
use std::time::Duration;

/// Attempts to get at the list of lock files, which is never held for longer than a few memory accesses.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// All lock files that this process holds, each with a number of its own.
static HELD: Mutex<Held> = Mutex::new(Held { files: Vec::new(), next: 0 });

struct Held {
    files: Vec<(u64, File)>,
    next: u64,
}

/// A lock file, ours as long as this lives.
#[derive(Debug)]
pub(crate) struct LockFile {
    number: u64,
    /// Where it could not be put with the others.
    own: Option<File>,
}

/// Why it is not known whether the lock is free.
#[derive(Debug)]
pub(crate) enum LockError {
    /// The file cannot be created.
    Unwritable(io::Error),
    /// The file system knows no locks.
    CannotLock(io::Error),
}

impl From<LockError> for io::Error {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Unwritable(error) | LockError::CannotLock(error) => error,
        }
    }
}

impl LockFile {
    /// Locks the file at `path`, which is created where it is missing, mode 0600. `None` when another process has it, or
    /// removed it a moment ago.
    pub(crate) fn acquire(path: &Path) -> Result<Option<Self>, LockError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = options.open(path).map_err(LockError::Unwritable)?;
        match file.try_lock() {
            Ok(()) if is_same_file(&file, path) => Ok(Some(Self::hold(file))),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(LockError::CannotLock(source)),
        }
    }

    fn hold(file: File) -> Self {
        match held() {
            Some(mut held) => {
                let number = held.next;
                held.next += 1;
                held.files.push((number, file));
                Self { number, own: None }
            }
            None => Self { number: u64::MAX, own: Some(file) },
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if let (None, Some(mut held)) = (&self.own, held()) {
            held.files.retain(|(number, _)| *number != self.number);
        }
    }
}

/// `None` where nobody will ever let go of it: in a child that was forked while another thread of its parent was at it.
fn held() -> Option<MutexGuard<'static, Held>> {
    for _ in 0..ATTEMPTS {
        match HELD.try_lock() {
            Ok(held) => return Some(held),
            Err(Busy::Poisoned(held)) => return Some(held.into_inner()),
            Err(Busy::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
    None
}

/// Closes what a forked child has inherited of its parent's locks, which stay the parent's. To be called in the child, before
/// anything else of this crate; it never waits.
pub fn forget_inherited_locks() {
    let mut held = match HELD.try_lock() {
        Ok(held) => held,
        Err(Busy::Poisoned(held)) => held.into_inner(),
        // Another thread of the parent was at it in the moment of the fork: the child keeps its share.
        Err(Busy::WouldBlock) => return,
    };
    // A number is never used twice: what the child has inherited of the parent's memory does not close the child's own.
    held.files.clear();
}

/// False when `file` is not the one at `path` any more: it was removed.
pub(crate) fn is_same_file(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        file.metadata().ok().map(place) == std::fs::metadata(path).ok().map(place)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}
