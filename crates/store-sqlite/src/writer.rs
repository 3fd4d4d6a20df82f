//! The one thread that writes: jobs come through a bounded channel, each is one transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use taskplane_store::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::caches::Caches;
use crate::checkpoint::WalGauge;
use crate::errors::{Done, Fault};

/// Jobs that may wait. A caller beyond it waits for a place, which is how storage slows the gateway down.
const WAITING_JOBS: usize = 64;

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// A transaction at work.
pub(crate) struct Tx<'a> {
    /// The write connection, inside a transaction.
    pub(crate) db: &'a Connection,
    /// What is known of the database without asking it.
    pub(crate) caches: &'a mut Caches,
}

/// Sends work to the writer's thread, and ends the thread when dropped.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Writer {
    // Before the connection, which is the last one to close: they may have one of their own.
    caches: Caches,
    db: Connection,
    file: PathBuf,
    /// SQLite's mark of the state that the caches reflect; it changes when another connection commits.
    data_version: i64,
    wal: Arc<WalGauge>,
}

impl WriterHandle {
    /// Starts the thread on an open connection.
    pub(crate) fn start(mut db: Connection, file: PathBuf, wal: Arc<WalGauge>) -> Result<Self, StoreError> {
        let gauge = Arc::clone(&wal);
        let hook = db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            gauge.set_frames(u64::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        hook.map_err(|error| Fault::from(error).into_error(&file))?;
        let (jobs, mut queue) = mpsc::channel::<Job>(WAITING_JOBS);
        let mut writer = Writer { db, file, caches: Caches::new()?, data_version: 0, wal };
        let run = move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut writer);
                writer.wal.tend(&writer.db);
            }
        };
        let thread = thread::Builder::new().name("store-writer".into()).spawn(run);
        let thread = thread.map_err(|error| StoreError::CannotOpen(format!("no thread can be started ({error})")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` in one transaction that is on disk when this returns. On any error nothing of it remains.
    pub(crate) async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            // The caller may have gone; the work is done all the same.
            let _ = answer.send(writer.transact(work));
        });
        let gone = || StoreError::Internal("the store's writer has ended".into());
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Writer {
    fn transact<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Done<T>) -> Result<T, StoreError> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(work)))
            .unwrap_or_else(|_| Err(StoreError::Internal("a write panicked; see the log above".into()).into()));
        outcome.map_err(|fault| {
            self.undo();
            fault.into_error(&self.file)
        })
    }

    fn run<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Done<T>) -> Done<T> {
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let version: i64 = self.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version != self.data_version {
            self.caches.clear();
            self.data_version = version;
        }
        let result = work(&mut Tx { db: &self.db, caches: &mut self.caches })?;
        self.db.prepare_cached("COMMIT")?.execute([])?;
        Ok(result)
    }

    /// Takes back what a failed transaction did, in the file and in the caches.
    fn undo(&mut self) {
        self.caches.clear();
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }
}
