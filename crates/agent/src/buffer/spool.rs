//! The buffer as async code shares it: work on the disk happens on blocking threads, its state can be watched.

use std::sync::{Arc, Mutex, PoisonError};

use taskplane_model::Timestamp;
use taskplane_model::agent::BufferReport;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Buffer, SealedBatch};

/// How the buffer stands.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Last sealed batch.
    pub last_sealed: u64,
    /// Up to here the brain has everything.
    pub acked: u64,
    /// How full it is.
    pub report: BufferReport,
    /// What is wrong with the disk, for people.
    pub trouble: Option<String>,
}

/// A shared [`Buffer`]. Cheap to clone.
#[derive(Clone)]
pub struct Spool {
    buffer: Arc<Mutex<Buffer>>,
    status: watch::Sender<Status>,
    stream_id: Uuid,
}

impl Spool {
    /// Shares `buffer`.
    pub fn new(buffer: Buffer) -> Self {
        let status = watch::Sender::new(status_of(&buffer));
        let stream_id = buffer.stream_id();
        Self { buffer: Arc::new(Mutex::new(buffer)), status, stream_id }
    }

    /// The stream's id.
    pub fn stream_id(&self) -> Uuid {
        self.stream_id
    }

    /// Appends events, and tells whether some now wait to be sealed. Blocks on the disk.
    pub fn append_all_blocking(&self, events: &[(Timestamp, String)]) -> bool {
        self.with(|buffer| {
            buffer.append_all(events.iter().map(|(ts, event)| (*ts, event.as_bytes())));
            buffer.has_pending()
        })
    }

    /// Counts events that were dropped before they came here, see [`Buffer::count_lost`]. Blocks on the disk.
    pub fn count_lost_blocking(&self, events: u64) {
        self.with(|buffer| buffer.count_lost(events));
    }

    /// Seals what is pending, and tells whether some still waits. Blocks on the disk.
    pub fn seal_blocking(&self) -> bool {
        self.with(|buffer| {
            buffer.seal();
            buffer.has_pending()
        })
    }

    /// The first batch after `seq`, see [`Buffer::next_after`].
    pub async fn next_after(&self, seq: u64) -> Option<SealedBatch> {
        self.on_blocking_thread(move |buffer| buffer.next_after(seq)).await.flatten()
    }

    /// Forgets everything up to `seq`, see [`Buffer::ack`].
    pub async fn ack(&self, seq: u64) {
        self.on_blocking_thread(move |buffer| buffer.ack(seq)).await;
    }

    /// Splits a batch, see [`Buffer::split`].
    pub async fn split(&self, seq: u64) -> bool {
        self.on_blocking_thread(move |buffer| buffer.split(seq)).await.unwrap_or(false)
    }

    /// Drops a batch that the brain refuses, see [`Buffer::give_up`].
    pub async fn give_up(&self, seq: u64) {
        self.on_blocking_thread(move |buffer| buffer.give_up(seq)).await;
    }

    /// Bounds batches that are sealed from now on, see [`Buffer::seal_below`].
    pub async fn seal_below(&self, bytes: usize) {
        self.on_blocking_thread(move |buffer| buffer.seal_below(bytes)).await;
    }

    /// Removes the stream from the disk, see [`Buffer::remove`]. False, and nothing happens, while it is shared.
    pub async fn remove(self) -> bool {
        let Ok(buffer) = Arc::try_unwrap(self.buffer) else { return false };
        let buffer = buffer.into_inner().unwrap_or_else(PoisonError::into_inner);
        tokio::task::spawn_blocking(|| buffer.remove()).await.is_ok()
    }

    /// Watches batches being sealed and acked.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// How it stands now, without waiting for the disk.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    async fn on_blocking_thread<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Buffer) -> R + Send + 'static,
    ) -> Option<R> {
        let spool = self.clone();
        tokio::task::spawn_blocking(move || spool.with(work)).await.ok()
    }

    fn with<R>(&self, work: impl FnOnce(&mut Buffer) -> R) -> R {
        // A panic while it was locked leaves at worst a batch unread; the file is still a log.
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut buffer);
        let now = status_of(&buffer);
        self.status.send_if_modified(|status| {
            let moved = (status.last_sealed, status.acked) != (now.last_sealed, now.acked);
            *status = now;
            moved
        });
        result
    }
}

fn status_of(buffer: &Buffer) -> Status {
    Status {
        last_sealed: buffer.last_sealed(),
        acked: buffer.acked(),
        report: buffer.report(),
        trouble: buffer.trouble().map(str::to_owned),
    }
}
