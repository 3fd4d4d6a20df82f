//! The frame of a batch, and what is done when the brain finds one too large.
//!
//! Our batches are a small part of what the protocol allows, but a brain may be configured to take less. It closes with 1009
//! and does not say at which frame, so after that batches go one at a time until it is known. What was refused is split, down
//! to single events; of a single event values are cut, with a marker; and one that is refused even so is dropped and counted,
//! since everything behind it would wait for ever.
//!
//! From a refusal we know that a frame so long is never taken, and therefore was never stored: that is what makes it safe to
//! split batches that are too long before they are refused as well.

use serde_json::{Map, Value};

use crate::buffer::{SealedBatch, Spool};

/// What stands for a value that was cut.
const CUT: &str = "<cut size>";
/// Fields that are cut, the most talkative first.
const CUTTABLE: &[&str] =
    &["traceback", "result_redacted", "kwargs_redacted", "args_redacted", "exception_message", "queues", "exception"];
/// What is left, beside markers, of an event that is too large with all of these cut.
const ESSENTIAL: &[&str] = &["event_type", "ts", "engine", "task_id", "worker", "queue", "schedule_id"];
/// Batches are never made shorter than this, in bytes; a brain that takes less is not one.
const SMALLEST_BATCH: usize = 1 << 10;

/// What is known of the length of frames that the brain takes.
#[derive(Debug, Default)]
pub(crate) struct Oversize {
    /// The shortest frame that it refused, in bytes.
    limit: Option<usize>,
    /// One of the batches up to this number was refused, and it is not known which.
    suspect: u64,
}

/// What can be sent of a batch.
pub(super) enum Fitting {
    /// Its frame.
    Frame(String),
    /// It was split or dropped; there may be another one after the same number.
    Changed,
}

impl Oversize {
    /// The brain refused a frame while the batches `first` to `last` were in flight, the last of them in a frame of `bytes`.
    /// `is_sure` when nothing but that frame can be meant.
    pub(super) async fn refused(&mut self, first: u64, last: u64, bytes: usize, is_sure: bool, spool: &Spool) {
        if is_sure && first == last {
            tracing::error!(seq = last, bytes, "the brain found a batch too large: it is split, or shortened");
            self.limit = Some(self.limit.unwrap_or(usize::MAX).min(bytes));
            self.suspect = 0;
            spool.seal_below((bytes / 2).max(SMALLEST_BATCH)).await;
        } else {
            tracing::error!(seq = first, last, "the brain found a batch too large: sending one at a time to see which");
            self.suspect = self.suspect.max(last);
        }
    }

    /// True when others may be in flight together with a batch of this number.
    pub(super) fn may_be_accompanied(&self, seq: u64) -> bool {
        seq > self.suspect
    }

    /// Makes the batch fit, as far as the brain's limit is known. The brain must have said on this connection that it does
    /// not have the batch.
    pub(super) async fn fit(&self, batch: &SealedBatch, spool: &Spool) -> Fitting {
        let whole = frame(batch, None);
        let Some(limit) = self.limit.filter(|limit| whole.len() >= *limit) else { return Fitting::Frame(whole) };
        if batch.events().len() > 1 && spool.split(batch.seq).await {
            return Fitting::Changed;
        }
        let cut = frame(batch, Some(limit / 2 / batch.events().len().max(1)));
        if cut.len() < limit {
            return Fitting::Frame(cut);
        }
        // A batch of several that cannot be split, because the disk refuses, waits.
        if batch.events().len() > 1 {
            return Fitting::Frame(whole);
        }
        spool.give_up(batch.seq).await;
        Fitting::Changed
    }
}

/// The frame of a batch: the same bytes each time it is sent with the same room for each event.
fn frame(batch: &SealedBatch, room: Option<usize>) -> String {
    let mut frame = format!(r#"{{"type":"event_batch","seq":{},"events":["#, batch.seq).into_bytes();
    frame.reserve(batch.bytes() + batch.events().len() + 2);
    for (index, event) in batch.events().enumerate() {
        if index > 0 {
            frame.push(b',');
        }
        match room.filter(|room| *room < event.len()).and_then(|room| shortened(event, room)) {
            Some(event) => frame.extend_from_slice(&event),
            None => frame.extend_from_slice(event),
        }
    }
    frame.extend_from_slice(b"]}");
    // Events were appended as text, and their checksums hold.
    String::from_utf8(frame).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The event with so many of its values cut that it fits into `room`, as far as that is possible.
fn shortened(event: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(event).ok()?;
    let mut text = Vec::new();
    for field in CUTTABLE {
        let Some(value) = fields.get_mut(*field) else { continue };
        *value = if value.is_array() && *field == "queues" { Value::Array(Vec::new()) } else { CUT.into() };
        text = serde_json::to_vec(&fields).ok()?;
        if text.len() <= room {
            return Some(text);
        }
    }
    fields.retain(|name, value| ESSENTIAL.contains(&name.as_str()) || *value == CUT);
    text = serde_json::to_vec(&fields).unwrap_or(text);
    (text.len() < event.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use taskplane_model::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::buffer::{Buffer, BufferOptions};

    fn spool_of(events: &[&str]) -> (TempDir, Spool) {
        let dir = tempfile::tempdir().expect("dir");
        let mut buffer = Buffer::open(dir.path(), BufferOptions::default()).expect("opens");
        events.iter().for_each(|event| buffer.append(Timestamp(0), event.as_bytes()));
        buffer.seal();
        (dir, Spool::new(buffer))
    }

    async fn refusal(oversize: &mut Oversize, seq: u64, bytes: usize, spool: &Spool) {
        oversize.refused(seq, seq, bytes, true, spool).await;
    }

    /// The frames that are sent, with the brain taking each of them.
    async fn sent(oversize: &Oversize, spool: &Spool) -> Vec<String> {
        let (mut after, mut frames) = (0, Vec::new());
        while let Some(batch) = spool.next_after(after).await {
            if let Fitting::Frame(frame) = oversize.fit(&batch, spool).await {
                after = batch.seq;
                frames.push(frame);
            }
        }
        frames
    }

    #[tokio::test]
    async fn a_batch_is_split_until_it_is_shorter_than_what_was_refused() {
        let events: Vec<String> = (0..8).map(|n| format!(r#"{{"event_type":"task_sent","task_id":"t{n}"}}"#)).collect();
        let (_dir, spool) = spool_of(&events.iter().map(String::as_str).collect::<Vec<_>>());
        let mut oversize = Oversize::default();
        let whole = sent(&oversize, &spool).await;
        assert_eq!((whole.len(), &whole[0][..30]), (1, r#"{"type":"event_batch","seq":1,"#));
        refusal(&mut oversize, 1, 200, &spool).await;
        let frames = sent(&oversize, &spool).await;
        assert_eq!(frames.len(), 4);
        assert!(frames.iter().all(|frame| frame.len() < 200), "{frames:?}");
        let text = frames.concat();
        assert!(events.iter().all(|event| text.matches(event).count() == 1));
    }

    #[tokio::test]
    async fn the_most_talkative_values_of_a_single_event_are_cut_and_the_event_stays() {
        let event = format!(
            r#"{{"args_redacted":["{}"],"event_type":"task_failed","name":"{}","task_id":"t","traceback":"{}"}}"#,
            "x".repeat(2000),
            "n".repeat(300),
            "x".repeat(8000)
        );
        let (_dir, spool) = spool_of(&[&event]);
        let mut oversize = Oversize::default();
        let mut seen = Vec::new();
        for limit in [10_400, 1000, 500] {
            refusal(&mut oversize, 1, limit, &spool).await;
            let frame: Value = serde_json::from_str(&sent(&oversize, &spool).await[0]).expect("JSON");
            let event = &frame["events"][0];
            assert_eq!((&event["task_id"], &event["event_type"]), (&"t".into(), &"task_failed".into()));
            seen.push([event["traceback"] == CUT, event["args_redacted"] == CUT, event["name"].is_null()]);
        }
        assert_eq!(seen, [[true, false, false], [true, true, false], [true, true, true]]);
        refusal(&mut oversize, 1, 60, &spool).await;
        assert!(sent(&oversize, &spool).await.is_empty());
        assert_eq!((spool.status().report.events, spool.status().report.dropped), (0, 1));
    }

    #[tokio::test]
    async fn after_a_refusal_that_may_mean_several_they_go_one_at_a_time() {
        let (_dir, spool) = spool_of(&["{}"]);
        let mut oversize = Oversize::default();
        oversize.refused(3, 5, 100, true, &spool).await;
        oversize.refused(4, 4, 100, false, &spool).await;
        assert_eq!([3, 5, 6].map(|seq| oversize.may_be_accompanied(seq)), [false, false, true]);
        assert_eq!(oversize.limit, None);
    }
}
