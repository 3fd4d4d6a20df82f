//! One brain a folder: a lock that the brain holds, and where that brain can be reached.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use taskplane_store::StoreError;

/// Name of the lock's file in the store's folder; what is in it is the address of the brain that held it last.
const FILE_NAME: &str = "brain.lock";
/// Longest address that is read back, in bytes.
const MAX_ADDRESS_BYTES: u64 = 2_000;

/// Held by the one brain of a folder. Given up when it is dropped, and when the process ends in any way.
#[derive(Debug)]
pub struct Claim {
    file: File,
}

impl Claim {
    /// Claims `folder`, which [`crate::SqliteStore::open`] has made.
    ///
    /// # Errors
    /// When another brain has it, or the lock cannot be made.
    pub fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE_NAME);
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::CannotOpen(format!("the lock {} cannot be taken: {error}", path.display()))
        };
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::CannotOpen(format!(
                "another brain runs on the folder {}{}: stop it first, or give this one a folder of its own",
                folder.display(),
                address(folder).map(|address| format!(", at {address}")).unwrap_or_default(),
            ))),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    /// Leaves word where this brain is reached, for other programs on this host. Nothing depends on it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn announce(&mut self, address: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(address.as_bytes())
    }
}

/// True while a brain runs on `folder`.
pub fn is_held(folder: &Path) -> bool {
    let file = File::open(folder.join(FILE_NAME));
    // Shared, and given up at once: two who ask do not take each other for a brain.
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Where the brain of `folder` is, or was last, reached.
pub fn address(folder: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(folder.join(FILE_NAME)).ok()?.take(MAX_ADDRESS_BYTES).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_brain_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = Claim::take(folder.path()).expect("free");
        first.announce("http://127.0.0.1:7440").expect("written");
        let refusal = Claim::take(folder.path()).expect_err("taken").to_string();
        assert!(refusal.contains("at http://127.0.0.1:7440"), "{refusal}");
        assert!(is_held(folder.path()));
        drop(first);
        assert!(!is_held(folder.path()));
        Claim::take(folder.path()).expect("free again");
        assert_eq!(address(folder.path()).as_deref(), Some("http://127.0.0.1:7440"));
    }
}
