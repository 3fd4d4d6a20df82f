//! The agent's buffer: whatever lies in a stream's folder, it opens or says why not, and goes on. What is read from it was
//! once in it, numbers strictly increase, and what is appended afterwards is delivered.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use taskplane_agent::buffer::{Buffer, BufferOptions};
use taskplane_model::Timestamp;

const STREAM: &str = "01234567-89ab-4cde-8f01-23456789abcd";
const SEGMENT_HEADER: u64 = 28;

#[derive(Arbitrary, Debug)]
struct Folder {
    segments: Vec<Segment>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
struct Segment {
    name: Number,
    header: Header,
    records: Vec<Record>,
    /// Bytes of the end that are missing.
    torn: u8,
}

/// Numbers that are likely to go wrong, and any other.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small(u8),
    Last,
    LastBut(u8),
    Any(u64),
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Self::Small(n) => u64::from(n),
            Self::Last => u64::MAX,
            Self::LastBut(n) => u64::MAX - u64::from(n),
            Self::Any(n) => n,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Header {
    Good { dropped: Number },
    OfAnother { seq: u64 },
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Record {
    Event {
        ts: i64,
        event: Vec<u8>,
    },
    /// A seal of what came since the last one, with its number counted on.
    Seal,
    OddSeal {
        seq: Number,
        start: Number,
        events: u32,
    },
    Dropped(Number),
    /// An event of another batch again, which is cut behind `at`.
    Copy {
        of: Number,
        at: Number,
        event: Vec<u8>,
    },
    /// The copies become a batch.
    Move {
        seq: Number,
        start: Number,
        of: Number,
        at: Number,
        events: u32,
    },
    /// Good checksums over anything.
    Body(u8, Vec<u8>),
    /// A header that promises more than there is.
    Header(u8, u32),
    Bytes(Vec<u8>),
    /// A record whose body was damaged.
    Damaged(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Append(u8),
    Seal,
    Read,
    /// Acks the last batch read, less so many.
    Ack(u8),
    /// Acks what was never there.
    AckAny(Number),
    /// The last batch read is too large for the brain.
    Split,
    GiveUp,
    Reopen,
}

fuzz_target!(|folder: Folder| {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder");
    let stream = dir.path().join("streams").join(STREAM);
    fs::create_dir_all(&stream).expect("a folder");
    let mut known: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut planted = 0;
    for segment in folder.segments.iter().take(8) {
        let bytes = segment_bytes(segment, &mut known);
        planted += bytes.len();
        fs::write(stream.join(format!("{:020}.log", segment.name.value())), bytes).expect("written");
    }
    let Ok(mut buffer) = Buffer::open(dir.path(), options()) else { return };
    let mut after = 0;
    for (number, step) in folder.steps.iter().take(32).enumerate() {
        match step {
            Step::Append(len) => {
                let event = format!("appended {number} {}", "x".repeat(usize::from(*len) * 8)).into_bytes();
                buffer.append(Timestamp(number as i64), &event);
                known.insert(event);
            }
            Step::Seal => drop(buffer.seal()),
            Step::Read => {
                if let Some(batch) = buffer.next_after(after) {
                    assert!(batch.seq > after, "numbers strictly increase");
                    assert!(batch.events().all(|event| known.contains(event)), "nothing is invented");
                    after = batch.seq;
                }
            }
            Step::Ack(less) => buffer.ack(after.saturating_sub(u64::from(*less))),
            Step::AckAny(seq) => buffer.ack(seq.value()),
            Step::Split => drop(buffer.split(after)),
            Step::GiveUp => buffer.give_up(after),
            Step::Reopen => {
                drop(buffer);
                buffer = Buffer::open(dir.path(), options()).expect("what it left behind it can open");
                after = 0;
            }
        }
        buffer.report();
    }
    delivers_what_is_appended(&mut buffer);
    everything_left_is_known(&mut buffer, &known, planted);
});

fn options() -> BufferOptions {
    BufferOptions { max_bytes: 1 << 20, seal_events: 5, seal_bytes: 2 << 10 }
}

fn delivers_what_is_appended(buffer: &mut Buffer) {
    buffer.seal();
    let before = buffer.last_sealed();
    let dropped = buffer.report().dropped;
    buffer.append(Timestamp(1), b"new 1");
    buffer.append(Timestamp(2), b"new 2");
    if buffer.seal().is_none() || buffer.report().dropped != dropped {
        // Said, or counted: then it may be missing.
        return;
    }
    assert!(buffer.last_sealed() > before);
    let batch = buffer.next_after(before).expect("what was sealed can be read");
    // Events whose seal was damaged may come along.
    assert!(batch.events().collect::<Vec<_>>().ends_with(&[b"new 1", b"new 2"]));
}

fn everything_left_is_known(buffer: &mut Buffer, known: &BTreeSet<Vec<u8>>, planted: usize) {
    let (mut after, mut events) = (0, BTreeMap::<Vec<u8>, usize>::new());
    while let Some(batch) = buffer.next_after(after) {
        assert!(batch.seq > after, "numbers strictly increase");
        after = batch.seq;
        for event in batch.events() {
            assert!(known.contains(event) || event.starts_with(b"new "), "nothing is invented");
            *events.entry(event.to_vec()).or_default() += 1;
        }
    }
    let read: usize = events.values().sum();
    assert!(read <= planted / 20 + 32 + 2, "nothing is read twice: {read} events");
}

fn segment_bytes(segment: &Segment, known: &mut BTreeSet<Vec<u8>>) -> Vec<u8> {
    let mut out = match &segment.header {
        Header::Good { dropped } => header(segment.name.value(), dropped.value()),
        Header::OfAnother { seq } => header(*seq, 0),
        Header::Bytes(bytes) => bytes.iter().copied().take(64).collect(),
    };
    let (mut start, mut events, mut seq) = (out.len() as u64, 0u32, segment.name.value());
    for one in segment.records.iter().take(64) {
        match one {
            Record::Event { ts, event } => {
                record(&mut out, 1, &[&ts.to_le_bytes(), event]);
                known.insert(event.clone());
                events += 1;
            }
            Record::Seal => {
                put_seal(&mut out, seq, start, events);
                (start, events, seq) = (out.len() as u64, 0, seq.saturating_add(1));
            }
            Record::OddSeal { seq: odd, start, events } => {
                put_seal(&mut out, odd.value(), start.value().wrapping_add(SEGMENT_HEADER), *events);
            }
            Record::Dropped(dropped) => record(&mut out, 3, &[&dropped.value().to_le_bytes()]),
            Record::Copy { of, at, event } => {
                record(&mut out, 4, &[&[0; 8], &of.value().to_le_bytes(), &at.value().to_le_bytes(), event]);
                known.insert(event.clone());
            }
            Record::Move { seq, start, of, at, events } => {
                let numbers = [*seq, *start, *of, *at].map(|n| n.value().to_le_bytes()).concat();
                record(&mut out, 5, &[&numbers, &events.to_le_bytes()]);
            }
            Record::Body(kind, body) => {
                record(&mut out, *kind, &[body]);
                known.extend([8, 24].into_iter().filter_map(|from| body.get(from..)).map(<[u8]>::to_vec));
            }
            Record::Header(kind, len) => put_header(&mut out, *kind, len % (2 << 20), 0),
            Record::Bytes(bytes) => out.extend_from_slice(bytes),
            Record::Damaged(body) => {
                record(&mut out, 1, &[body, b"damaged"]);
                let last = out.len() - 1;
                out[last] ^= 1;
            }
        }
    }
    out.truncate(out.len().saturating_sub(usize::from(segment.torn % 32)));
    out
}

fn header(seq: u64, dropped: u64) -> Vec<u8> {
    let mut out = b"TPBUFFR2".to_vec();
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&dropped.to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn put_seal(out: &mut Vec<u8>, seq: u64, start: u64, events: u32) {
    record(out, 2, &[&seq.to_le_bytes(), &start.to_le_bytes(), &events.to_le_bytes()]);
}

fn record(out: &mut Vec<u8>, kind: u8, body: &[&[u8]]) {
    let body = body.concat();
    put_header(out, kind, body.len() as u32, crc32fast::hash(&body));
    out.extend_from_slice(&body);
}

fn put_header(out: &mut Vec<u8>, kind: u8, len: u32, crc: u32) {
    let at = out.len();
    out.extend_from_slice(&(u32::from(kind) << 24 | len).to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    let header_crc = crc32fast::hash(&out[at..]);
    out.extend_from_slice(&header_crc.to_le_bytes());
}
