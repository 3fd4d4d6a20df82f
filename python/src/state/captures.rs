//! The file that this process's hooks write to, begun with the first event.

use std::time::{Duration, Instant};

use taskplane_agent::capture::{CaptureOptions, Writer};
use taskplane_model::Timestamp;

use crate::settings::Settings;

/// Pause after no file could be begun.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Captures {
    writer: Option<Writer>,
    retry_at: Option<Instant>,
    captured: u64,
    /// Events that no writer was there for.
    unwritten: u64,
}

impl Captures {
    pub(super) const fn new() -> Self {
        Self { writer: None, retry_at: None, captured: 0, unwritten: 0 }
    }

    pub(super) fn event(&mut self, settings: &Settings, original: Option<&[u8]>, ts: Timestamp, event: &str) {
        match self.writer(settings) {
            Some(writer) => {
                writer.event_with_original(original, ts, event);
                self.captured += 1;
            }
            None => self.unwritten += 1,
        }
    }

    /// Events captured, and events lost.
    pub(super) fn counts(&self) -> (u64, u64) {
        let lost = self.unwritten + self.writer.as_ref().map_or(0, Writer::lost);
        (self.captured, lost)
    }

    fn writer(&mut self, settings: &Settings) -> Option<&mut Writer> {
        if self.writer.is_none() && self.retry_at.is_none_or(|at| Instant::now() >= at) {
            self.writer = Writer::open(&settings.captures, CaptureOptions::default()).ok();
            self.retry_at = self.writer.is_none().then(|| Instant::now() + RETRY_AFTER);
        }
        self.writer.as_mut()
    }
}
