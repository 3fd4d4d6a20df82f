//! What hooks remember from one signal to the next. All of it is bounded: of what never comes to an end, the oldest goes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use taskplane_model::Timestamp;

/// Messages that are being published; more threads than that hardly publish at once.
const PUBLISHING: usize = 256;
/// Tasks that run here, or were left without a word.
const RUNNING: usize = 4096;
/// Retried tasks that are with this worker.
const ATTEMPTS: usize = 4096;
/// Tasks that failed last.
const FAILED: usize = 32;
/// Progress of one task is told so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// A message on its way to the broker, and what only is known before it is there.
pub(crate) struct Publishing {
    pub(crate) id: String,
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) at: Timestamp,
}

struct Running {
    began: Instant,
    told: Option<Instant>,
}

struct Heartbeat {
    at: Instant,
    numbers: (u64, u64),
}

pub(super) struct Memory {
    publishing: VecDeque<Publishing>,
    attempts: VecDeque<(String, u32)>,
    /// By task; made with the first one, since a map cannot be made before the program runs.
    running: Option<HashMap<String, Running>>,
    heartbeat: Option<Heartbeat>,
    /// The worker that this process is.
    worker: Option<String>,
    failed: VecDeque<String>,
}

impl Memory {
    pub(super) const fn new() -> Self {
        Self {
            publishing: VecDeque::new(),
            attempts: VecDeque::new(),
            running: None,
            heartbeat: None,
            worker: None,
            failed: VecDeque::new(),
        }
    }

    pub(super) fn remember_publishing(&mut self, publishing: Publishing) {
        if self.publishing.len() >= PUBLISHING {
            self.publishing.pop_front();
        }
        self.publishing.push_back(publishing);
    }

    pub(super) fn take_publishing(&mut self, id: &str) -> Option<Publishing> {
        let index = self.publishing.iter().rposition(|publishing| publishing.id == id)?;
        self.publishing.remove(index)
    }

    pub(super) fn remember_attempt(&mut self, id: &str, retries: u32) {
        if self.attempts.len() >= ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back((id.to_owned(), retries));
    }

    pub(super) fn remember_worker(&mut self, name: &str) {
        self.worker = Some(name.to_owned());
    }

    pub(super) fn worker(&self) -> Option<String> {
        self.worker.clone()
    }

    /// A message of this task came, or it runs: it may fail once more.
    pub(super) fn forget_failure(&mut self, id: &str) {
        self.failed.retain(|failed| failed != id);
    }

    /// False when that was told before. Of a task whose time was up, Celery 5.7 says it twice.
    pub(super) fn may_tell_failure(&mut self, id: &str) -> bool {
        if self.failed.iter().any(|failed| failed == id) {
            return false;
        }
        if self.failed.len() >= FAILED {
            self.failed.pop_front();
        }
        self.failed.push_back(id.to_owned());
        true
    }

    pub(super) fn attempt_of(&self, id: &str) -> Option<u32> {
        self.attempts.iter().rev().find(|(known, _)| known == id).map(|(_, retries)| *retries)
    }

    pub(super) fn began(&mut self, id: &str) {
        self.forget_failure(id);
        let running = self.running.get_or_insert_default();
        if running.len() >= RUNNING {
            running.clear();
        }
        running.insert(id.to_owned(), Running { began: Instant::now(), told: None });
    }

    /// How long it ran, now that it has ended.
    pub(super) fn ran_for(&mut self, id: &str) -> Option<Duration> {
        self.running.as_mut()?.remove(id).map(|running| running.began.elapsed())
    }

    pub(super) fn may_tell_progress(&mut self, id: &str, is_last: bool) -> bool {
        let Some(running) = self.running.as_mut().and_then(|running| running.get_mut(id)) else { return true };
        let is_due = is_last || running.told.is_none_or(|told| told.elapsed() >= PROGRESS_EVERY);
        if is_due {
            running.told = Some(Instant::now());
        }
        is_due
    }

    pub(super) fn may_tell_heartbeat(&mut self, numbers: (u64, u64), every: Duration, when_changed: Duration) -> bool {
        let is_due = self
            .heartbeat
            .as_ref()
            .is_none_or(|last| last.at.elapsed() >= if last.numbers == numbers { every } else { when_changed });
        if is_due {
            self.heartbeat = Some(Heartbeat { at: Instant::now(), numbers });
        }
        is_due
    }
}
