//! Moving the write-ahead log into the database, beside the writer.
//!
//! A thread of its own copies most of the log, so that the writer does not wait for it. SQLite can begin the log anew only
//! when all of it has been copied and the writer is still appending meanwhile; so the writer copies the small rest itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use taskplane_store::StoreError;

use crate::errors::Done;
use crate::open::{BUSY_TIMEOUT, PAGE_SIZE, open_another};

/// From here on the log is copied.
const COPY_FRAMES: u64 = (32 << 20) / PAGE_SIZE;
/// From here on the writer stops for it.
const STOP_FRAMES: u64 = (512 << 20) / PAGE_SIZE;
/// A rest of this size is left to the writer.
const SMALL_REST: i64 = ((2 << 20) / PAGE_SIZE).cast_signed();
/// Most rounds in a row.
const ROUNDS: u32 = 4;
/// Least time between two attempts: readers can keep the log from beginning anew for a while.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the writer may stop for the log, and for how long: many who read by turns must not stop it for as long.
const STOP_EVERY: Duration = Duration::from_secs(60);
const STOP_FOR: Duration = Duration::from_secs(1);

/// How long the log is, known after every commit, and who has to do something about it.
#[derive(Debug)]
pub(crate) struct WalGauge {
    frames: AtomicU64,
    rest_is_small: AtomicBool,
    /// Somebody reads a state so old that most of the log cannot be copied, such as a backup: stopping would not help.
    is_held: AtomicBool,
    stopped_at: Mutex<Option<Instant>>,
    wake: SyncSender<()>,
}

/// The checkpoint thread; ends when the gauge's last owner is gone.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    thread: Option<JoinHandle<()>>,
}

impl WalGauge {
    /// Notes how many frames the log has.
    pub(crate) fn set_frames(&self, frames: u64) {
        self.frames.store(frames, Ordering::Relaxed);
    }

    /// Has the log copied soon, however short it is.
    pub(crate) fn copy_now(&self) {
        // Full means that the thread is about to do it.
        let _ = self.wake.try_send(());
    }

    /// Called by the writer between transactions.
    pub(crate) fn tend(&self, db: &Connection) {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < COPY_FRAMES {
            return;
        }
        let done = if frames > STOP_FRAMES && !self.is_held.load(Ordering::Relaxed) && self.may_stop() {
            stop_and_empty(db)
        } else if self.rest_is_small.swap(false, Ordering::Relaxed) {
            checkpoint(db, "PASSIVE")
        } else {
            // Full means that the thread is at work or about to be.
            let _ = self.wake.try_send(());
            return;
        };
        if let Err(fault) = done {
            tracing::warn!(?fault, "the write-ahead log could not be copied into the database; trying again");
        }
    }

    fn may_stop(&self) -> bool {
        let mut stopped_at = self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner);
        let may = stopped_at.is_none_or(|at| at.elapsed() > STOP_EVERY);
        if may {
            *stopped_at = Some(Instant::now());
        }
        may
    }
}

impl Checkpointer {
    /// Starts the thread. The thread ends when the returned gauge is dropped everywhere.
    pub(crate) fn start(file: PathBuf) -> Result<(Self, Arc<WalGauge>), StoreError> {
        let (wake, woken) = sync_channel(1);
        let gauge = Arc::new(WalGauge {
            frames: AtomicU64::new(0),
            rest_is_small: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            stopped_at: Mutex::new(None),
            wake,
        });
        let weak = Arc::downgrade(&gauge);
        let run = move || {
            let note = |rest: i64| {
                if let Some(gauge) = weak.upgrade() {
                    let is_held = rest > SMALL_REST;
                    gauge.is_held.store(is_held, Ordering::Relaxed);
                    gauge.rest_is_small.store(!is_held, Ordering::Relaxed);
                }
            };
            copy_when_woken(&file, &woken, note);
        };
        let thread = thread::Builder::new().name("store-checkpoint".into()).spawn(run);
        let thread = thread.map_err(|error| StoreError::CannotOpen(format!("no thread can be started ({error})")))?;
        Ok((Self { thread: Some(thread) }, gauge))
    }
}

impl Drop for Checkpointer {
    /// Waits for the thread, which ends when the writer's gauge has gone.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's checkpoint thread had panicked");
        }
    }
}

fn copy_when_woken(file: &Path, woken: &Receiver<()>, note_rest: impl Fn(i64)) {
    let mut db: Option<Connection> = None;
    while woken.recv().is_ok() {
        let began = Instant::now();
        // Opened late: a command line that makes a token never needs it.
        match copy(&mut db, file) {
            Ok(rest) => note_rest(rest),
            Err(fault) => {
                tracing::warn!(error = %fault.into_error(file), "the write-ahead log could not be copied; trying again");
            }
        }
        thread::sleep(PAUSE.saturating_sub(began.elapsed()));
    }
}

/// Returns how many frames somebody who reads an old state keeps from being copied.
fn copy(db: &mut Option<Connection>, file: &Path) -> Done<i64> {
    let db = match db {
        Some(db) => db,
        None => {
            let opened = open_another(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            opened.pragma_update(None, "wal_autocheckpoint", 0)?;
            opened.pragma_update(None, "synchronous", "FULL")?;
            db.insert(opened)
        }
    };
    let mut rest = 0;
    for _ in 0..ROUNDS {
        rest = checkpoint(db, "PASSIVE")?;
        if rest <= SMALL_REST {
            break;
        }
    }
    Ok(rest)
}

/// Waits for readers to let go of the log, copies all of it and begins it anew.
fn stop_and_empty(db: &Connection) -> Done<i64> {
    db.busy_timeout(STOP_FOR)?;
    let done = checkpoint(db, "TRUNCATE");
    db.busy_timeout(BUSY_TIMEOUT)?;
    if let Ok(rest) = done
        && rest != 0
    {
        tracing::warn!("the write-ahead log grows because somebody has been reading an old state of it for long");
    }
    done
}

/// Copies what can be copied; returns how many frames that are in the log now have not been.
fn checkpoint(db: &Connection, mode: &str) -> Done<i64> {
    let sql = match mode {
        "TRUNCATE" => "PRAGMA wal_checkpoint(TRUNCATE)",
        _ => "PRAGMA wal_checkpoint(PASSIVE)",
    };
    let (frames, copied) = db.query_row(sql, [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
    Ok(frames - copied)
}
