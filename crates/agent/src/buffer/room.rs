//! Staying within bounds: of the buffer, and of the disk.

use std::io::{self, ErrorKind};

use super::record::put_dropped;
use super::segment::{self, HEADER_BYTES};
use super::{Buffer, Front, Segment};

impl Buffer {
    /// Appends `bytes` to the active segment, dropping the oldest batches where that makes room. False when the disk takes
    /// nothing; then the segment is as it was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        while self.bytes_on_disk() + bytes.len() as u64 > self.options.max_bytes && self.drop_oldest_segment() {}
        self.write_where_there_is_room(bytes)
    }

    /// The same, with no other bound than that of the disk: for the few bytes that make a batch of what is there.
    pub(super) fn write_where_there_is_room(&mut self, bytes: &[u8]) -> bool {
        loop {
            let Err(error) = self.write_without_dropping(bytes) else { return true };
            let is_full =
                matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge);
            if !(is_full && self.drop_oldest()) {
                self.troubles.cannot_write(&error);
                return false;
            }
        }
    }

    /// Appends `bytes` to the active segment. When that fails the segment is as it was.
    pub(super) fn write_without_dropping(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.write_with_note(bytes);
        match written {
            Ok(()) => self.troubles.can_write(),
            Err(_) => self.cut_active(),
        }
        written
    }

    fn bytes_on_disk(&self) -> u64 {
        self.segments.iter().map(|s| s.len).sum()
    }

    /// Writes `bytes`, and before them how many events were dropped, if that has changed.
    fn write_with_note(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut note = Vec::new();
        let bytes = if self.dropped == self.noted {
            bytes
        } else {
            put_dropped(&mut note, self.dropped);
            note.extend_from_slice(bytes);
            &note
        };
        let Some(active) = self.segments.back_mut() else { return Err(ErrorKind::NotFound.into()) };
        if self.tail_is_dirty {
            self.disk.cut(&self.active, active.len)?;
            self.tail_is_dirty = false;
        }
        self.disk.write(&self.active, active.len, bytes)?;
        active.len += bytes.len() as u64;
        self.noted = self.dropped;
        Ok(())
    }

    /// Cuts off what stands behind the active segment. Should that fail, it is done before anything else is written.
    pub(super) fn cut_active(&mut self) {
        let Some(len) = self.segments.back().map(|active| active.len) else { return };
        self.tail_is_dirty = self.disk.cut(&self.active, len).is_err();
    }

    /// Drops the oldest batches to give their room back to the disk. False when there is nothing to drop.
    fn drop_oldest(&mut self) -> bool {
        self.drop_oldest_segment() || self.drop_active_batches()
    }

    /// Drops the oldest segment that is not being written.
    fn drop_oldest_segment(&mut self) -> bool {
        if self.segments.len() < 2 {
            return false;
        }
        let lost = self.remove_front();
        self.count_dropped(lost);
        true
    }

    /// Drops the batches of the only segment there is, which is begun anew under the next number, without needing any room.
    fn drop_active_batches(&mut self) -> bool {
        let Some(active) = self.segments.back().filter(|active| active.events > 0 && self.pending.events == 0) else {
            return false;
        };
        let anew = Segment::empty(&self.stream.dir, self.next_seq);
        let lost = active.events.saturating_sub(self.front.events);
        let header = segment::header(anew.first_seq, self.dropped.saturating_add(lost));
        // Whatever of it happens: batches below the number in a segment's name are not there.
        if self.disk.rename(&active.path, &anew.path).is_err() {
            return false;
        }
        let emptied =
            self.disk.write(&self.active, 0, &header).and_then(|()| self.disk.cut(&self.active, HEADER_BYTES));
        #[cfg(test)]
        if let Some(room) = &mut self.disk.faults.room {
            *room += active.len as usize;
        }
        self.segments = [anew].into();
        self.tail_is_dirty = emptied.is_err();
        self.acked = self.next_seq - 1;
        self.front = Front::of(self.next_seq);
        self.reader = None;
        self.count_dropped(lost);
        self.look_at_front();
        true
    }

    /// Removes the first segment, and returns how many events in it were not acked.
    pub(super) fn remove_front(&mut self) -> u64 {
        let Some(front) = self.segments.pop_front() else { return 0 };
        if let Err(error) = self.disk.remove(&front.path) {
            tracing::warn!(%error, path = %front.path.display(), "a segment of the buffer could not be removed");
        }
        let lost = front.events.saturating_sub(self.front.events);
        self.acked = self.acked.max(front.last_seq.unwrap_or(0));
        self.front = Front::of(self.segments.front().map_or(self.next_seq, |first| first.first_seq));
        self.look_at_front();
        lost
    }

    /// Counts what was dropped of the batches that are not there any more.
    pub(super) fn count_dropped(&mut self, events: u64) {
        let unknown = self.damage.settle_dropped(self.acked);
        self.dropped = self.dropped.saturating_add(events).saturating_add(unknown);
        self.forget_shortened();
        if events > 0 {
            tracing::warn!(events, dropped = self.dropped, "the buffer is full: the oldest events were dropped");
        }
    }

    /// Forgets about batches that are not there any more.
    pub(super) fn forget_shortened(&mut self) {
        if self.shortened.first_key_value().is_some_and(|(seq, _)| *seq <= self.acked) {
            self.shortened = self.shortened.split_off(&(self.acked + 1));
        }
    }
}
