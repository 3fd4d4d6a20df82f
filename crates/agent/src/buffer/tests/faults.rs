//! A disk that is full, refuses, forgets, or cannot be read.

use std::io::ErrorKind;

use super::*;

#[test]
fn a_full_disk_drops_the_oldest_and_the_buffer_goes_on() {
    let dir = folder();
    let mut buffer = open(&dir);
    buffer.disk.faults.room = Some(10_000);
    for n in 0..200 {
        buffer.append(TS, format!("{n} {}", "x".repeat(300)).as_bytes());
    }
    let report = buffer.report();
    assert!(report.events > 0 && report.dropped > 0 && report.events + report.dropped == 200, "{report:?}");
    buffer.disk.faults.room = None;
    let dropped = report.dropped;
    buffer.append(TS, b"last");
    buffer.seal();
    assert_eq!(buffer.report().dropped, dropped);
    let last = all_after(&mut buffer, 0).pop().expect("a batch");
    assert_eq!(last.events().last(), Some(&b"last"[..]));
}

#[test]
fn a_disk_that_takes_nothing_at_all_loses_the_newest_and_blocks_nobody() {
    let dir = folder();
    let mut buffer = open(&dir);
    buffer.disk.faults.room = Some(0);
    for _ in 0..20 {
        buffer.append(TS, b"lost");
    }
    assert_eq!(buffer.report(), BufferReport { dropped: 20, ..BufferReport::default() });
    buffer.disk.faults.room = None;
    buffer.append(TS, b"kept");
    assert_eq!(buffer.seal(), Some(1));
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_a_sentence() {
    let dir = folder();
    let file = dir.path().join("file");
    fs::write(&file, "").expect("writes");
    let Err(error) = Buffer::open(&file, small()) else { panic!("opened") };
    assert!(error.to_string().starts_with("the data folder cannot be used: "), "{error}");
}

#[test]
fn a_disk_that_refuses_loses_what_comes_says_so_and_resumes() {
    for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::Other, ErrorKind::PermissionDenied] {
        let dir = folder();
        let mut buffer = open(&dir);
        fill(&mut buffer, 3);
        assert_eq!(buffer.trouble(), None);
        buffer.disk.faults.writes = Some(kind);
        buffer.append(TS, b"lost");
        assert_eq!((buffer.report().events, buffer.report().dropped), (3, 1), "what is kept is not given up for it");
        assert!(buffer.trouble().expect("trouble").contains("cannot be written"), "{:?}", buffer.trouble());
        assert_eq!(all_after(&mut buffer, 0).len(), 3, "what is there is delivered meanwhile");
        buffer.disk.faults.writes = None;
        buffer.append(TS, b"kept");
        assert_eq!((buffer.seal(), buffer.trouble()), (Some(4), None));
        drop(buffer);
        assert_eq!(open(&dir).report().dropped, 1, "the count survives");
    }
}

#[test]
fn a_batch_that_the_disk_refused_to_sync_is_written_to_a_new_file() {
    for batches_before in [0, 2] {
        let dir = folder();
        let mut buffer = open(&dir);
        fill(&mut buffer, batches_before);
        buffer.disk.faults.syncs = 1;
        buffer.append(TS, b"forgotten");
        assert_eq!(buffer.seal(), Some(batches_before + 1));
        assert_eq!((buffer.trouble(), buffer.report().events), (None, batches_before + 1));
        let newest = segment_files(&buffer).pop().expect("a segment");
        assert_eq!(segment::first_seq(&newest), Some(batches_before + 1));
        assert_eq!(segment_files(&buffer).len(), 1 + usize::from(batches_before > 0));
        fill(&mut buffer, 1);
        let batches = all_after(&mut buffer, 0);
        drop(buffer);
        let mut buffer = open(&dir);
        assert_eq!(buffer.damaged(), 0);
        assert_eq!(all_after(&mut buffer, 0), batches);
        assert_eq!(batches.len() as u64, batches_before + 2);
    }
}

#[test]
fn a_disk_that_never_syncs_delivers_all_the_same_and_says_so() {
    let dir = folder();
    let mut buffer = open(&dir);
    buffer.disk.faults.syncs = 2;
    buffer.append(TS, b"an event");
    assert_eq!(buffer.seal(), Some(1));
    assert!(buffer.trouble().expect("trouble").contains("refuses to sync"));
    assert_eq!(all_after(&mut buffer, 0).len(), 1);
    fill(&mut buffer, 1);
    assert_eq!(buffer.trouble(), None);
}

#[test]
fn a_batch_that_cannot_be_read_for_a_moment_is_not_skipped() {
    let dir = folder();
    let mut buffer = open(&dir);
    fill(&mut buffer, 3);
    assert_eq!(buffer.next_after(0).expect("a batch").seq, 1);
    buffer.disk.faults.reads = 3;
    for _ in 0..3 {
        assert_eq!(buffer.next_after(1), None);
        assert!(buffer.trouble().expect("trouble").contains("cannot be read"));
    }
    assert_eq!((buffer.next_after(1).expect("a batch").seq, buffer.trouble()), (2, None));
    assert_eq!(buffer.report().dropped, 0);
}

#[test]
fn a_segment_that_can_never_be_read_is_given_up_and_counted() {
    let dir = folder();
    let mut buffer = open(&dir);
    fill(&mut buffer, 20);
    let first = buffer.segments[0].last_seq.expect("batches");
    let path = segment_files(&buffer).remove(0);
    fs::remove_file(path).expect("removes");
    let batch = (0..100).find_map(|_| buffer.next_after(0)).expect("the next segment");
    assert_eq!(batch.seq, first + 1);
    assert_eq!(buffer.report().dropped, first);
    buffer.ack(20);
    assert_eq!((buffer.report().events, buffer.report().dropped), (0, first));
}
