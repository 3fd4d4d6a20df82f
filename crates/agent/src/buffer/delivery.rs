//! Reading batches back, and forgetting what was acked.

use super::batch::{ReadOn, SealedBatch, read_batch};
use super::record::Record;
use super::segment::{HEADER_BYTES, Item, Scanner};
use super::{Buffer, Segment};

/// Where reading has come to.
pub(super) struct Reader {
    /// The segment that is being read, by its name.
    segment: u64,
    scanner: Scanner,
    /// The last batch that was read.
    after: u64,
}

impl Buffer {
    /// The first batch after `seq` that is there, or `None` when there is none yet. Reading on from the last one read is
    /// cheap, from anywhere else it reads a part of a segment.
    pub fn next_after(&mut self, seq: u64) -> Option<SealedBatch> {
        let seq = seq.max(self.acked);
        let mut reader = match self.reader.take() {
            Some(reader) if reader.after == seq && self.segment(reader.segment).is_some() => reader,
            _ => self.reader_from(seq)?,
        };
        loop {
            let sealed_len = self.segment(reader.segment)?.sealed_len;
            reader.scanner.extend(sealed_len);
            let read_on = read_batch(&mut reader.scanner).unwrap_or_else(|error| {
                tracing::warn!(%error, "a segment of the buffer cannot be read");
                ReadOn::End { torn: true }
            });
            match read_on {
                ReadOn::Batch(batch, lost) => {
                    self.damaged += lost;
                    if batch.seq > seq && batch.events().len() > 0 {
                        reader.after = batch.seq;
                        self.reader = Some(reader);
                        return Some(batch);
                    }
                }
                ReadOn::End { torn } => {
                    if torn {
                        self.damaged += 1;
                        self.rotate_past_damage(reader.segment);
                    }
                    let Some(next) = self.segments.iter().find(|s| s.first_seq > reader.segment) else {
                        self.reader = Some(Reader { after: seq, ..reader });
                        return None;
                    };
                    reader = Self::reader_at(next, HEADER_BYTES, seq)?;
                }
            }
        }
    }

    /// What is appended behind damage in the active segment could not be read: it goes into a new one.
    fn rotate_past_damage(&mut self, segment: u64) {
        if self.pending.events == 0 && self.segments.back().is_some_and(|active| active.first_seq == segment) {
            self.rotate();
        }
    }

    fn segment(&self, first_seq: u64) -> Option<&Segment> {
        self.segments.iter().find(|s| s.first_seq == first_seq)
    }

    fn reader_from(&self, seq: u64) -> Option<Reader> {
        let (index, segment) = self
            .segments
            .iter()
            .enumerate()
            .find(|(_, s)| s.last_seq.is_some_and(|last| last > seq))
            .or_else(|| self.segments.iter().enumerate().next_back())?;
        let from = if index == 0 { self.front.0 } else { HEADER_BYTES };
        Self::reader_at(segment, from, seq)
    }

    fn reader_at(segment: &Segment, from: u64, after: u64) -> Option<Reader> {
        match Scanner::new(&segment.path, from, segment.sealed_len) {
            Ok(scanner) => Some(Reader { segment: segment.first_seq, scanner, after }),
            Err(error) => {
                tracing::warn!(%error, path = %segment.path.display(), "a segment of the buffer cannot be opened");
                None
            }
        }
    }

    /// The brain has everything up to `seq`: forgets it, and removes the segments that it was all of.
    ///
    /// A `seq` that was never given out means that this stream lost its buffer: what is sealed under lower numbers can never
    /// be delivered and is dropped, and the stream goes on after `seq`.
    pub fn ack(&mut self, seq: u64) {
        if seq >= self.next_seq {
            self.continue_after(seq);
        }
        if seq <= self.acked {
            return;
        }
        self.acked = seq;
        while self.segments.len() > 1 && self.segments[0].last_seq.is_none_or(|last| last <= seq) {
            self.remove_front();
        }
        self.pass_acked(seq);
        self.begin_anew_if_all_is_acked();
    }

    fn continue_after(&mut self, seq: u64) {
        let lost = self.report().events - u64::from(self.pending.events);
        tracing::warn!(seq, lost, "the brain has more of this stream than the buffer: going on after that");
        self.dropped += lost;
        self.next_seq = seq + 1;
        if self.seal().is_none() {
            self.rotate();
        }
    }

    /// Moves the front of the first segment behind the batches up to `seq`.
    fn pass_acked(&mut self, seq: u64) {
        let Some(first) = self.segments.front() else { return };
        let passed = passed(first, self.front.0, seq);
        if let Some((offset, events)) = passed {
            self.front = (offset, self.front.1 + events);
            self.look_at_front();
        }
    }

    /// An empty buffer does not keep a long segment of acked batches.
    fn begin_anew_if_all_is_acked(&mut self) {
        let [only] = self.segments.make_contiguous() else { return };
        let long = (1 << 20).min(self.options.segment_bytes());
        if only.len >= long && self.front.0 >= only.len && self.pending.events == 0 {
            self.rotate();
            if self.segments.len() > 1 {
                self.remove_front();
            }
        }
    }

    /// Finds the time of the oldest event that waits.
    pub(super) fn look_at_front(&mut self) {
        let oldest = |segment: &Segment, from| {
            let mut scanner = Scanner::new(&segment.path, from, segment.len).ok()?;
            loop {
                match scanner.next().ok()? {
                    Item::Record { record: Record::Event { ts, .. }, .. } => return Some(ts),
                    Item::Record { .. } | Item::Damaged => {}
                    Item::End { .. } => return None,
                }
            }
        };
        let front = self.front.0;
        self.front_ts = self
            .segments
            .iter()
            .enumerate()
            .find_map(|(index, s)| oldest(s, if index == 0 { front } else { HEADER_BYTES }));
    }
}

/// Offset behind the batches up to `seq` that begin at or after `from`, and their events. `None` when there are none.
fn passed(segment: &Segment, from: u64, seq: u64) -> Option<(u64, u64)> {
    let mut scanner = Scanner::new(&segment.path, from, segment.sealed_len).ok()?;
    let mut passed = None;
    loop {
        match scanner.next().ok()? {
            Item::Record { record: Record::Seal(seal), .. } if seal.seq <= seq => {
                let events = passed.map_or(0, |(_, events)| events);
                // Stale batches of a segment that was begun anew are not counted as waiting.
                let counted = if seal.seq >= segment.first_seq { u64::from(seal.events) } else { 0 };
                passed = Some((scanner.position(), events + counted));
            }
            Item::Record { record: Record::Seal(_), .. } | Item::End { .. } => return passed,
            Item::Record { .. } | Item::Damaged => {}
        }
    }
}
