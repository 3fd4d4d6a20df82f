//! A batch that the brain refuses as too large becomes two.
//!
//! The first half keeps the number. The second half is appended once more and becomes the newest batch, under the next number;
//! whatever was sealed between keeps its number as well. Order does not matter to what the brain makes of events. One record,
//! behind the copies, says both that they are a batch and that the old one ends before them: before it is there nothing has
//! happened, and afterwards everything has.
//!
//! "A sealed batch never changes" is what lets the brain tell a batch that comes again from another one under the same number.
//! So only a batch that the brain certainly never stored may be split: it refused its frame, and the first ack of a later
//! connection was below its number. Who calls this answers for that.

use super::Buffer;
use super::batch::Found;
use super::record::{self, Cut, Seal};
use super::recovery::Short;

impl Buffer {
    /// Splits batch `seq` in two, durably. False when it has one event, is not there, or the disk refuses; then nothing has
    /// changed.
    pub fn split(&mut self, seq: u64) -> bool {
        // What is appended next must not come between.
        self.seal();
        if self.pending.events > 0 {
            return false;
        }
        let Some(whole) = self.find(seq) else { return false };
        let Some((first, at)) = whole.events.middle().and_then(|first| Some((first, whole.events.offset(first)?)))
        else {
            return false;
        };
        self.move_away(&whole, first, Cut { of: seq, at })
    }

    fn move_away(&mut self, whole: &Found, first: usize, cut: Cut) -> bool {
        let Some(active) = self.segments.back() else { return false };
        let (before, moved) = (active.len, (whole.events.len() - first) as u32);
        let seal = Seal { seq: self.next_seq, start: active.sealed_len, events: moved };
        let mut bytes = Vec::new();
        for (ts, event) in whole.events.from(first) {
            record::put_copy(&mut bytes, ts, cut, event);
        }
        record::put_move(&mut bytes, seal, cut);
        // Nothing is dropped for it: that might be the batch itself. The bound of the buffer is passed by half a batch.
        if let Err(error) = self.write_without_dropping(&bytes) {
            self.troubles.cannot_write(&error);
            return false;
        }
        if let Err(error) = self.disk.sync(&self.active) {
            self.troubles.cannot_sync(&error);
            if let Some(active) = self.segments.back_mut() {
                active.len = before;
            }
            self.cut_active();
            return false;
        }
        let short = self.shortened.entry(cut.of).or_insert(Short { at: cut.at, moved: 0 });
        *short = Short { at: cut.at, moved: short.moved.saturating_add(moved) };
        if let Some(holder) = self.segments.iter_mut().find(|s| s.last_seq.is_some_and(|last| last >= cut.of)) {
            holder.events = holder.events.saturating_sub(u64::from(moved));
        }
        self.reader = None;
        self.count_sealed(seal);
        true
    }

    /// The brain refuses batch `seq`, and it cannot be made smaller: it is dropped, with all before it, and counted.
    pub fn give_up(&mut self, seq: u64) {
        if seq <= self.acked || seq >= self.next_seq {
            return;
        }
        let before = self.report().events;
        self.ack(seq);
        let events = before.saturating_sub(self.report().events);
        self.dropped = self.dropped.saturating_add(events);
        tracing::error!(seq, events, "a batch that the brain refuses was dropped");
    }

    /// Makes batches that are sealed from now on shorter than `bytes`, when they are not already.
    pub fn seal_below(&mut self, bytes: usize) {
        self.options.seal_bytes = self.options.seal_bytes.min(bytes);
    }

    fn find(&mut self, seq: u64) -> Option<Found> {
        if seq <= self.acked || self.disk.may_read().is_err() {
            return None;
        }
        let (index, from) = self.place_of(seq - 1);
        let segment = self.segments.get(index)?;
        let mut batches = super::batch::Batches::new(&segment.path, from.offset, segment.sealed_len, from.seq).ok()?;
        loop {
            let mut found = batches.next().ok()?.ok()?;
            if found.seq() >= seq {
                self.shorten(&mut found);
                return (found.seq() == seq).then_some(found);
            }
        }
    }
}
