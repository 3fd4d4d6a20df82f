//! What was lost to damage on the disk.
//!
//! It is counted where delivery passes it, by the batch it was in, and so once, however often it is read. Until that batch is
//! acked it is not written down: after a restart it is found again.

use std::collections::BTreeMap;

/// Events that cannot be read any more, by batch.
#[derive(Debug, Default)]
pub(super) struct Damage {
    lost: BTreeMap<u64, Lost>,
}

/// Events of, or right before, one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Its seal says that they were in it.
    pub(super) sealed: u64,
    /// No seal that can be read knows of them: one for each number that is missing, or more when more were seen.
    pub(super) unknown: u64,
}

impl Lost {
    fn total(self) -> u64 {
        self.sealed.saturating_add(self.unknown)
    }
}

impl Damage {
    /// Notes what was lost of batch `seq` and right before it.
    pub(super) fn note(&mut self, seq: u64, lost: Lost) {
        let events = lost.total();
        if events > 0 && self.lost.insert(seq, lost) != Some(lost) {
            tracing::error!(events, seq, "the buffer is damaged on disk: events were lost");
        }
    }

    /// Events lost in batches that wait to be acked.
    pub(super) fn events(&self) -> u64 {
        self.lost.values().fold(0, |sum, lost| sum.saturating_add(lost.total()))
    }

    /// Forgets the batches up to `seq`, and tells how many events were lost in them.
    pub(super) fn settle(&mut self, seq: u64) -> u64 {
        self.forget(seq).fold(0, |sum, lost| sum.saturating_add(lost.total()))
    }

    /// Forgets the batches up to `seq`, whose events are counted as dropped by what their seals say, and tells what else was
    /// lost.
    pub(super) fn settle_dropped(&mut self, seq: u64) -> u64 {
        self.forget(seq).fold(0, |sum, lost| sum.saturating_add(lost.unknown))
    }

    fn forget(&mut self, seq: u64) -> impl Iterator<Item = Lost> + use<> {
        let later = self.lost.split_off(&seq.saturating_add(1));
        std::mem::replace(&mut self.lost, later).into_values()
    }
}
