//! Random actions on a buffer, and on a model of it in memory that knows no disk: what one delivers the other does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Event = Vec<u8>;

#[derive(Clone, Debug)]
enum Action {
    /// Append an event of so many bytes.
    Append(usize),
    /// Append so many small events at once.
    AppendMany(usize),
    Seal,
    /// Ack up to this fraction of what was sealed, in 1/8; older ones come again.
    Ack(u64),
    /// Ack what was never sealed.
    AckBeyond(u64),
    /// Read so many batches on.
    Read(usize),
    /// Replay from the last ack.
    Replay,
    /// Split a batch that is not acked.
    Split(u64),
    /// The process ends and another one goes on.
    Reopen,
    /// The process is killed so many bytes and other steps into this action.
    Killed(usize, Box<Action>),
    /// The next syncs fail.
    SyncsFail(usize),
    /// So many attempts to read fail, and then one does not.
    ReadsFail(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let killed = prop_oneof![
        4 => (0usize..900).prop_map(Action::Append),
        2 => (1usize..30).prop_map(Action::AppendMany),
        2 => Just(Action::Seal),
        2 => (0u64..9).prop_map(Action::Ack),
        3 => (0u64..8).prop_map(Action::Split),
    ];
    // Kills come early in an action more often than late.
    let killed_after = prop_oneof![0usize..8, 0usize..200, 0usize..2500];
    let action = prop_oneof![
        8 => (0usize..900).prop_map(Action::Append),
        2 => (1usize..30).prop_map(Action::AppendMany),
        3 => Just(Action::Seal),
        3 => (0u64..9).prop_map(Action::Ack),
        1 => (0u64..5).prop_map(Action::AckBeyond),
        3 => (1usize..6).prop_map(Action::Read),
        1 => Just(Action::Replay),
        3 => (0u64..8).prop_map(Action::Split),
        1 => Just(Action::Reopen),
        3 => (killed_after, killed).prop_map(|(after, action)| Action::Killed(after, Box::new(action))),
        1 => (1usize..4).prop_map(Action::SyncsFail),
        1 => (1usize..9).prop_map(Action::ReadsFail),
    ];
    prop::collection::vec(action, 1..100)
}

/// What should be in the buffer, in memory.
#[derive(Clone, Debug, Default)]
struct Model {
    sealed: BTreeMap<u64, Vec<Event>>,
    pending: Vec<Event>,
    last_sealed: u64,
    acked: u64,
    read: u64,
    appended: u64,
    dropped: u64,
}

fn size(event: &Event) -> usize {
    record::event_record_bytes(event)
}

impl Model {
    fn next_event(&mut self, bytes: usize) -> Event {
        let mut event = self.appended.to_le_bytes().to_vec();
        event.resize(8 + bytes, b'.');
        self.appended += 1;
        event
    }

    fn append(&mut self, events: Vec<Event>, options: &BufferOptions) {
        for event in events {
            let bytes: usize = self.pending.iter().map(size).sum();
            if self.pending.len() >= options.seal_events
                || (!self.pending.is_empty() && bytes + size(&event) > options.seal_bytes)
            {
                self.seal();
            }
            self.pending.push(event);
        }
        let bytes: usize = self.pending.iter().map(size).sum();
        if self.pending.len() >= options.seal_events || bytes >= options.seal_bytes {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.pending.is_empty() {
            self.last_sealed += 1;
            self.sealed.insert(self.last_sealed, std::mem::take(&mut self.pending));
        }
    }

    fn ack(&mut self, seq: u64) {
        if seq > self.last_sealed {
            self.dropped += self.sealed.values().map(|events| events.len() as u64).sum::<u64>();
            self.sealed.clear();
            self.last_sealed = seq;
            self.seal();
        }
        self.acked = self.acked.max(seq);
        self.sealed.retain(|sealed, _| *sealed > seq);
    }

    fn split(&mut self, seq: u64) -> bool {
        self.seal();
        let Some(events) = self.sealed.get_mut(&seq).filter(|events| events.len() > 1) else { return false };
        let half = events.iter().map(Vec::len).sum::<usize>() / 2;
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.len();
            bytes <= half
        };
        let first = events.iter().take_while(fits).count().clamp(1, events.len() - 1);
        let second = events.split_off(first);
        self.last_sealed += 1;
        self.sealed.insert(self.last_sealed, second);
        true
    }

    fn waiting(&self) -> u64 {
        self.sealed.values().map(|events| events.len() as u64).sum::<u64>() + self.pending.len() as u64
    }
}

struct Run {
    dir: TempDir,
    options: BufferOptions,
    buffer: Option<Buffer>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let (dir, options) = (folder(), BufferOptions { max_bytes: 1 << 20, ..small() });
        let buffer = Buffer::open(dir.path(), options.clone()).ok();
        Self { dir, options, buffer, model: Model::default() }
    }

    fn buffer(&mut self) -> &mut Buffer {
        self.buffer.as_mut().expect("open")
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Read(count) => (0..count).for_each(|_| self.read_one()),
            Action::Replay => self.model.read = self.model.acked,
            Action::Reopen => {
                let model = self.model.clone();
                self.reopen(&[model]);
            }
            Action::Killed(after, action) => self.killed(after, *action),
            Action::SyncsFail(times) => self.buffer().disk.faults.syncs = times,
            Action::ReadsFail(times) => {
                let after = self.model.read;
                self.buffer().disk.faults.reads = times;
                (0..times).for_each(|_| assert_eq!(self.buffer().next_after(after), None));
                self.read_one();
            }
            other => self.change(other),
        }
        self.check();
    }

    /// An action that changes something.
    fn change(&mut self, action: Action) {
        let options = self.options.clone();
        match action {
            Action::Append(bytes) => {
                let event = self.model.next_event(bytes);
                self.buffer().append(TS, &event);
                self.model.append(vec![event], &options);
            }
            Action::AppendMany(count) => {
                let events: Vec<Event> = (0..count).map(|_| self.model.next_event(20)).collect();
                self.buffer().append_all(events.iter().map(|event| (TS, &event[..])));
                self.model.append(events, &options);
            }
            Action::Seal => {
                self.buffer().seal();
                self.model.seal();
            }
            Action::Ack(eighths) => {
                let seq = self.model.last_sealed * eighths.min(8) / 8;
                self.buffer().ack(seq);
                self.model.ack(seq);
            }
            Action::AckBeyond(more) => {
                // What this drops is counted in memory; on a disk that refuses it would be counted anew by the next process.
                self.buffer().disk.faults = Default::default();
                let seq = self.model.last_sealed + 1 + more;
                self.buffer().ack(seq);
                self.model.ack(seq);
                self.model.read = self.model.read.max(seq);
            }
            Action::Split(eighths) => {
                let (acked, last) = (self.model.acked, self.model.last_sealed);
                let seq = acked + 1 + (last - acked) * eighths / 8;
                // On a disk that refuses to sync nothing is split.
                let syncs_fail = self.buffer().disk.faults.syncs > 0;
                let before = self.model.clone();
                let is_split = self.buffer().split(seq);
                let should_be_split = self.model.split(seq);
                if syncs_fail && !is_split {
                    self.model = before;
                    self.model.seal();
                } else {
                    assert_eq!(is_split, should_be_split);
                }
            }
            other => unreachable!("{other:?} changes nothing"),
        }
    }

    /// Nothing that the process does after its death has any effect. The next one finds what was before or after the action,
    /// or, where several events were appended at once, after some of them.
    fn killed(&mut self, after: usize, action: Action) {
        let mut possible = vec![self.model.clone()];
        for appended in 1..=match action {
            Action::Append(_) => 1,
            Action::AppendMany(count) => count,
            _ => 0,
        } {
            let (mut part, options) = (self.model.clone(), self.options.clone());
            let bytes = if let Action::Append(bytes) = action { bytes } else { 20 };
            let events = (0..appended).map(|_| part.next_event(bytes)).collect();
            part.append(events, &options);
            possible.push(part);
        }
        self.buffer().disk.faults = disk::faults::Faults { killed_after: Some(after), ..Default::default() };
        match action {
            Action::Split(eighths) => {
                let (acked, last) = (self.model.acked, self.model.last_sealed);
                let seq = acked + 1 + (last - acked) * eighths / 8;
                self.buffer().split(seq);
                self.model.split(seq);
            }
            other => self.change(other),
        }
        possible.push(self.model.clone());
        self.reopen(&possible);
    }

    fn read_one(&mut self) {
        let after = self.model.read;
        let next = self.model.sealed.range(after + 1..).next().map(|(seq, events)| (*seq, events.clone()));
        let Some(batch) = self.buffer().next_after(after) else {
            return assert_eq!(next, None);
        };
        assert_eq!(Some(contents(&batch)), next);
        self.model.read = batch.seq;
    }

    /// Another process goes on, which finds one of the states that are possible.
    fn reopen(&mut self, possible: &[Model]) {
        let stream = self.buffer().stream_id();
        let last_appended = possible.iter().map(|model| model.appended).max().unwrap_or(0);
        self.buffer = None;
        self.buffer = Buffer::open(self.dir.path(), self.options.clone()).ok();
        assert_eq!((self.buffer().stream_id(), self.buffer().damaged()), (stream, 0));
        // The brain's first ack says what it has.
        let acked = possible.iter().map(|model| model.acked).max().unwrap_or(0);
        self.buffer().ack(acked);
        let found: BTreeMap<u64, Vec<Event>> = all_after(self.buffer(), acked).iter().map(contents).collect();
        let dropped = self.buffer().report().dropped;
        let state = possible.iter().cloned().find_map(|mut model| {
            // Whole events that were not sealed are sealed by the next process.
            model.seal();
            model.ack(acked);
            (model.sealed == found && model.dropped == dropped).then_some(model)
        });
        let numbers = |sealed: &BTreeMap<u64, Vec<Event>>| -> Vec<(u64, usize)> {
            sealed.iter().map(|(seq, events)| (*seq, events.len())).collect()
        };
        let mut state = state.unwrap_or_else(|| {
            let possible: Vec<_> = possible.iter().map(|m| (numbers(&m.sealed), m.pending.len(), m.dropped)).collect();
            panic!("found {:?} and {dropped} dropped after one of {possible:?}", numbers(&found))
        });
        (state.read, state.appended) = (acked, last_appended);
        self.model = state;
    }

    fn check(&mut self) {
        let (last_sealed, waiting, dropped) = (self.model.last_sealed, self.model.waiting(), self.model.dropped);
        let buffer = self.buffer();
        let report = buffer.report();
        assert_eq!((buffer.last_sealed(), report.events, report.dropped), (last_sealed, waiting, dropped));
        assert_eq!(report.oldest_ts.is_some(), waiting > 0);
    }

    fn everything_is_there(&mut self) {
        self.buffer().disk.faults = Default::default();
        self.buffer().seal();
        self.model.seal();
        let acked = self.model.acked;
        let read: BTreeMap<u64, Vec<Event>> = all_after(self.buffer(), acked).iter().map(contents).collect();
        assert_eq!(read, self.model.sealed);
        assert_eq!(self.buffer().report().dropped, self.model.dropped);
    }
}

fn contents(batch: &SealedBatch) -> (u64, Vec<Event>) {
    (batch.seq, batch.events().map(<[u8]>::to_vec).collect())
}

proptest! {
    #[test]
    fn a_buffer_is_as_its_model(actions in actions()) {
        let mut run = Run::new();
        for action in actions {
            run.act(action);
        }
        run.everything_is_there();
    }
}
