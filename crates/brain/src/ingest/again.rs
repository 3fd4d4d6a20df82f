//! A folded batch that can be folded once more.
//!
//! What the store is given it takes apart. Copying every record beforehand, for the rare case that the store fails, was a
//! twelfth of the brain's work; the compressed events are a small copy, and the same batch comes out of them.

use std::io::Read;

use flate2::read::ZlibDecoder;
use taskplane_model::Timestamp;
use taskplane_protocol::frame::AgentFrame;
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use taskplane_store::ingest::BatchToStore;

use super::fold::{BatchOrigin, fold};

/// A batch for the store, and what it was made of.
pub(super) struct Refoldable {
    /// As it was folded; gone once it was handed out.
    folded: Option<BatchToStore>,
    origin: BatchOrigin,
    seq: u64,
    received_at: Timestamp,
    compressed: Vec<u8>,
}

impl Refoldable {
    /// `batch` was folded from events of `origin`.
    pub(super) fn new(batch: BatchToStore, origin: BatchOrigin) -> Self {
        let (seq, received_at, compressed) = (batch.seq, batch.received_at, batch.compressed.clone());
        Self { folded: Some(batch), origin, seq, received_at, compressed }
    }

    /// Stream and position in it.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.origin.stream, self.seq)
    }

    /// The batch: the first time as it was folded, then folded once more. `None` when that cannot be done, which is only so
    /// when its events could not be compressed.
    pub(super) fn hand_out(&mut self) -> Option<BatchToStore> {
        self.folded.take().or_else(|| self.fold_again())
    }

    fn fold_again(&self) -> Option<BatchToStore> {
        let mut text = format!(r#"{{"type":"event_batch","seq":{},"events":"#, self.seq);
        ZlibDecoder::new(&*self.compressed).take(MAX_FRAME_BYTES as u64).read_to_string(&mut text).ok()?;
        text.push('}');
        match AgentFrame::parse(&text) {
            Ok(AgentFrame::EventBatch(batch)) => Some(fold(&batch, &self.origin, self.received_at).batch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_folded_once_more_is_the_same() {
        let events = r#"[ {"event_type":"task_sent","task_id":"a","ts":"1999-01-01T00:00:00Z","args_redacted":[1, "ü"]},
            {"event_type":"worker_heartbeat","worker":"w1"}, {"event_type":"queue_stats","queue":"q","depth":3}, {"no":"type"} ]"#;
        let text = format!(r#"{{"seq":7,"type":"event_batch","events":{events}}}"#);
        let Ok(AgentFrame::EventBatch(batch)) = AgentFrame::parse(&text) else { panic!("a batch") };
        let origin = BatchOrigin { project: 1, agent: 2, stream: 3, only_engine: Some("celery".into()) };
        let folded = fold(&batch, &origin, Timestamp(1_795_000_000_000_000)).batch;
        let mut refoldable = Refoldable::new(folded.clone(), origin);
        assert_eq!(refoldable.place(), (3, 7));
        for _ in 0..3 {
            let again = refoldable.hand_out().expect("can be folded again");
            assert_eq!(format!("{again:?}"), format!("{folded:?}"));
        }
    }
}
