//! A batch that is split becomes two, once and for all.

use super::*;

fn texts(batch: &SealedBatch) -> Vec<String> {
    batch.events().map(|event| String::from_utf8_lossy(event).into_owned()).collect()
}

fn numbered(buffer: &mut Buffer, after: u64) -> Vec<(u64, Vec<String>)> {
    all_after(buffer, after).iter().map(|batch| (batch.seq, texts(batch))).collect()
}

fn batch_of(buffer: &mut Buffer, events: &[&str]) -> u64 {
    buffer.append_all(events.iter().map(|event| (TS, event.as_bytes())));
    buffer.seal().expect("seals")
}

fn expected(batches: &[(u64, &[&str])]) -> Vec<(u64, Vec<String>)> {
    batches.iter().map(|(seq, events)| (*seq, events.iter().map(|&event| event.to_owned()).collect())).collect()
}

#[test]
fn the_second_half_becomes_the_newest_batch_also_for_the_next_process() {
    let dir = folder();
    let mut buffer = open(&dir);
    batch_of(&mut buffer, &["a", "b", "c", "d"]);
    batch_of(&mut buffer, &["e"]);
    buffer.append(TS, b"f");
    assert!(buffer.split(1));
    let batches = expected(&[(1, &["a", "b"]), (2, &["e"]), (3, &["f"]), (4, &["c", "d"])]);
    assert_eq!(numbered(&mut buffer, 0), batches);
    assert_eq!((buffer.last_sealed(), buffer.report().events), (4, 6));
    drop(buffer);
    let mut buffer = open(&dir);
    assert_eq!(numbered(&mut buffer, 0), batches);
    assert_eq!((buffer.last_sealed(), buffer.report().events), (4, 6));
    buffer.ack(1);
    assert_eq!(buffer.report().events, 4);
    buffer.ack(4);
    assert_eq!((buffer.report().events, buffer.report().dropped), (0, 0));
}

#[test]
fn a_batch_is_split_down_to_single_events_and_no_further() {
    let dir = folder();
    let mut buffer = open(&dir);
    batch_of(&mut buffer, &["a", "b", "c", "d"]);
    assert!(buffer.split(1) && buffer.split(1) && buffer.split(2));
    assert_eq!(numbered(&mut buffer, 0), expected(&[(1, &["a"]), (2, &["c"]), (3, &["b"]), (4, &["d"])]));
    for seq in 0..=5 {
        assert!(!buffer.split(seq), "{seq}");
    }
    drop(buffer);
    assert_eq!(numbered(&mut open(&dir), 0), expected(&[(1, &["a"]), (2, &["c"]), (3, &["b"]), (4, &["d"])]));
}

#[test]
fn a_split_survives_the_segment_that_the_batch_was_in() {
    let dir = folder();
    let mut buffer = open(&dir);
    batch_of(&mut buffer, &["a", "b"]);
    fill(&mut buffer, 20);
    assert!(buffer.split(1));
    buffer.ack(21);
    drop(buffer);
    let mut buffer = open(&dir);
    assert!(!segment_files(&buffer)[0].ends_with("00000000000000000001.log"));
    buffer.ack(21);
    assert_eq!(numbered(&mut buffer, 21), expected(&[(22, &["b"])]));
    assert_eq!((buffer.report().events, buffer.report().dropped), (1, 0));
}

#[test]
fn an_acked_batch_is_not_split() {
    let dir = folder();
    let mut buffer = open(&dir);
    batch_of(&mut buffer, &["a", "b"]);
    buffer.ack(1);
    assert!(!buffer.split(1));
}

#[test]
fn a_disk_that_refuses_leaves_the_batch_whole() {
    let dir = folder();
    let mut buffer = open(&dir);
    batch_of(&mut buffer, &["a", "b"]);
    buffer.disk.faults.room = Some(20);
    assert!(!buffer.split(1));
    buffer.disk.faults.room = None;
    buffer.disk.faults.syncs = 1;
    assert!(!buffer.split(1));
    assert_eq!(numbered(&mut buffer, 0), expected(&[(1, &["a", "b"])]));
    batch_of(&mut buffer, &["c"]);
    drop(buffer);
    let mut buffer = open(&dir);
    assert_eq!(numbered(&mut buffer, 0), expected(&[(1, &["a", "b"]), (2, &["c"])]));
    assert!(buffer.split(1));
}

#[test]
fn a_process_that_is_killed_while_it_splits_has_split_or_not() {
    let whole = expected(&[(1, &["a", "b", "c"]), (2, &["d"])]);
    let split = expected(&[(1, &["a"]), (2, &["d"]), (3, &["b", "c"])]);
    let mut seen = [0, 0];
    for killed_after in 0..160 {
        let dir = folder();
        let mut buffer = open(&dir);
        batch_of(&mut buffer, &["a", "b", "c"]);
        batch_of(&mut buffer, &["d"]);
        buffer.disk.faults.killed_after = Some(killed_after);
        buffer.split(1);
        drop(buffer);
        let batches = numbered(&mut open(&dir), 0);
        assert!(batches == whole || batches == split, "after {killed_after}: {batches:?}");
        seen[usize::from(batches == split)] += 1;
    }
    assert!(seen[0] > 10 && seen[1] > 10, "{seen:?}");
}

#[test]
fn a_batch_that_is_given_up_is_counted() {
    let dir = folder();
    let mut buffer = open(&dir);
    batch_of(&mut buffer, &["a", "b"]);
    batch_of(&mut buffer, &["c"]);
    buffer.give_up(1);
    assert_eq!((buffer.report().events, buffer.report().dropped), (1, 2));
    assert_eq!(numbered(&mut buffer, 0), expected(&[(2, &["c"])]));
}
