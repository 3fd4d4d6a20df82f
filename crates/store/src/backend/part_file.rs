//! A file that gets its name only when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Result, StoreError};

/// A file under a temporary name, which only its owner can read. Removed when it is dropped.
#[derive(Debug)]
pub struct PartFile {
    path: PathBuf,
}

impl PartFile {
    /// Makes an empty file for what will be `to`, in the same folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(to: &Path) -> Result<Self> {
        let path = with_suffix(to, &format!(".part-{}", std::process::id()));
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path })
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until what was written to it is on disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<()> {
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(|error| unwritable(&self.path, &error))
    }

    /// Gives it its name, in place of whatever has it; on disk when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_at(self, to: &Path) -> Result<()> {
        fs::rename(&self.path, to).and_then(|()| sync_folder_of(to)).map_err(|error| unwritable(to, &error))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // It has its name, or is of no use.
        let _ = fs::remove_file(&self.path);
    }
}

/// Refuses to replace a file, unless that is wanted.
///
/// # Errors
/// When there is one and it is not.
pub fn refuse_existing(to: &Path, overwrite: bool) -> Result<()> {
    if to.exists() && !overwrite {
        let to = to.display();
        return Err(StoreError::CannotOpen(format!("{to} exists: name another file, or add --force to replace it")));
    }
    Ok(())
}

/// Waits until a file's name is on disk.
///
/// # Errors
/// When the disk refuses.
pub fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// `path` with something behind its name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Says that a file cannot be written.
pub fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::CannotOpen(format!("{} cannot be written ({error})", path.display()))
}
