//! The frame of a batch, and what is done when the brain finds one too large.
//!
//! Our batches are a small part of what the protocol allows, but a brain may be configured to take less. A batch keeps its
//! number and its events; what is cut, with a marker, are the largest values in it, more with each refusal. The batch in the
//! buffer does not change.

use serde_json::{Map, Value};
use taskplane_protocol::limits::SEAL_BYTES;

use crate::buffer::SealedBatch;

/// What stands for a value that was cut.
const CUT: &str = "<cut size>";
/// Fields that are cut, the most talkative first.
const CUTTABLE: &[&str] =
    &["traceback", "result_redacted", "kwargs_redacted", "args_redacted", "exception_message", "queues", "exception"];

/// Which batch was refused, and how often.
#[derive(Debug, Default)]
pub(crate) struct Oversize {
    seq: u64,
    refusals: u32,
}

impl Oversize {
    /// The brain closed the connection over a frame that was too large while `seq` was the first batch in flight.
    pub(super) fn refused(&mut self, seq: u64) {
        if self.seq == seq {
            self.refusals += 1;
        } else {
            *self = Self { seq, refusals: 1 };
        }
    }

    /// How many bytes each event of `batch` may take; `None` when nothing is to be cut.
    ///
    /// The first refusal cuts nothing: what was meant may have been a later batch, with this one being stored meanwhile.
    pub(super) fn room(&self, batch: &SealedBatch) -> Option<usize> {
        let level = self.refusals.checked_sub(2).filter(|_| self.seq == batch.seq)?;
        let whole = SEAL_BYTES.checked_shr(1 + 2 * level).unwrap_or(0);
        Some(whole / batch.events().len().max(1))
    }
}

/// The frame of a batch: the same bytes each time it is sent with the same room.
pub(super) fn frame(batch: &SealedBatch, room: Option<usize>) -> String {
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
            break;
        }
    }
    (!text.is_empty() && text.len() < event.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use taskplane_model::Timestamp;

    use super::*;
    use crate::buffer::{Buffer, BufferOptions};

    fn batch_of(events: &[&str]) -> SealedBatch {
        let dir = tempfile::tempdir().expect("dir");
        let mut buffer = Buffer::open(dir.path(), BufferOptions::default()).expect("opens");
        events.iter().for_each(|event| buffer.append(Timestamp(0), event.as_bytes()));
        buffer.seal();
        buffer.next_after(0).expect("a batch")
    }

    #[test]
    fn a_batch_is_sent_as_it_is_until_it_was_refused_twice() {
        let batch = batch_of(&[r#"{"event_type":"task_sent"}"#, r#"{"event_type":"task_failed"}"#]);
        let whole =
            r#"{"type":"event_batch","seq":1,"events":[{"event_type":"task_sent"},{"event_type":"task_failed"}]}"#;
        let mut oversize = Oversize::default();
        for _ in 0..2 {
            assert_eq!(oversize.room(&batch), None);
            assert_eq!(frame(&batch, oversize.room(&batch)), whole);
            oversize.refused(1);
        }
        assert_eq!(oversize.room(&batch), Some(SEAL_BYTES / 4));
        oversize.refused(1);
        assert_eq!(oversize.room(&batch), Some(SEAL_BYTES / 16));
        (0..40).for_each(|_| oversize.refused(1));
        assert_eq!(oversize.room(&batch), Some(0));
        oversize.refused(2);
        assert_eq!(oversize.room(&batch), None);
    }

    #[test]
    fn the_most_talkative_values_are_cut_and_the_event_stays() {
        let long = "x".repeat(5000);
        let event =
            format!(r#"{{"args_redacted":["{long}"],"event_type":"task_failed","task_id":"t","traceback":"{long}"}}"#);
        let batch = batch_of(&[&event, r#"{"event_type":"task_sent"}"#]);
        let parsed = |room| serde_json::from_str::<Value>(&frame(&batch, Some(room))).expect("JSON");
        let once = parsed(6000);
        assert_eq!(
            (&once["events"][0]["traceback"], &once["events"][0]["args_redacted"][0]),
            (&CUT.into(), &long.into())
        );
        let twice = parsed(100);
        assert_eq!((&twice["events"][0]["args_redacted"], &twice["events"][0]["task_id"]), (&CUT.into(), &"t".into()));
        assert_eq!(twice["events"][1], serde_json::json!({"event_type": "task_sent"}));
    }
}
