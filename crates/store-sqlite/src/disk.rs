//! What is asked of the disk beside the database.

use std::io;
use std::path::Path;

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    /// What this user may still fill.
    pub(crate) free: u64,
    /// Its size.
    pub(crate) total: u64,
}

/// Room on the disk of `path`, which exists.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
}
