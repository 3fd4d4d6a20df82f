//! Which binary is measured, and where its data is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::brain_process::BrainStore;
use crate::fill::manifest::Manifest;

/// What every measurement of a brain is told.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The taskplane binary to measure.
    #[arg(long, default_value = "target/release/taskplane")]
    pub(crate) binary: PathBuf,
    /// Where the brain's folder is made; the default is the system's folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Keep the data in this PostgreSQL database instead of a folder; what is in it stays there. It should be a fresh one.
    #[arg(long, value_name = "URL", hide_env_values = true, conflicts_with = "folder")]
    database_url: Option<String>,
}

/// A store for one measurement. A folder goes when this is dropped.
pub(crate) struct FreshStore {
    pub(crate) store: BrainStore,
    _folder: tempfile::TempDir,
}

impl Target {
    /// Makes the place for the brain's data.
    pub(crate) fn fresh_store(&self) -> Result<FreshStore> {
        let folder = match &self.folder {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        }
        .context("making a folder for the brain")?;
        let store = match &self.database_url {
            Some(url) => BrainStore::Database(url.clone()),
            None => BrainStore::Folder(folder.path().join("data")),
        };
        Ok(FreshStore { store, _folder: folder })
    }

    /// A copy of the store that `fill` has made in the folder `filled`, and what is known of it. A database is not copied: what is
    /// done is done to itself.
    pub(crate) fn copy_of(&self, filled: &Path) -> Result<(FreshStore, Manifest)> {
        let shown = filled.display();
        let manifest = Manifest::read(filled)?;
        let manifest = manifest.with_context(|| format!("{shown} has no fill.json; run `fill` first"))?;
        let fresh = self.fresh_store()?;
        if let BrainStore::Folder(folder) = &fresh.store {
            let from = filled.join("data");
            copy(&from, folder).with_context(|| format!("copying {} to {}", from.display(), folder.display()))?;
        }
        Ok((fresh, manifest))
    }
}

/// Copies the files of a folder, and waits until they are on disk: else the disk would still be writing them when the brain is
/// measured.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let copy = to.join(entry.file_name());
            fs::copy(entry.path(), &copy)?;
            File::open(&copy)?.sync_all()?;
        }
    }
    Ok(())
}
