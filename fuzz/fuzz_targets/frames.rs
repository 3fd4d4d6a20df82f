//! Text frames in both directions: what is read can be written and read again as the same, every event of a batch is either
//! understood or refused with a reason, and what it tells can be folded.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use taskplane_model::rollup::{Rollup, contribute};
use taskplane_model::{TaskRecord, Timestamp};
use taskplane_protocol::frame::{AgentFrame, BrainFrame, Event, EventBatch, encode};
use taskplane_protocol::limits::MAX_BATCH_EVENTS;
use taskplane_protocol::understand::{Meaning, understand};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fuzz_target!(|text: &str| {
    match AgentFrame::parse(text) {
        Ok(AgentFrame::Hello(hello)) => survives_writing("hello", &*hello),
        Ok(AgentFrame::Heartbeat(heartbeat)) => survives_writing("heartbeat", &heartbeat),
        Ok(AgentFrame::CommandResult(result)) => survives_writing("command_result", &result),
        Ok(AgentFrame::CommandProgress(progress)) => survives_writing("command_progress", &progress),
        Ok(AgentFrame::EventBatch(batch)) => batch_is_interpreted(&batch),
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match BrainFrame::parse(text) {
        Ok(BrainFrame::Ack { seq }) => {
            assert!(
                matches!(BrainFrame::parse(&BrainFrame::ack(seq)), Ok(BrainFrame::Ack { seq: again }) if again == seq)
            );
        }
        Ok(BrainFrame::Command(command)) => survives_writing("command", &command),
        _ => {}
    }
});

fn survives_writing<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(kind: &'static str, frame: &T) {
    let text = encode(kind, frame);
    let again: T = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(&again, frame);
    assert_eq!(encode(kind, &again), text);
}

fn batch_is_interpreted(batch: &EventBatch<'_>) {
    assert!(batch.seq > 0 && (1..=MAX_BATCH_EVENTS).contains(&batch.events.len()));
    let mut records: BTreeMap<(&str, &str), TaskRecord> = BTreeMap::new();
    for event in &batch.events {
        let Ok(event) = event else { continue };
        let text = serde_json::to_string(event).expect("an event can be written");
        let again: Event<'_> = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(serde_json::to_string(&again).expect("an event can be written"), text);
        match understand(event, Some("celery"), NOW) {
            Ok(Meaning::Task { engine, task_id, event }) => {
                assert!(!task_id.is_empty() && !event.ts.is_absurd(NOW));
                records.entry((engine, task_id)).or_default().apply(task_id, &event);
            }
            Ok(Meaning::Worker(worker)) => assert!(!worker.last_seen_at.is_absurd(NOW)),
            Ok(_) => {}
            Err(poison) => assert!(!poison.to_string().is_empty()),
        }
    }
    for record in records.values() {
        folds(record);
    }
}

/// A record merged with itself is itself, and what it adds to the statistics can be taken back.
fn folds(record: &TaskRecord) {
    let mut twice = record.clone();
    twice.merge(record.clone());
    assert_eq!(&twice, record);
    let task = record.task();
    let _ = (task.current().wait_us(task.eta()), task.first_seen(), task.last_end());
    let mut minutes: BTreeMap<i64, Rollup> = BTreeMap::new();
    for sign in [1, -1] {
        contribute(record, sign, |minute, change| change(minutes.entry(minute).or_default()));
    }
    assert!(minutes.values().all(Rollup::is_empty));
}
