//! Reading batches back, and forgetting what was acked.

use std::io;

use super::batch::{Batches, End, Found, MAX_SEQ, SealedBatch};
use super::damage::Lost;
use super::record::Record;
use super::segment::{HEADER_BYTES, Item, Scanner};
use super::{Buffer, Front, Segment};

/// How often in a row a segment may refuse to be read before the rest of it is given up.
const READ_ATTEMPTS: u32 = 10;

/// Where reading has come to.
pub(super) struct Reader {
    /// The segment that is being read, by its name.
    segment: u64,
    /// Where reading in it began.
    from: Front,
    /// Opened when it is needed.
    batches: Option<Batches>,
    /// The last batch that was delivered.
    after: u64,
    /// The last number of which it is known whether it is there.
    accounted: u64,
    /// Events in the segment up to here, by what the seals say.
    events: u64,
}

impl Reader {
    fn new(segment: &Segment, from: Front, after: u64) -> Self {
        Self { segment: segment.first_seq, from, batches: None, after, accounted: after, events: from.events }
    }

    fn next(&mut self, segment: &Segment) -> io::Result<Result<Found, End>> {
        let batches = match &mut self.batches {
            Some(batches) => batches,
            opened => opened.insert(batches(segment, self.from)?),
        };
        batches.extend(segment.sealed_len);
        batches.next()
    }

    /// True when everything in the segment's sealed batches was read.
    fn is_through(&self, segment: &Segment) -> bool {
        self.batches
            .as_ref()
            .is_some_and(|batches| batches.position() >= segment.sealed_len && batches.unsealed().events.len() == 0)
    }

    /// Ends with this segment, since the next one begins with `next_seq`.
    fn finish(&mut self, next_seq: u64) -> Result<Found, u64> {
        self.batches.as_mut().map_or(Err(0), |batches| batches.finish(next_seq))
    }

    fn go_on(&mut self, next: &Segment) {
        *self = Self { accounted: self.accounted, ..Self::new(next, Front::of(next.first_seq), self.after) };
    }
}

fn batches(segment: &Segment, from: Front) -> io::Result<Batches> {
    Batches::new(&segment.path, from.offset, segment.sealed_len, from.seq)
}

impl Buffer {
    /// The first batch after `seq` that is there, or `None` when there is none yet, or when the disk refuses to give it.
    /// Reading on from the last one read is cheap, from anywhere else it reads a part of a segment.
    pub fn next_after(&mut self, seq: u64) -> Option<SealedBatch> {
        let seq = seq.max(self.acked);
        let mut reader = match self.reader.take() {
            Some(reader) if reader.after == seq && self.segment(reader.segment).is_some() => reader,
            _ => self.reader_from(seq)?,
        };
        loop {
            let index = self.segments.iter().position(|s| s.first_seq == reader.segment)?;
            let read = self.disk.may_read().and_then(|()| reader.next(&self.segments[index]));
            if read.is_ok() {
                self.read_failures = 0;
                self.troubles.can_read();
            }
            let is_given_up = match read {
                Ok(Ok(found)) => {
                    if let Some(batch) = self.delivered(found, &mut reader) {
                        self.reader = Some(reader);
                        return Some(batch);
                    }
                    continue;
                }
                Ok(Err(End { .. })) => {
                    if !reader.is_through(&self.segments[index]) {
                        self.rotate_past_damage(index);
                    }
                    false
                }
                Err(error) => {
                    self.troubles.cannot_read(&error);
                    self.read_failures += 1;
                    if self.read_failures < READ_ATTEMPTS || !self.rotate_past_damage(index) {
                        return None;
                    }
                    self.give_rest_up(index, &mut reader);
                    true
                }
            };
            let Some(next) = self.segments.get(index + 1) else {
                self.reader = Some(reader);
                return None;
            };
            let next_seq = next.first_seq;
            let rest = if is_given_up { Err(0) } else { reader.finish(next_seq) };
            reader.go_on(next);
            match rest {
                Ok(found) => {
                    if let Some(batch) = self.delivered(found, &mut reader) {
                        self.reader = Some(reader);
                        return Some(batch);
                    }
                }
                Err(strays) if strays > 0 && reader.accounted + 1 < next_seq => {
                    let missing = next_seq - 1 - reader.accounted;
                    self.damage.note(next_seq - 1, Lost { sealed: 0, unknown: strays.max(missing) });
                    reader.accounted = next_seq - 1;
                }
                Err(_) => {}
            }
        }
    }

    /// Counts what is missing up to and in a batch that was found; `None` when there is nothing to deliver.
    fn delivered(&mut self, mut found: Found, reader: &mut Reader) -> Option<SealedBatch> {
        self.shorten(&mut found);
        let seq = found.seq();
        reader.events = reader.events.saturating_add(u64::from(found.seal.events));
        if seq <= reader.accounted {
            return None;
        }
        let missing = seq - reader.accounted - 1;
        let unknown = if missing > 0 { missing.max(found.strays) } else { 0 };
        self.damage.note(seq, Lost { sealed: found.unreadable(), unknown });
        reader.accounted = seq;
        if found.events.len() == 0 {
            return None;
        }
        reader.after = seq;
        Some(found.into_batch())
    }

    /// Leaves away what was moved out of a batch.
    pub(super) fn shorten(&self, found: &mut Found) {
        if let Some(short) = self.shortened.get(&found.seq()) {
            found.keep_before(short.at, short.moved);
        }
    }

    /// The rest of a segment cannot be read, again and again.
    fn give_rest_up(&mut self, index: usize, reader: &mut Reader) {
        self.read_failures = 0;
        let segment = &self.segments[index];
        if let Some(last) = segment.last_seq.filter(|last| *last > reader.accounted) {
            let sealed = segment.events.saturating_sub(reader.events);
            tracing::error!(path = %segment.path.display(), "a segment of the buffer cannot be read and is given up");
            self.damage.note(last, Lost { sealed, unknown: 0 });
            reader.accounted = last;
        }
    }

    /// What is appended behind damage in the active segment could not be read: it goes into a new one. False when that cannot
    /// be done yet.
    fn rotate_past_damage(&mut self, index: usize) -> bool {
        if index + 1 == self.segments.len() && self.pending.events == 0 {
            self.rotate();
        }
        index + 1 < self.segments.len()
    }

    fn segment(&self, first_seq: u64) -> Option<&Segment> {
        self.segments.iter().find(|s| s.first_seq == first_seq)
    }

    /// Index of the segment that has the first batch after `seq`, or the last one, and where reading in it begins.
    pub(super) fn place_of(&self, seq: u64) -> (usize, Front) {
        let holds = |s: &Segment| s.last_seq.is_some_and(|last| last > seq);
        let index = self.segments.iter().position(holds).unwrap_or(self.segments.len() - 1);
        (index, if index == 0 { self.front } else { Front::of(self.segments[index].first_seq) })
    }

    fn reader_from(&self, seq: u64) -> Option<Reader> {
        let (index, from) = self.place_of(seq);
        Some(Reader::new(self.segments.get(index)?, from, seq))
    }

    /// The brain has everything up to `seq`: forgets it, and removes the segments that it was all of.
    ///
    /// A `seq` that was never given out means that this stream lost its buffer: what is sealed under lower numbers can never
    /// be delivered and is dropped, and the stream goes on after `seq`.
    pub fn ack(&mut self, seq: u64) {
        if seq > MAX_SEQ {
            tracing::error!(seq, "the brain acked a number that no batch can have");
            return;
        }
        if seq >= self.next_seq {
            self.continue_after(seq);
        }
        if seq <= self.acked {
            return;
        }
        self.acked = seq;
        self.dropped = self.dropped.saturating_add(self.damage.settle(seq));
        while self.segments.len() > 1 && self.segments[0].last_seq.is_none_or(|last| last <= seq) {
            self.remove_front();
        }
        self.pass_acked(seq);
        self.forget_shortened();
        self.begin_anew_if_all_is_acked();
    }

    fn continue_after(&mut self, seq: u64) {
        let lost = self.report().events.saturating_sub(u64::from(self.pending.events));
        tracing::warn!(seq, lost, "the brain has more of this stream than the buffer: going on after that");
        let unknown = self.damage.settle_dropped(seq);
        self.dropped = self.dropped.saturating_add(lost).saturating_add(unknown);
        self.next_seq = seq + 1;
        if self.seal().is_none() {
            self.rotate();
        }
    }

    /// Moves the front of the first segment behind the batches up to `seq`.
    fn pass_acked(&mut self, seq: u64) {
        let Some(first) = self.segments.front() else { return };
        // Mostly the brain has all that there is.
        if first.last_seq == Some(seq) {
            self.front = Front { offset: first.sealed_len, events: first.events, seq };
            return self.look_at_front();
        }
        // Should the disk refuse, the front stays where it is until the next ack.
        let Ok(mut batches) = batches(first, self.front) else { return };
        let mut front = self.front;
        while let Ok(Ok(mut found)) = batches.next() {
            if found.seq() > seq {
                break;
            }
            self.shorten(&mut found);
            front = Front { offset: found.end, events: front.events + u64::from(found.seal.events), seq: found.seq() };
        }
        if front.offset != self.front.offset {
            self.front = front;
            self.look_at_front();
        }
    }

    /// An empty buffer does not keep a long segment of acked batches.
    fn begin_anew_if_all_is_acked(&mut self) {
        let [only] = self.segments.make_contiguous() else { return };
        let long = (1 << 20).min(self.options.segment_bytes());
        if only.len >= long && self.front.offset >= only.len && self.pending.events == 0 {
            self.rotate();
            if self.segments.len() > 1 {
                self.remove_front();
            }
        }
    }

    /// Finds the time of the oldest event that waits.
    pub(super) fn look_at_front(&mut self) {
        let oldest = |segment: &Segment, from| {
            if from >= segment.len {
                return None;
            }
            let mut scanner = Scanner::new(&segment.path, from, segment.len).ok()?;
            loop {
                match scanner.next().ok()? {
                    Item::Record { record: Record::Event { ts, .. } | Record::Copy { ts, .. }, .. } => return Some(ts),
                    Item::Record { .. } | Item::Damaged { .. } => {}
                    Item::End { .. } => return None,
                }
            }
        };
        let front = self.front.offset;
        self.front_ts = self
            .segments
            .iter()
            .enumerate()
            .find_map(|(index, s)| oldest(s, if index == 0 { front } else { HEADER_BYTES }));
    }
}
