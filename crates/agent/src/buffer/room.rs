//! Staying within bounds: of the buffer, and of the disk.

use std::fs;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};

use super::record::put_dropped;
use super::segment::{self, HEADER_BYTES};
use super::{Buffer, Segment};

impl Buffer {
    /// Appends `bytes` to the active segment, dropping the oldest batches where that makes room. False when the disk takes
    /// nothing; then the segment is as it was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        while self.bytes_on_disk() + bytes.len() as u64 > self.options.max_bytes && self.drop_oldest_segment() {}
        loop {
            let Err(error) = self.write_with_note(bytes) else {
                self.note_recovery();
                return true;
            };
            self.undo_partial_write();
            let is_full =
                matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge);
            if !(is_full && self.drop_oldest()) {
                self.note_failure(&error);
                return false;
            }
        }
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
        self.write_to_active(bytes)?;
        self.noted = self.dropped;
        if let Some(active) = self.segments.back_mut() {
            active.len += bytes.len() as u64;
        }
        Ok(())
    }

    fn write_to_active(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if let Some(room) = &mut self.disk_room {
            let taken = bytes.len().min(*room);
            *room -= taken;
            self.active.write_all(&bytes[..taken])?;
            return if taken == bytes.len() { Ok(()) } else { Err(ErrorKind::StorageFull.into()) };
        }
        self.active.write_all(bytes)
    }

    fn undo_partial_write(&mut self) {
        let Some(len) = self.segments.back().map(|active| active.len) else { return };
        // Should this fail as well, the next start cuts the tail: it is no whole record.
        let undone = self.active.set_len(len).and_then(|()| self.active.seek(SeekFrom::Start(len)));
        if let Err(error) = undone {
            tracing::warn!(%error, "the buffer could not take back a partial write");
        }
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
        let lost = active.events.saturating_sub(self.front.1);
        let emptied = fs::rename(&active.path, &anew.path)
            .and_then(|()| self.active.seek(SeekFrom::Start(0)))
            .and_then(|_| self.active.write_all(&segment::header(anew.first_seq, self.dropped + lost)))
            .and_then(|()| self.active.set_len(HEADER_BYTES));
        if emptied.is_err() {
            return false;
        }
        #[cfg(test)]
        if let Some(room) = &mut self.disk_room {
            *room += (active.len - HEADER_BYTES) as usize;
        }
        self.segments = [anew].into();
        self.acked = self.next_seq - 1;
        self.front = (HEADER_BYTES, 0);
        self.reader = None;
        self.count_dropped(lost);
        self.look_at_front();
        true
    }

    /// Removes the first segment, and returns how many events in it were not acked.
    pub(super) fn remove_front(&mut self) -> u64 {
        let Some(front) = self.segments.pop_front() else { return 0 };
        if let Err(error) = fs::remove_file(&front.path) {
            tracing::warn!(%error, path = %front.path.display(), "a segment of the buffer could not be removed");
        }
        #[cfg(test)]
        if let Some(room) = &mut self.disk_room {
            *room += front.len as usize;
        }
        let lost = front.events.saturating_sub(self.front.1);
        self.acked = self.acked.max(front.last_seq.unwrap_or(0));
        self.front = (HEADER_BYTES, 0);
        self.look_at_front();
        lost
    }

    pub(super) fn count_dropped(&mut self, events: u64) {
        self.dropped += events;
        if events > 0 {
            tracing::warn!(events, dropped = self.dropped, "the buffer is full: the oldest events were dropped");
        }
    }

    fn note_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "the buffer cannot be written: events are dropped until it can");
        }
    }

    fn note_recovery(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            tracing::info!("the buffer can be written again");
        }
    }
}
