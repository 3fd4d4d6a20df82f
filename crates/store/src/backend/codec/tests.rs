use taskplane_model::task::{Mark, ToldQueue};
use taskplane_model::{KnownBy, TaskEventKind};

use super::*;

const BASE: Timestamp = Timestamp(1_795_000_000_000_000);
const UUID: &str = "0b7f5a1e-3c4d-4e5f-8a9b-0c1d2e3f4a5b";

fn stamped<T>(value: T) -> Option<Stamped<T>> {
    Some(Stamped { attempt: 2, ts: BASE.plus(-77), value })
}

fn queue(value: &str, is_exact: bool) -> Option<ToldQueue> {
    Some(ToldQueue { attempt: 2, is_exact, ts: BASE.plus(-77), value: value.to_owned() })
}

fn mark(kind: TaskEventKind, at: i64) -> Mark {
    Mark { attempt: Some(0), kind, ts: BASE.plus(at), ..Mark::default() }
}

/// A record with something in every field.
fn everything() -> TaskRecord {
    let text = |text: &str| Some(text.to_owned());
    TaskRecord {
        name: text("shop.pay"),
        args: text("[1]"),
        kwargs: text("{\"ü\":1}"),
        queue: queue("payments", false),
        routing_key: text("payments"),
        exchange: text(""),
        root_id: text(""),
        parent_id: text(UUID),
        group_id: text("not-a-uuid"),
        chord_id: text(&UUID.to_uppercase()),
        eta: stamped(BASE.plus(1 << 40)),
        expires: Some(Timestamp(i64::MIN)),
        priority: Some(-3),
        retry_of: text(UUID),
        retried_as: stamped(UUID.to_owned()),
        progress: stamped(Progress { done_bits: Some(1.5f64.to_bits()), total_bits: None, note: text("halfway") }),
        marks: vec![
            mark(TaskEventKind::Sent, 0),
            Mark { worker: text("w1"), ..mark(TaskEventKind::Started, 10) },
            Mark { attempt: None, worker: text("w2"), requeue: true, ..mark(TaskEventKind::Rejected, -5) },
            Mark {
                worker: text("w1"),
                runtime_us: Some(u64::MAX),
                result: text("null"),
                exception: text("E"),
                exception_message: text("m"),
                traceback: text("t"),
                signal: text("SIGKILL"),
                terminated: true,
                expired: true,
                known_by: Some(KnownBy::Inspection),
                ..mark(TaskEventKind::Failed, i64::MAX - BASE.0)
            },
        ],
        batches: vec![u64::MAX, 900, 7],
        agents: vec![1, 5],
    }
}

fn frame(record: &TaskRecord) -> Frame<'_> {
    Frame {
        base: BASE,
        name: record.name.as_deref(),
        queue: record.queue.as_ref().map(|queue| queue.value.as_str()),
        worker: Some("w1"),
    }
}

fn round_trip(record: &TaskRecord) -> usize {
    let mut bytes = vec![9; 9];
    encode(record, &frame(record), &mut bytes);
    assert_eq!(&decode(&bytes, &frame(record)).expect("decodes"), record);
    bytes.len()
}

#[test]
fn every_field_comes_back() {
    round_trip(&everything());
    round_trip(&TaskRecord { queue: queue("payments", true), ..TaskRecord::default() });
    round_trip(&TaskRecord::default());
    let progress = Progress { done_bits: None, total_bits: Some(7), note: None };
    round_trip(&TaskRecord { progress: stamped(progress), ..TaskRecord::default() });
}

#[test]
fn large_records_are_compressed() {
    let mut record = everything();
    record.marks[3].traceback = Some("  File \"/app/shop.py\", line 7, in pay\n".repeat(100));
    assert!(round_trip(&record) < 700);
}

#[test]
fn an_ordinary_record_is_small() {
    let mut record = TaskRecord {
        name: Some("shop.pay".into()),
        queue: queue("payments", true),
        routing_key: Some("payments".into()),
        root_id: Some(String::new()),
        ..TaskRecord::default()
    };
    for (kind, at) in [(TaskEventKind::Sent, 0), (TaskEventKind::Received, 9_000), (TaskEventKind::Succeeded, 80_000)] {
        record.marks.push(Mark { worker: Some("w1".into()), ..mark(kind, at) });
    }
    record.batches = vec![100_000];
    record.agents = vec![3];
    assert!(round_trip(&record) < 45, "{}", round_trip(&record));
}

#[test]
fn fields_of_later_versions_are_skipped() {
    let record = everything();
    let mut bytes = Vec::new();
    encode(&record, &frame(&record), &mut bytes);
    put_bytes_field(&mut bytes, 60, b"new");
    put_number_field(&mut bytes, 61, 5);
    put_bytes_field(&mut bytes, 1_000, b"newer");
    assert_eq!(decode(&bytes, &frame(&record)).expect("decodes"), record);
}

#[test]
fn damaged_bytes_are_an_error_and_no_panic() {
    let record = everything();
    let mut bytes = Vec::new();
    encode(&record, &frame(&record), &mut bytes);
    for end in 0..bytes.len() {
        let _ = decode(&bytes[..end], &frame(&record));
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let _ = decode(&damaged, &frame(&record));
        }
    }
    assert!(decode(&[], &frame(&record)).is_err());
    assert!(decode(&[200, 1], &frame(&record)).is_err());
}
