use std::fs;

use tempfile::TempDir;

use super::*;

mod damage;
mod faults;
mod hostile;
mod lossy;
mod model;
mod splitting;

const TS: Timestamp = Timestamp(1_795_000_000_000_000);

fn small() -> BufferOptions {
    BufferOptions { max_bytes: 64 << 10, seal_events: 5, seal_bytes: 2 << 10 }
}

/// In memory where the system offers that: the tests of this folder sync thousands of times.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.expect("a folder")
}

fn open(dir: &TempDir) -> Buffer {
    Buffer::open(dir.path(), small()).expect("opens")
}

fn segment_files(buffer: &Buffer) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(&buffer.stream.dir)
        .expect("reads")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| segment::first_seq(path).is_some())
        .collect();
    paths.sort();
    paths
}

fn fill(buffer: &mut Buffer, batches: u64) {
    for batch in 0..batches {
        buffer.append(TS.plus(batch as i64), format!("event {batch}: {}", "x".repeat(500)).as_bytes());
        buffer.seal().expect("seals");
    }
}

fn all_after(buffer: &mut Buffer, mut seq: u64) -> Vec<SealedBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = buffer.next_after(seq) {
        seq = batch.seq;
        batches.push(batch);
    }
    batches
}

#[test]
fn a_batch_is_sealed_when_it_is_full() {
    let dir = folder();
    let mut buffer = open(&dir);
    for n in 0..7 {
        buffer.append(TS, format!("{n}").as_bytes());
    }
    assert_eq!((buffer.last_sealed(), buffer.has_pending()), (1, true));
    assert_eq!(buffer.seal(), Some(2));
    let batches = all_after(&mut buffer, 0);
    let events: Vec<Vec<&[u8]>> = batches.iter().map(|batch| batch.events().collect()).collect();
    assert_eq!(events, [vec![&b"0"[..], b"1", b"2", b"3", b"4"], vec![&b"5"[..], b"6"]]);
    assert_eq!(buffer.seal(), None);
}

#[test]
fn a_batch_is_sealed_before_it_gets_too_long() {
    let dir = folder();
    let mut buffer = open(&dir);
    buffer.append(TS, &[b'a'; 1500]);
    buffer.append(TS, &[b'b'; 1500]);
    assert_eq!(buffer.last_sealed(), 1);
}

#[test]
fn an_ack_removes_whole_segments_and_the_next_number_survives_an_empty_buffer() {
    let dir = folder();
    let mut buffer = open(&dir);
    fill(&mut buffer, 40);
    let before = segment_files(&buffer).len();
    buffer.ack(20);
    assert!(segment_files(&buffer).len() < before);
    assert_eq!(buffer.report().events, 20);
    assert_eq!(buffer.report().oldest_ts, Some(TS.plus(20)));
    buffer.ack(40);
    assert_eq!(buffer.report(), BufferReport { dropped: 0, ..BufferReport::default() });
    drop(buffer);
    let mut buffer = open(&dir);
    buffer.append(TS, b"later");
    assert_eq!(buffer.seal(), Some(41));
}

#[test]
fn the_oldest_batches_go_first_when_it_is_full() {
    let dir = folder();
    let mut buffer = open(&dir);
    fill(&mut buffer, 300);
    let report = buffer.report();
    assert!(report.dropped > 0 && report.events + report.dropped == 300, "{report:?}");
    let total: u64 = segment_files(&buffer).iter().map(|path| fs::metadata(path).expect("metadata").len()).sum();
    assert!(total <= small().max_bytes);
    let seqs: Vec<u64> = all_after(&mut buffer, 0).iter().map(|batch| batch.seq).collect();
    assert_eq!(seqs, (report.dropped + 1..=300).collect::<Vec<_>>());
    drop(buffer);
    assert_eq!(open(&dir).report(), report, "the count survives");
}

#[test]
fn a_torn_tail_is_cut_and_what_was_whole_is_sealed() {
    let dir = folder();
    let mut buffer = open(&dir);
    buffer.append(TS, b"whole");
    buffer.append(TS, b"torn");
    let path = segment_files(&buffer).pop().expect("a segment");
    drop(buffer);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opens");
    file.set_len(fs::metadata(&path).expect("metadata").len() - 1).expect("cuts");
    let mut buffer = open(&dir);
    let batches = all_after(&mut buffer, 0);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].events().collect::<Vec<_>>(), [b"whole"]);
    fill(&mut buffer, 1);
    assert_eq!(all_after(&mut buffer, 1).len(), 1);
}

#[test]
fn a_stream_whose_buffer_was_lost_goes_on_after_what_the_brain_has() {
    let dir = folder();
    let mut buffer = open(&dir);
    fill(&mut buffer, 2);
    buffer.append(TS, b"pending");
    buffer.ack(500);
    assert_eq!(buffer.report().dropped, 2);
    assert_eq!(all_after(&mut buffer, 500).iter().map(|b| b.seq).collect::<Vec<_>>(), [501]);
    drop(buffer);
    assert_eq!(open(&dir).last_sealed(), 501);
}

#[test]
fn an_old_or_repeated_ack_changes_nothing() {
    let dir = folder();
    let mut buffer = open(&dir);
    fill(&mut buffer, 5);
    buffer.ack(3);
    let report = buffer.report();
    buffer.ack(3);
    buffer.ack(0);
    assert_eq!(buffer.report(), report);
    assert_eq!(buffer.next_after(0).expect("a batch").seq, 4);
}
