//! The store on SQLite: one file, one writer, every acknowledged batch on disk.
//!
//! One thread owns the connection that writes; each verb is one job for it and one transaction. Reads run beside it on a few
//! connections of their own, each on one snapshot. A second process may open the same file, for instance to make a token.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskplane_store::backend::{codec, hashing, paging};
use taskplane_store::{Result, SharedStore, StoreError};

mod access;
pub mod backup;
mod bulk;
mod caches;
mod census;
mod checkpoint;
pub mod checkup;
mod claim;
mod commands;
mod disk;
mod errors;
mod fleet;
#[cfg(test)]
mod full_disk;
mod ids;
mod ingest;
mod links;
mod names;
mod open;
mod readers;
mod retention;
mod rollups;
mod schedules;
mod search;
mod task_ids;
mod tasks;
mod writer;

use checkpoint::{Checkpointer, WalGauge};
pub use claim::{Claim, address, is_held};
use errors::Done;
use readers::{Readers, View};
use writer::{Tx, WriterHandle};

/// A store in one file, `taskplane.db`, of a folder.
#[derive(Debug)]
pub struct SqliteStore {
    // In the order in which they end: readers first, so that the writer's connection, closing last, empties the log.
    readers: Readers,
    writer: WriterHandle,
    wal: Arc<WalGauge>,
    _checkpointer: Checkpointer,
    file: PathBuf,
}

/// A folder has one brain at a time.
impl SharedStore for SqliteStore {}

impl SqliteStore {
    /// Opens the store in `folder`, and makes folder, file and tables where there are none. Another process may have it open.
    pub fn open(folder: &Path) -> std::result::Result<Self, StoreError> {
        let (connection, file) = open::open_for_writing(folder)?;
        let (checkpointer, wal) = Checkpointer::start(file.clone())?;
        let writer = WriterHandle::start(connection, file.clone(), Arc::clone(&wal))?;
        Ok(Self { readers: Readers::new(file.clone()), writer, wal, _checkpointer: checkpointer, file })
    }

    /// True when there is a store in `folder`.
    pub fn exists(folder: &Path) -> bool {
        open::file_in(folder).exists()
    }

    /// Runs `work` as one transaction.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.transact(work).await
    }

    /// Runs `work` on one snapshot.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read(work).await
    }
}
