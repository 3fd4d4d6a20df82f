//! Random actions on a buffer and on a model of it in memory.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    /// Append an event of so many bytes.
    Append(usize),
    Seal,
    /// Ack up to this fraction of what was sealed, in 1/8.
    Ack(u64),
    /// Read so many batches on.
    Read(usize),
    /// Replay from the last ack.
    Replay,
    /// The process is killed and another one starts.
    Reopen,
    /// It is killed while it writes a record.
    ReopenTorn(usize),
    /// The last bytes of the last event that was appended and not sealed never reached the file.
    ReopenShortened(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => (0usize..900).prop_map(Action::Append),
        3 => Just(Action::Seal),
        2 => (0u64..9).prop_map(Action::Ack),
        3 => (1usize..6).prop_map(Action::Read),
        1 => Just(Action::Replay),
        1 => Just(Action::Reopen),
        1 => (1usize..40).prop_map(Action::ReopenTorn),
        1 => (1u64..2000).prop_map(Action::ReopenShortened),
    ];
    prop::collection::vec(action, 1..120)
}

/// What should be in the buffer if nothing is ever dropped.
#[derive(Default)]
struct Model {
    sealed: VecDeque<(u64, Vec<Vec<u8>>)>,
    pending: Vec<Vec<u8>>,
    last_sealed: u64,
    acked: u64,
    read: u64,
    appended: u64,
}

impl Model {
    fn append(&mut self, event: Vec<u8>, options: &BufferOptions) {
        let size = |event: &Vec<u8>| record::event_record_bytes(event);
        let bytes: usize = self.pending.iter().map(size).sum();
        if !self.pending.is_empty() && bytes + size(&event) > options.seal_bytes {
            self.seal();
        }
        self.pending.push(event);
        self.appended += 1;
        let bytes: usize = self.pending.iter().map(size).sum();
        if self.pending.len() >= options.seal_events || bytes >= options.seal_bytes {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.pending.is_empty() {
            self.last_sealed += 1;
            self.sealed.push_back((self.last_sealed, std::mem::take(&mut self.pending)));
        }
    }

    fn ack(&mut self, seq: u64) {
        self.acked = self.acked.max(seq);
        self.sealed.retain(|(sealed, _)| *sealed > seq);
    }

    /// A part of the last event that is pending, or all of it, is gone.
    fn shorten(&mut self, bytes: u64) {
        if bytes > 0 && self.pending.pop().is_some() {
            self.appended -= 1;
        }
    }

    fn bytes_of_last_pending(&self) -> u64 {
        self.pending.last().map_or(0, |event| record::event_record_bytes(event) as u64)
    }
}

struct Run {
    dir: TempDir,
    options: BufferOptions,
    buffer: Option<Buffer>,
    model: Model,
}

impl Run {
    fn new(options: BufferOptions) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let buffer = Buffer::open(dir.path(), options.clone()).ok();
        Self { dir, options, buffer, model: Model::default() }
    }

    fn buffer(&mut self) -> &mut Buffer {
        self.buffer.as_mut().expect("open")
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Append(size) => {
                let mut event = self.model.appended.to_le_bytes().to_vec();
                event.resize(8 + size, b'.');
                self.buffer().append(TS, &event);
                self.model.append(event, &self.options.clone());
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
            Action::Read(count) => (0..count).for_each(|_| self.read_one()),
            Action::Replay => self.model.read = self.model.acked,
            Action::Reopen => self.reopen(|_, _| {}),
            Action::ReopenTorn(bytes) => self.reopen(|_, path| {
                let mut torn = Vec::new();
                record::put_event(&mut torn, TS, &[b'!'; 64]);
                let mut file = fs::OpenOptions::new().append(true).open(path).expect("opens");
                file.write_all(&torn[..bytes]).expect("writes");
            }),
            Action::ReopenShortened(bytes) => self.reopen(|model, path| {
                let bytes = bytes.min(model.bytes_of_last_pending());
                let file = fs::OpenOptions::new().write(true).open(path).expect("opens");
                file.set_len(fs::metadata(path).expect("metadata").len() - bytes).expect("cuts");
                model.shorten(bytes);
            }),
        }
        self.check();
    }

    fn read_one(&mut self) {
        let after = self.model.read;
        let Some(batch) = self.buffer().next_after(after) else {
            assert_eq!(self.model.sealed.iter().find(|(seq, _)| *seq > after), None);
            return;
        };
        // Batches between may have been dropped, and only from the front.
        assert!(
            self.model.sealed.iter().all(|(seq, _)| *seq <= after || *seq >= batch.seq)
                || self.buffer().report().dropped > 0
        );
        let sealed = self.model.sealed.iter().find(|(seq, _)| *seq == batch.seq).expect("a batch that was sealed");
        assert_eq!(batch.events().collect::<Vec<_>>(), sealed.1);
        self.model.read = batch.seq;
    }

    fn reopen(&mut self, crash: impl FnOnce(&mut Model, &Path)) {
        let last = segment_files(self.buffer()).pop().expect("a segment");
        let (stream, dropped) = (self.buffer().stream_id(), self.buffer().report().dropped);
        self.buffer = None;
        crash(&mut self.model, &last);
        self.buffer = Buffer::open(self.dir.path(), self.options.clone()).ok();
        assert_eq!(self.buffer().stream_id(), stream);
        // Sealing what was left may need room.
        assert!(self.buffer().report().dropped >= dropped);
        assert_eq!(self.buffer().damaged(), 0);
        // Whole events that were not sealed are sealed by the next process, and the brain's first ack says what it has.
        self.model.seal();
        let acked = self.model.acked;
        self.buffer().ack(acked);
        self.model.read = acked;
    }

    fn check(&mut self) {
        let waiting: u64 = self.model.sealed.iter().map(|(_, events)| events.len() as u64).sum();
        let waiting = waiting + self.model.pending.len() as u64;
        let (last_sealed, max_bytes) = (self.model.last_sealed, self.options.max_bytes);
        let buffer = self.buffer();
        let report = buffer.report();
        assert_eq!(buffer.last_sealed(), last_sealed);
        assert!(report.events <= waiting && report.events + report.dropped >= waiting, "{report:?} of {waiting}");
        assert!(buffer.segments.iter().map(|s| s.len).sum::<u64>() <= max_bytes + 8 * 1024);
    }

    fn nothing_is_lost(&mut self) {
        self.model.read = self.model.acked;
        self.buffer().seal();
        self.model.seal();
        let after = self.model.acked;
        let batches = all_after(self.buffer(), after);
        let read: Vec<(u64, Vec<Vec<u8>>)> =
            batches.iter().map(|batch| (batch.seq, batch.events().map(<[u8]>::to_vec).collect())).collect();
        assert!(read.iter().eq(self.model.sealed.iter()), "what was sealed is read");
        assert_eq!(self.buffer().report().dropped, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_large_buffer_is_as_its_model(actions in actions()) {
        let mut run = Run::new(BufferOptions { max_bytes: 1 << 20, ..small() });
        for action in actions {
            run.act(action);
        }
        run.nothing_is_lost();
    }

    #[test]
    fn a_small_buffer_is_the_end_of_its_model(actions in actions()) {
        let mut run = Run::new(BufferOptions { max_bytes: 12 << 10, ..small() });
        for action in actions {
            run.act(action);
        }
    }
}
