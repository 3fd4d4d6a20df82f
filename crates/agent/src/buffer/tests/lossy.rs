//! Random actions on a buffer that is too small, on a disk that is full or refuses: each event is delivered, acked, waits or is
//! counted as dropped, and only ever one of these.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Append(usize),
    AppendMany(usize),
    Seal,
    Ack(u64),
    Split(u64),
    ReadAll,
    Reopen,
    /// The disk has room for so many bytes.
    Full(usize),
    Refuses,
    /// The disk is well again.
    Well,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => (0usize..900).prop_map(Action::Append),
        4 => (1usize..40).prop_map(Action::AppendMany),
        2 => Just(Action::Seal),
        2 => (0u64..9).prop_map(Action::Ack),
        2 => (0u64..8).prop_map(Action::Split),
        2 => Just(Action::ReadAll),
        1 => Just(Action::Reopen),
        1 => (0usize..4000).prop_map(Action::Full),
        1 => Just(Action::Refuses),
        2 => Just(Action::Well),
    ];
    prop::collection::vec(action, 1..120)
}

struct Run {
    dir: TempDir,
    buffer: Option<Buffer>,
    /// Numbers events.
    appended: u64,
    /// Events that must be accounted for.
    known: u64,
    acked: u64,
    acked_events: BTreeSet<u64>,
    is_well: bool,
}

impl Run {
    fn new() -> Self {
        let dir = folder();
        let buffer = Buffer::open(dir.path(), Self::options()).ok();
        let acked_events = BTreeSet::new();
        Self { dir, buffer, appended: 0, known: 0, acked: 0, acked_events, is_well: true }
    }

    fn options() -> BufferOptions {
        BufferOptions { max_bytes: 12 << 10, ..small() }
    }

    fn buffer(&mut self) -> &mut Buffer {
        self.buffer.as_mut().expect("open")
    }

    fn append(&mut self, count: usize, bytes: usize) {
        let events: Vec<Vec<u8>> = (0..count as u64)
            .map(|n| {
                let mut event = (self.appended + n).to_le_bytes().to_vec();
                event.resize(8 + bytes, b'.');
                event
            })
            .collect();
        self.appended += count as u64;
        self.known += count as u64;
        self.buffer().append_all(events.iter().map(|event| (TS, &event[..])));
    }

    fn act(&mut self, action: Action) {
        let acked = self.acked;
        let last = self.buffer().last_sealed();
        match action {
            Action::Append(bytes) => self.append(1, bytes),
            Action::AppendMany(count) => self.append(count, 20),
            Action::Seal => drop(self.buffer().seal()),
            Action::Ack(eighths) => {
                let seq = (last * eighths.min(8) / 8).max(acked);
                let (waiting, dropped) = (self.read_all(), self.buffer().report().dropped);
                self.buffer().ack(seq);
                assert_eq!(self.buffer().report().dropped, dropped, "an ack drops nothing");
                self.acked = seq;
                self.acked_events.extend(waiting.iter().filter(|(of, _)| *of <= seq).map(|(_, event)| *event));
            }
            Action::Split(eighths) => {
                let seq = acked + 1 + last.saturating_sub(acked) * eighths / 8;
                let before = self.buffer().report();
                self.buffer().split(seq);
                let after = self.buffer().report();
                // Sealing what was pending may drop old batches.
                assert_eq!(before.events + before.dropped, after.events + after.dropped);
            }
            Action::ReadAll => drop(self.read_all()),
            Action::Reopen => self.reopen(),
            Action::Full(room) => {
                self.buffer().disk.faults.room = Some(room);
                self.is_well = false;
            }
            Action::Refuses => {
                self.buffer().disk.faults.writes = Some(ErrorKind::Other);
                self.is_well = false;
            }
            Action::Well => {
                self.buffer().disk.faults = Default::default();
                self.is_well = true;
            }
        }
        self.check();
    }

    /// Numbers of all batches that wait, each with the numbers of its events.
    fn read_all(&mut self) -> Vec<(u64, u64)> {
        let acked = self.acked;
        let number = |event: &[u8]| u64::from_le_bytes(event[..8].try_into().expect("a number"));
        let batches = all_after(self.buffer(), acked);
        let read: Vec<(u64, u64)> =
            batches.iter().flat_map(|batch| batch.events().map(|event| (batch.seq, number(event)))).collect();
        let distinct: BTreeSet<u64> = read.iter().map(|(_, event)| *event).collect();
        assert_eq!(distinct.len(), read.len(), "an event is there twice");
        assert!(distinct.is_disjoint(&self.acked_events), "an event comes again under another number");
        assert!(distinct.iter().all(|event| *event < self.appended), "an event is invented");
        let pending = u64::from(self.buffer().pending.events);
        assert_eq!(distinct.len() as u64 + pending, self.buffer().report().events);
        read
    }

    fn reopen(&mut self) {
        let before = self.buffer().report();
        self.buffer = None;
        self.buffer = Buffer::open(self.dir.path(), Self::options()).ok();
        self.is_well = true;
        let acked = self.acked;
        self.buffer().ack(acked);
        let after = self.buffer().report();
        // What a disk refused to take is counted, but not where it could be found again.
        let forgotten = (before.events + before.dropped).checked_sub(after.events + after.dropped);
        self.known -= forgotten.unwrap_or_else(|| panic!("something comes back: {before:?} became {after:?}"));
    }

    fn check(&mut self) {
        let known = self.known;
        let acked = self.acked_events.len() as u64;
        let buffer = self.buffer();
        let report = buffer.report();
        assert_eq!(acked + report.events + report.dropped, known, "{report:?}");
        let on_disk: u64 = segment_files(buffer).iter().map(|path| fs::metadata(path).expect("metadata").len()).sum();
        assert!(on_disk <= Self::options().max_bytes + 8 * 1024, "{on_disk} bytes");
    }

    fn goes_on(&mut self) {
        self.act(Action::Well);
        let dropped = self.buffer().report().dropped;
        self.append(1, 0);
        self.buffer().seal();
        let seq = self.buffer().last_sealed();
        assert!(self.read_all().iter().any(|(of, event)| (*of, *event + 1) == (seq, self.appended)));
        assert!(self.buffer().report().dropped == dropped || self.buffer().report().bytes > 4 << 10);
    }
}

proptest! {
    #[test]
    fn every_event_is_accounted_for(actions in actions()) {
        let mut run = Run::new();
        for action in actions {
            run.act(action);
        }
        run.goes_on();
    }
}
