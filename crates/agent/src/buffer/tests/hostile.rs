//! Segments with good checksums that no buffer ever wrote. What they say may be nonsense; it must not cost what comes after.

use super::record::{Cut, Seal};
use super::*;

/// A stream with one segment, named by number 1, of these records. Offsets in them are those of the segment.
fn planted(records: &[u8]) -> (TempDir, Buffer) {
    let dir = folder();
    let stream = dir.path().join("streams").join(Uuid::from_u128(1).to_string());
    fs::create_dir_all(&stream).expect("a folder");
    fs::write(segment::path(&stream, 1), [&segment::header(1, 0), records].concat()).expect("writes");
    let buffer = open(&dir);
    assert_eq!(buffer.stream.dir, stream, "the stream is continued");
    (dir, buffer)
}

/// Appends a batch, which is delivered: now, and by the next process.
fn goes_on(dir: &TempDir, mut buffer: Buffer) {
    buffer.append(TS, b"new 1");
    buffer.append(TS, b"new 2");
    let seq = buffer.seal().expect("seals");
    delivers_new(&mut buffer, seq);
    drop(buffer);
    delivers_new(&mut open(dir), seq);
}

fn delivers_new(buffer: &mut Buffer, seq: u64) {
    let batch = buffer.next_after(seq - 1).expect("what was sealed can be read");
    assert_eq!((batch.seq, batch.events().collect::<Vec<_>>()), (seq, vec![&b"new 1"[..], b"new 2"]));
}

#[test]
fn a_batch_that_is_yet_to_come_cannot_be_cut() {
    for of in [1, 2, 3] {
        let cut = Cut { of, at: 0 };
        let mut records = Vec::new();
        record::put_copy(&mut records, TS, cut, b"moved");
        record::put_move(&mut records, Seal { seq: 1, start: HEADER_BYTES, events: 1 }, cut);
        let (dir, mut buffer) = planted(&records);
        let batches = all_after(&mut buffer, 0);
        assert_eq!(batches.iter().map(|batch| batch.seq).collect::<Vec<_>>(), [1], "of {of}");
        goes_on(&dir, buffer);
    }
}

#[test]
fn nor_by_copies_whose_seal_is_gone() {
    for of in [1, 2, 3] {
        let mut records = Vec::new();
        record::put_copy(&mut records, TS, Cut { of, at: 0 }, b"moved");
        let start = HEADER_BYTES + records.len() as u64;
        record::put_event(&mut records, TS, b"2");
        record::put_seal(&mut records, Seal { seq: 2, start, events: 1 });
        let (dir, mut buffer) = planted(&records);
        let batches = all_after(&mut buffer, 0);
        assert_eq!(batches.iter().map(|batch| batch.seq).collect::<Vec<_>>(), [1, 2], "of {of}");
        goes_on(&dir, buffer);
    }
}

#[test]
fn a_batch_may_claim_to_begin_where_nothing_does() {
    for start in [HEADER_BYTES + 1, HEADER_BYTES + 40, 1 << 40, u64::MAX] {
        let mut records = Vec::new();
        // Of batch 1, whose seal is gone, and of batch 2, or so.
        record::put_event(&mut records, TS, b"a");
        record::put_event(&mut records, TS, b"b");
        record::put_seal(&mut records, Seal { seq: 2, start, events: 1 });
        let (dir, mut buffer) = planted(&records);
        buffer.ack(1);
        goes_on(&dir, buffer);
    }
}

#[test]
fn more_may_be_said_to_be_moved_than_there_was() {
    let mut records = Vec::new();
    record::put_event(&mut records, TS, b"a");
    record::put_event(&mut records, TS, b"b");
    record::put_seal(&mut records, Seal { seq: 1, start: HEADER_BYTES, events: 2 });
    let start = HEADER_BYTES + records.len() as u64;
    let cut = Cut { of: 1, at: start };
    record::put_copy(&mut records, TS, cut, b"c");
    record::put_move(&mut records, Seal { seq: 2, start, events: u32::MAX }, cut);
    let (dir, mut buffer) = planted(&records);
    assert!(buffer.split(1));
    buffer.ack(3);
    goes_on(&dir, buffer);
    let mut buffer = open(&dir);
    buffer.append(TS, b"pending");
    buffer.ack(4);
    buffer.ack(500);
    goes_on(&dir, buffer);
}
