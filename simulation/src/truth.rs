//! What really happened, known to nobody inside the world, and the promises that are held against it at every step.

use std::collections::{BTreeMap, BTreeSet};

use taskplane_agent::buffer::{Buffer, SealedBatch};
use taskplane_model::Timestamp;

use crate::events::number_of;
use crate::failure::{Violation, hold};

/// An event that an agent has written into its buffer.
pub(crate) struct Captured {
    pub(crate) text: String,
    pub(crate) fate: Fate,
}

/// Where an event is, as far as its agent is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In the buffer or delivered.
    Kept,
    /// Dropped because the buffer was full, and counted.
    Dropped,
    /// Not yet sealed when the power failed.
    LostWithPower,
}

/// A sealed batch.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<usize>,
    pub(crate) dropped: bool,
    pub(crate) stored: bool,
}

/// A batch as it was committed.
pub(crate) struct Raw {
    pub(crate) stream: usize,
    pub(crate) agent: String,
    pub(crate) seq: u64,
    pub(crate) received_at: Timestamp,
    pub(crate) compressed: Vec<u8>,
}

/// One stream.
pub(crate) struct Stream {
    pub(crate) instance: String,
    pub(crate) batches: BTreeMap<u64, Batch>,
    pub(crate) pending: Vec<usize>,
    /// The last batch that the brain has stored.
    pub(crate) stored_to: u64,
    acked_to: u64,
    /// Events that may have been spoilt when the power failed: half of one, at most, each time. Its buffer counts it as
    /// dropped when it comes across it.
    spoilt: u64,
}

/// How a buffer stands between two calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    sealed: u64,
    acked: u64,
    dropped: u64,
    has_pending: bool,
}

impl Stand {
    pub(crate) fn of(buffer: &Buffer) -> Self {
        Self {
            sealed: buffer.last_sealed(),
            acked: buffer.acked(),
            dropped: buffer.report().dropped,
            has_pending: buffer.has_pending(),
        }
    }
}

#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) events: Vec<Captured>,
    pub(crate) streams: Vec<Stream>,
    /// Batches that were committed.
    pub(crate) raw: Vec<Raw>,
    /// The last batch that is stored of a stream, as the brain knows it: under an agent's name.
    pub(crate) stored_to: BTreeMap<(usize, String), u64>,
    /// Names of the tasks of commands that were executed, with how often.
    pub(crate) executed: BTreeMap<String, u32>,
    /// How often what makes a world interesting was met.
    pub(crate) met: BTreeMap<&'static str, u64>,
    /// Commands whose end could not be written down because the store failed.
    pub(crate) unrecorded: BTreeSet<String>,
}

impl Truth {
    pub(crate) fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// The number of a stream by its instance id; a new one where it is new.
    pub(crate) fn stream(&mut self, instance: &str) -> usize {
        if let Some(at) = self.streams.iter().position(|stream| stream.instance == instance) {
            return at;
        }
        self.streams.push(Stream {
            instance: instance.to_owned(),
            batches: BTreeMap::new(),
            pending: Vec::new(),
            stored_to: 0,
            acked_to: 0,
            spoilt: 0,
        });
        self.streams.len() - 1
    }

    /// An agent is about to append this event. Returns its number.
    pub(crate) fn captured(&mut self, text: String) -> usize {
        self.events.push(Captured { text, fate: Fate::Kept });
        self.events.len() - 1
    }

    /// An event was appended, or what was pending was sealed.
    pub(crate) fn written(
        &mut self,
        stream: usize,
        event: Option<usize>,
        before: Stand,
        buffer: &Buffer,
    ) -> Result<(), Violation> {
        let after = Stand::of(buffer);
        let of = &mut self.streams[stream];
        let mut seals = after.sealed - before.sealed;
        // A batch that became full without the new event was sealed before it.
        if seals > 0 && (event.is_none() || after.has_pending || seals > 1) && before.has_pending {
            of.seal(before.sealed + 1)?;
            seals -= 1;
        }
        of.pending.extend(event);
        if seals > 0 {
            of.seal(after.sealed)?;
        }
        hold!(of.pending.is_empty() != after.has_pending, "stream {stream}: events are pending that should not be");
        self.dropped(stream, before, after)
    }

    /// What was dropped must be counted, event by event.
    fn dropped(&mut self, stream: usize, before: Stand, after: Stand) -> Result<(), Violation> {
        let mut events = 0;
        for (seq, batch) in self.streams[stream].batches.range_mut(before.acked + 1..) {
            if *seq > after.acked {
                break;
            }
            batch.dropped = true;
            events += batch.events.len() as u64;
            for event in &batch.events {
                self.events[*event].fate = Fate::Dropped;
            }
        }
        let counted = after.dropped - before.dropped;
        let most = events + self.streams[stream].spoilt;
        hold!(
            (events..=most).contains(&counted),
            "stream {stream}: {events} events were dropped and {counted} were counted"
        );
        Ok(())
    }

    /// A process continues a stream, or begins one. Everything that was sealed must be there; of what was pending, all of
    /// it unless the power had failed, else a beginning.
    pub(crate) fn opened(&mut self, stream: usize, power_failed: bool, buffer: &mut Buffer) -> Result<(), Violation> {
        let sealed_before = self.streams[stream].batches.keys().next_back().copied().unwrap_or(0);
        let sealed = buffer.last_sealed();
        let pending = std::mem::take(&mut self.streams[stream].pending);
        hold!(
            sealed >= sealed_before,
            "stream {stream}: sealed batch {sealed_before} is gone, the last one is {sealed}"
        );
        hold!(sealed <= sealed_before + 1, "stream {stream}: batches were sealed that nobody has begun");
        self.streams[stream].spoilt += u64::from(power_failed);
        let survivors = match buffer.next_after(sealed_before).filter(|_| sealed > sealed_before) {
            Some(batch) => self.read(stream, &batch)?,
            None => Vec::new(),
        };
        let is_whole = sealed == sealed_before || !survivors.is_empty() || power_failed;
        hold!(is_whole, "stream {stream}: batch {sealed} is unreadable");
        hold!(pending.starts_with(&survivors), "stream {stream}: {survivors:?} was recovered of {pending:?}");
        let lost = &pending[survivors.len()..];
        hold!(
            power_failed || lost.is_empty(),
            "stream {stream}: {lost:?} was written and is gone without a loss of power"
        );
        for event in lost {
            self.events[*event].fate = Fate::LostWithPower;
        }
        if sealed > sealed_before {
            // A batch of which nothing was left is never sent.
            let batch = Batch { dropped: survivors.is_empty(), events: survivors, stored: false };
            self.streams[stream].batches.insert(sealed, batch);
        }
        Ok(())
    }

    /// A batch was read back to be sent: it must be what was sealed.
    pub(crate) fn sent(&self, stream: usize, batch: &SealedBatch) -> Result<(), Violation> {
        let events = self.read(stream, batch)?;
        let seq = batch.seq;
        let sealed = self.streams[stream].batches.get(&seq).map(|sealed| &sealed.events);
        hold!(sealed == Some(&events), "stream {stream}: batch {seq} was sealed as {sealed:?} and is now {events:?}");
        Ok(())
    }

    fn read(&self, stream: usize, batch: &SealedBatch) -> Result<Vec<usize>, Violation> {
        let numbers = batch.events().map(|bytes| {
            let text = std::str::from_utf8(bytes).ok()?;
            number_of(text).filter(|number| self.events.get(*number).is_some_and(|event| event.text == text))
        });
        let numbers: Option<Vec<usize>> = numbers.collect();
        numbers
            .ok_or_else(|| Violation::new(format!("stream {stream}: batch {} has events that nobody saw", batch.seq)))
    }

    /// The store has committed a batch, and counted `lost` batches before it.
    pub(crate) fn stored(&mut self, raw: Raw, lost: u64) -> Result<(), Violation> {
        let (stream, seq) = (raw.stream, raw.seq);
        self.stored_to.insert((stream, raw.agent.clone()), seq);
        self.raw.push(raw);
        let of = &mut self.streams[stream];
        let Some(batch) = of.batches.get_mut(&seq) else {
            return Err(Violation::new(format!("stream {stream}: batch {seq} was stored and never sealed")));
        };
        hold!(!batch.stored, "stream {stream}: batch {seq} was stored twice");
        batch.stored = true;
        hold!(seq > of.stored_to, "stream {stream}: batch {seq} was stored after {}", of.stored_to);
        let gap = of.stored_to + 1..seq;
        hold!(lost == gap.clone().count() as u64, "stream {stream}: {lost} counted as lost in the gap {gap:?}");
        of.stored_to = seq;
        for missing in gap {
            let dropped = of.batches.get(&missing).is_some_and(|batch| batch.dropped);
            hold!(dropped, "stream {stream}: batch {missing} was counted as lost, and its agent had not dropped it");
        }
        Ok(())
    }

    /// An agent was told that everything up to `seq` is stored.
    pub(crate) fn acked(&mut self, stream: usize, seq: u64) -> Result<(), Violation> {
        let of = &mut self.streams[stream];
        for (at, batch) in of.batches.range(of.acked_to + 1..) {
            if *at > seq {
                break;
            }
            hold!(batch.stored || batch.dropped, "stream {stream}: batch {at} was acked by {seq} and is not stored");
        }
        let last = of.batches.keys().next_back().copied().unwrap_or(0);
        hold!(seq <= last, "stream {stream}: {seq} was acked, and {last} is the last batch there ever was");
        of.acked_to = of.acked_to.max(seq);
        Ok(())
    }

    /// A buffer has forgotten what was acked: nothing that was not.
    pub(crate) fn forgot(&self, stream: usize, before: Stand, buffer: &Buffer) -> Result<(), Violation> {
        let after = Stand::of(buffer);
        let most = before.dropped + self.streams[stream].spoilt;
        hold!((before.dropped..=most).contains(&after.dropped), "stream {stream}: an ack made the buffer drop events");
        hold!(after.sealed == before.sealed, "stream {stream}: an ack moved the sequence");
        Ok(())
    }

    /// An engine carried out the command about this task.
    pub(crate) fn executed(&mut self, task: &str) -> Result<(), Violation> {
        let times = self.executed.entry(task.to_owned()).or_default();
        *times += 1;
        hold!(*times == 1, "the command about {task} was executed {times} times");
        Ok(())
    }
}

impl Stream {
    /// The last batch of which anything can be read; 0 when there is none.
    pub(crate) fn last_to_deliver(&self) -> u64 {
        self.batches.iter().rev().find(|(_, batch)| !batch.events.is_empty()).map_or(0, |(seq, _)| *seq)
    }

    fn seal(&mut self, seq: u64) -> Result<(), Violation> {
        let events = std::mem::take(&mut self.pending);
        hold!(!events.is_empty(), "batch {seq} was sealed without events");
        self.batches.insert(seq, Batch { events, ..Batch::default() });
        Ok(())
    }
}
