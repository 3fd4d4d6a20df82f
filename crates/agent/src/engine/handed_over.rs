//! Events that another process has redacted and encoded.

use taskplane_model::Timestamp;
use tokio::sync::oneshot;

/// Wire events on their way into the buffer.
#[derive(Debug)]
pub struct HandedOver {
    /// The events, redacted and encoded, with their times.
    pub events: Vec<(Timestamp, String)>,
    /// How many were lost before.
    pub lost: u64,
    taken: oneshot::Sender<()>,
}

impl HandedOver {
    /// What is handed over, and where it is said that it was [taken](Self::taken).
    pub(super) fn new(events: Vec<(Timestamp, String)>, lost: u64) -> (Self, oneshot::Receiver<()>) {
        let (taken, is_taken) = oneshot::channel();
        (Self { events, lost, taken }, is_taken)
    }

    /// Says that everything is in the buffer's file.
    pub fn taken(self) {
        let _ = self.taken.send(());
    }
}
