//! Which binary is measured, and where its data is.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::brain_process::BrainStore;

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
}
