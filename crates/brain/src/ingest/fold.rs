//! From a parsed batch to what the store takes: one record per task, and the raw events compressed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use flate2::{Compress, Compression, FlushCompress, Status};
use serde_json::value::RawValue;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::{TaskRecord, Timestamp};
use taskplane_protocol::frame::EventBatch;
use taskplane_protocol::understand::{Meaning, understand};
use taskplane_store::ingest::{BatchToStore, Quarantined, TaskDelta};

/// Longest text of an event that is kept in quarantine, in bytes.
const MAX_QUARANTINED_BYTES: usize = 4 << 10;
/// Longest reason; one may quote the value that is wrong.
const MAX_REASON_BYTES: usize = 512;

/// Where a batch comes from.
#[derive(Clone, Debug)]
pub struct BatchOrigin {
    /// Project.
    pub project: u64,
    /// Number of the agent.
    pub agent: u64,
    /// Number of the stream.
    pub stream: u64,
    /// The agent's engine, where it has exactly one.
    pub only_engine: Option<Arc<str>>,
}

/// A batch ready to be stored, and what it weighs in memory.
#[derive(Debug)]
pub struct FoldedBatch {
    /// For the store.
    pub batch: BatchToStore,
    /// Where it comes from.
    pub origin: BatchOrigin,
    /// Bytes of the events as they came.
    pub bytes: usize,
    /// About what it holds in memory, in bytes.
    pub memory: usize,
}

/// Folds `batch`, received at `now`.
pub fn fold(batch: &EventBatch<'_>, origin: &BatchOrigin, now: Timestamp) -> FoldedBatch {
    let mut tasks: HashMap<(&str, &str), TaskRecord> = HashMap::with_capacity(batch.events.len() / 3 + 1);
    let mut workers: HashMap<(String, String), Worker> = HashMap::new();
    let mut queues: HashMap<(String, String), Queue> = HashMap::new();
    let (mut quarantined, mut poisoned) = (Vec::new(), Vec::new());
    for (at, event) in batch.events.iter().enumerate() {
        let event = match event {
            Ok(event) => event,
            Err(unreadable) => {
                quarantined.push(quarantine(unreadable.raw, unreadable.reason.clone()));
                continue;
            }
        };
        match understand(event, origin.only_engine.as_deref(), now) {
            Ok(Meaning::Task { engine, task_id, event }) => {
                tasks.entry((engine, task_id)).or_default().apply(task_id, &event);
            }
            Ok(Meaning::Worker(mut worker)) => {
                worker.agent = origin.agent;
                let key = (worker.engine.clone(), worker.name.clone());
                match workers.get_mut(&key) {
                    Some(known) => known.merge(*worker),
                    None => drop(workers.insert(key, *worker)),
                }
            }
            Ok(Meaning::Queue(mut queue)) => {
                queue.agent = origin.agent;
                let key = (queue.engine.clone(), queue.name.clone());
                match queues.get_mut(&key) {
                    Some(known) => known.merge(*queue),
                    None => drop(queues.insert(key, *queue)),
                }
            }
            // Nothing that is known of the task changes, but its events are found by the batches that told of it.
            Ok(Meaning::Other(Some(task))) => drop(tasks.entry(task).or_default()),
            Ok(Meaning::Other(None)) => {}
            Err(poison) => poisoned.push((at, poison.to_string())),
        }
    }
    if !poisoned.is_empty() {
        // Their texts as they came are looked up only now: it is rare, and costs another reading of the batch.
        let raws: Vec<&RawValue> = serde_json::from_str(batch.raw_events).unwrap_or_default();
        let text = |at: usize| raws.get(at).map_or("", |raw| raw.get());
        quarantined.extend(poisoned.into_iter().map(|(at, reason)| quarantine(text(at), reason)));
    }
    let batch_to_store = BatchToStore {
        project: origin.project,
        agent: origin.agent,
        stream: origin.stream,
        seq: batch.seq,
        digest: xxhash_rust::xxh3::xxh3_64(batch.raw_events.as_bytes()),
        received_at: now,
        events: u32::try_from(batch.events.len()).unwrap_or(u32::MAX),
        compressed: compress(batch.raw_events.as_bytes()),
        tasks: deltas(tasks),
        workers: workers.into_values().collect(),
        queues: queues.into_values().collect(),
        quarantined,
    };
    let bytes = batch.raw_events.len();
    // The texts that are kept are part of the events; many small events weigh more as records than as text.
    let records = batch_to_store.tasks.len() * size_of::<TaskDelta>();
    // The compressed events are kept twice while the batch waits.
    let memory = bytes + records + 2 * batch_to_store.compressed.len();
    FoldedBatch { batch: batch_to_store, origin: origin.clone(), bytes, memory }
}

fn deltas(tasks: HashMap<(&str, &str), TaskRecord>) -> Vec<TaskDelta> {
    // A batch names one engine, rarely two: share its text.
    let mut engines: Vec<Arc<str>> = Vec::with_capacity(1);
    let mut shared = |engine: &str| match engines.iter().find(|e| &***e == engine) {
        Some(known) => Arc::clone(known),
        None => {
            engines.push(engine.into());
            Arc::clone(&engines[engines.len() - 1])
        }
    };
    let delta = |((engine, task_id), record): ((&str, &str), TaskRecord)| TaskDelta {
        engine: shared(engine),
        task_id: task_id.to_owned(),
        record,
    };
    tasks.into_iter().map(delta).collect()
}

fn quarantine(raw: &str, reason: String) -> Quarantined {
    let start_of = |text: &str, most: usize| text[..text.floor_char_boundary(most)].to_owned();
    Quarantined { raw: start_of(raw, MAX_QUARANTINED_BYTES), reason: start_of(&reason, MAX_REASON_BYTES) }
}

thread_local! {
    // A compressor is a quarter of a megabyte of tables: made once per thread, reset per batch.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), true));
}

/// zlib, level 1: 40 µs for 33 kB, a sixth of the size.
fn compress(bytes: &[u8]) -> Vec<u8> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut out = Vec::with_capacity(bytes.len() / 5 + 64);
        loop {
            let consumed = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX).min(bytes.len());
            match compressor.compress_vec(&bytes[consumed..], &mut out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => break,
                // The output is full: zlib can always go on with more room.
                Ok(Status::Ok | Status::BufError) => out.reserve(out.capacity().max(64)),
                // Cannot happen on a fresh stream; what is kept for replay is then empty rather than wrong.
                Err(_) => return Vec::new(),
            }
        }
        out.shrink_to_fit();
        out
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use taskplane_model::TaskState;
    use taskplane_protocol::frame::AgentFrame;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    fn fold_text(events: &str) -> BatchToStore {
        let text = format!(r#"{{"type":"event_batch","seq":7,"events":{events}}}"#);
        let AgentFrame::EventBatch(batch) = AgentFrame::parse(&text).expect("parses") else { panic!("a batch") };
        let origin = BatchOrigin { project: 1, agent: 2, stream: 3, only_engine: Some("celery".into()) };
        fold(&batch, &origin, NOW).batch
    }

    #[test]
    fn the_events_of_one_task_become_one_record() {
        let batch = fold_text(
            r#"[{"event_type":"task_sent","task_id":"a","engine":"celery"},{"event_type":"task_success","task_id":"a"},
                {"event_type":"task_sent","task_id":"b"}]"#,
        );
        assert_eq!((batch.seq, batch.events, batch.tasks.len()), (7, 3, 2));
        let a = batch.tasks.iter().find(|t| t.task_id == "a").expect("task a");
        assert_eq!(a.record.task().state, TaskState::Succeeded);
    }

    #[test]
    fn poison_goes_into_quarantine_and_the_rest_goes_on() {
        let batch =
            fold_text(r#"[{"event_type":"task_sent"},{"task_id":7},{"event_type":"task_sent","task_id":"a"},{}]"#);
        let reasons: Vec<&str> = batch.quarantined.iter().map(|q| q.reason.as_str()).collect();
        assert_eq!(batch.tasks.len(), 1);
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert!(reasons.contains(&"task_sent without task_id") && reasons.contains(&"no event_type"), "{reasons:?}");
    }

    #[test]
    fn what_is_quarantined_is_kept_as_it_came() {
        let batch = fold_text(r#"[{"event_type":"task_sent","task_id":"a"},{"no":"type", "x":[1]}]"#);
        assert_eq!(batch.quarantined[0].raw, r#"{"no":"type", "x":[1]}"#);
    }

    #[test]
    fn the_raw_events_survive_compression() {
        let noise: String =
            (0..200_000u32).map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 27) as u8 % 26)).collect();
        let events = format!(r#"[{{"event_type":"note","text":"{noise}"}}]"#);
        let mut text = String::new();
        flate2::read::ZlibDecoder::new(&fold_text(&events).compressed[..]).read_to_string(&mut text).expect("inflates");
        assert_eq!(text, events);
    }
}
