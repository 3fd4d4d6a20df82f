//! What all agents together have seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::watch;

/// Counters of a fleet. Each is for reading at rest.
pub(super) struct Tally {
    agents: u64,
    /// Attempts to connect, those refused with 429 or 503, and those without an answer in time.
    pub(super) attempts: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) timeouts: AtomicU64,
    /// Connections that ended after their welcome.
    pub(super) disconnects: AtomicU64,
    pub(super) heartbeats: AtomicU64,
    /// Batches acked, each once.
    pub(super) acked: AtomicU64,
    /// Batches that were acked and that a later welcome did not know.
    pub(super) acks_failed: AtomicU64,
    live: AtomicU64,
    welcomes: Mutex<Vec<Instant>>,
    /// Why the last attempt failed, for the message when all of it does.
    trouble: Mutex<String>,
    changed: watch::Sender<()>,
}

impl Tally {
    pub(super) fn new(agents: usize) -> Self {
        Self {
            agents: agents as u64,
            attempts: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            heartbeats: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            acks_failed: AtomicU64::new(0),
            live: AtomicU64::new(0),
            welcomes: Mutex::new(Vec::with_capacity(agents)),
            trouble: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    pub(super) fn welcomed(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.welcomes.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        self.changed.send_replace(());
    }

    pub(super) fn disconnected(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
        self.disconnects.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn acked(&self, batches: u64) {
        self.acked.fetch_add(batches, Ordering::Relaxed);
        self.changed.send_replace(());
    }

    pub(super) fn note_trouble(&self, what: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Forgets who came and how, before all come again.
    pub(super) fn new_storm(&self) {
        for counter in [&self.attempts, &self.busy, &self.timeouts, &self.disconnects] {
            counter.store(0, Ordering::Relaxed);
        }
        self.welcomes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// When each agent had its last welcomes since the last call of [`Self::new_storm`].
    pub(super) fn back(&self) -> Vec<Instant> {
        self.welcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every agent is connected and has `batches` batches acked.
    pub(super) async fn wait_until_settled(&self, batches: u64, within: Duration) -> Result<()> {
        let mut changes = self.changed.subscribe();
        let until = tokio::time::Instant::now() + within;
        loop {
            let (live, acked) = (self.live.load(Ordering::Relaxed), self.acked.load(Ordering::Relaxed));
            let welcomes = self.welcomes.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
            if live == self.agents && welcomes >= self.agents && acked == batches * self.agents {
                return Ok(());
            }
            if tokio::time::timeout_at(until, changes.changed()).await.is_err() {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
                bail!(
                    "not settled within {} s: {live} of {} agents are connected, {acked} of {} batches acked; the last trouble: {trouble}",
                    within.as_secs(),
                    self.agents,
                    batches * self.agents,
                );
            }
            // Looking at every single change would cost more than the agents do.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
