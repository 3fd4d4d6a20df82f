//! Picks the events of one task out of the batches that they came in.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use taskplane_protocol::frame::Event;
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use taskplane_protocol::understand::event_time;
use taskplane_store::tasks::{RawBatch, StoredTask};

use crate::api::types::TaskEvent;
use crate::api::types::task_detail::timeline;

/// The events of `task` in `batches`, by time. A batch that cannot be read is left out: the rest is still worth showing.
/// When nothing is left of the batches, the events are put together from what the task's record still tells.
pub(super) fn events_of(task: &StoredTask, batches: &[RawBatch]) -> Vec<TaskEvent> {
    let mut events = Vec::new();
    for batch in batches {
        match inflate(&batch.compressed) {
            Some(text) => pick(task, batch, &text, &mut events),
            None => tracing::warn!(agent = %batch.agent, seq = batch.seq, "a stored batch cannot be inflated"),
        }
    }
    if events.is_empty() {
        return from_record(task);
    }
    events.sort_by_key(|event| (event.ts, event.received_at, event.seq));
    events
}

/// Inflates a batch, but no further than a batch can be long: what is stored came from outside.
fn inflate(compressed: &[u8]) -> Option<String> {
    let mut text = String::new();
    let limit = u64::try_from(MAX_FRAME_BYTES).unwrap_or(u64::MAX);
    let read = ZlibDecoder::new(compressed).take(limit + 1).read_to_string(&mut text).ok()?;
    (read <= MAX_FRAME_BYTES).then_some(text)
}

fn pick(task: &StoredTask, batch: &RawBatch, text: &str, events: &mut Vec<TaskEvent>) {
    let Ok(raws) = serde_json::from_str::<Vec<&RawValue>>(text) else { return };
    for raw in raws {
        // Events that cannot be read were quarantined, and never told of this task.
        let Ok(event) = serde_json::from_str::<Event<'_>>(raw.get()) else { continue };
        let is_of_task = event.task_id.as_deref() == Some(task.task_id.as_str())
            // Agents with one engine need not name it.
            && event.engine.as_deref().is_none_or(|engine| engine == task.engine);
        if !is_of_task {
            continue;
        }
        let time = event_time(&event, batch.received_at);
        events.push(TaskEvent {
            event_type: event.event_type.as_deref().unwrap_or_default().to_owned(),
            ts: time.ts,
            ts_replaced: time.is_replaced,
            agent: batch.agent.clone(),
            received_at: batch.received_at,
            seq: batch.seq,
            event: serde_json::from_str(raw.get()).unwrap_or_default(),
        });
    }
}

fn from_record(task: &StoredTask) -> Vec<TaskEvent> {
    let agent = task.agent.clone().unwrap_or_default();
    let known = |entry: &crate::api::types::TimelineEntry| {
        let mut event = Map::new();
        event.insert("event_type".into(), Value::from(entry.event.clone()));
        event.insert("ts".into(), Value::from(entry.ts.to_string()));
        event.insert("engine".into(), Value::from(task.engine.clone()));
        event.insert("task_id".into(), Value::from(task.task_id.clone()));
        event.extend(entry.attempt.map(|attempt| ("retries".to_owned(), Value::from(attempt))));
        event.extend(entry.worker.clone().map(|worker| ("worker".to_owned(), Value::from(worker))));
        event
    };
    let event = |entry: crate::api::types::TimelineEntry| TaskEvent {
        event: known(&entry),
        event_type: entry.event,
        ts: entry.ts,
        ts_replaced: false,
        agent: agent.clone(),
        received_at: entry.ts,
        seq: 0,
    };
    timeline(task).into_iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use taskplane_model::{TaskEvent as ModelEvent, TaskEventKind, TaskRecord, Timestamp};

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    fn task() -> StoredTask {
        let mut record = TaskRecord::default();
        record.apply("t1", &ModelEvent { kind: TaskEventKind::Sent, ts: NOW, ..ModelEvent::default() });
        let (engine, task_id, agent) = ("celery".into(), "t1".into(), Some("web".into()));
        StoredTask { key: 1, first_seen: NOW, engine, task_id, agent, record }
    }

    fn batch(seq: u64, text: &str) -> RawBatch {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("in memory");
        let compressed = encoder.finish().expect("in memory");
        RawBatch { agent: "web".into(), seq, received_at: NOW, compressed }
    }

    #[test]
    fn only_this_task_s_events_are_picked_and_sorted() {
        let batches = [
            batch(
                1,
                r#"[{"event_type":"task_started","task_id":"t1","engine":"celery","ts":"2026-11-18T10:00:02.000000Z"},
                         {"event_type":"task_sent","task_id":"t2","engine":"celery"},
                         {"event_type":7,"task_id":"t1"},
                         {"event_type":"task_sent","task_id":"t1","engine":"rq"}]"#,
            ),
            batch(
                2,
                r#"[{"event_type":"task_sent","task_id":"t\u0031","ts":"2026-11-18T10:00:01.000000Z","extra":{"kept":true}}]"#,
            ),
        ];
        let events = events_of(&task(), &batches);
        let types: Vec<&str> = events.iter().map(|e| e.event_type.as_str()).collect();
        assert_eq!(types, ["task_sent", "task_started"]);
        assert_eq!(events[0].event["extra"]["kept"], true);
    }

    #[test]
    fn without_readable_batches_the_record_tells() {
        let bomb = batch(1, &" ".repeat(MAX_FRAME_BYTES + 1));
        let rubbish = RawBatch { compressed: vec![1, 2, 3], ..batch(2, "[]") };
        let events = events_of(&task(), &[bomb, rubbish]);
        assert_eq!((events.len(), events[0].event_type.as_str(), events[0].seq), (1, "task_sent", 0));
    }
}
