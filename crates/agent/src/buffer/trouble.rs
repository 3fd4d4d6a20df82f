//! What is wrong with the disk: said once when it begins and once when it is over, and told to the brain in between.

use std::io;

/// What the disk refuses.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    writing: Option<String>,
    syncing: Option<String>,
    reading: Option<String>,
    beginning: Option<String>,
}

impl Troubles {
    /// Events cannot be written.
    pub(super) fn cannot_write(&mut self, error: &io::Error) {
        note(&mut self.writing, error, "the buffer cannot be written: events are dropped until it can");
    }

    /// Events can be written.
    pub(super) fn can_write(&mut self) {
        clear(&mut self.writing, "the buffer can be written again");
    }

    /// What was written may be gone after a loss of power.
    pub(super) fn cannot_sync(&mut self, error: &io::Error) {
        note(&mut self.syncing, error, "the disk refuses to sync the buffer: events may not survive a loss of power");
    }

    /// What is written stays.
    pub(super) fn can_sync(&mut self) {
        clear(&mut self.syncing, "the disk syncs the buffer again");
    }

    /// Batches cannot be read.
    pub(super) fn cannot_read(&mut self, error: &io::Error) {
        note(&mut self.reading, error, "the buffer cannot be read: delivery waits");
    }

    /// Batches can be read.
    pub(super) fn can_read(&mut self) {
        clear(&mut self.reading, "the buffer can be read again");
    }

    /// No new segment can be begun.
    pub(super) fn cannot_begin(&mut self, error: &io::Error) {
        note(&mut self.beginning, error, "the buffer cannot create files: what is delivered gives no room back");
    }

    /// A new segment was begun.
    pub(super) fn can_begin(&mut self) {
        clear(&mut self.beginning, "the buffer can create files again");
    }

    /// What is wrong, for people; `None` when all is well.
    pub(super) fn text(&self) -> Option<&str> {
        [&self.writing, &self.reading, &self.syncing, &self.beginning].into_iter().find_map(Option::as_deref)
    }
}

fn note(trouble: &mut Option<String>, error: &io::Error, what: &str) {
    if trouble.is_none() {
        tracing::warn!(%error, "{what}");
    }
    *trouble = Some(format!("{what} ({error})"));
}

fn clear(trouble: &mut Option<String>, what: &str) {
    if trouble.take().is_some() {
        tracing::info!("{what}");
    }
}
