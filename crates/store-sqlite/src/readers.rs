//! A few read connections, each used by one blocking thread at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use taskplane_store::StoreError;
use tokio::sync::Semaphore;

use crate::errors::{Done, Fault};
use crate::names::Names;
use crate::open::open_another;

/// Most reads at once. More would only fight for the same cores.
const READERS: usize = 4;
/// Page cache of one reader, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

/// A read at work: one snapshot of the database.
pub(crate) struct View<'a> {
    /// A read-only connection, inside a transaction.
    pub(crate) db: &'a Connection,
    /// Texts of numbered terms, and agents' names.
    pub(crate) names: &'a Names,
}

/// The pool.
#[derive(Debug)]
pub(crate) struct Readers {
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    names: Names,
}

impl Readers {
    /// A pool that opens its connections when they are first needed.
    pub(crate) fn new(file: PathBuf) -> Self {
        let shared = Shared { file, idle: Mutex::default(), names: Names::default() };
        Self { shared: Arc::new(shared), turns: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs `work` on one snapshot.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let internal = |error: &dyn std::fmt::Display| StoreError::Internal(error.to_string());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| internal(&error))?;
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            // The caller may stop waiting; the turn lasts as long as the work does.
            let _turn = turn;
            shared.run(work).map_err(|fault| fault.into_error(&shared.file))
        });
        task.await.map_err(|error| internal(&error))?
    }
}

impl Shared {
    fn run<T>(&self, work: impl FnOnce(&View<'_>) -> Done<T>) -> Done<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut db = idle.map_or_else(|| open_reader(&self.file), Ok)?;
        let snapshot = db.transaction()?;
        let result = work(&View { db: &snapshot, names: &self.names })?;
        drop(snapshot);
        // After an error the connection is closed instead, which is never wrong.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        Ok(result)
    }
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(file: &std::path::Path) -> Result<Connection, Fault> {
    let db = open_another(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}
