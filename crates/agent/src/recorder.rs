//! From the engines to the buffer: redacts, appends, seals. Runs on a thread of its own, since it waits for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use taskplane_model::Timestamp;
use taskplane_protocol::limits::SEAL_AFTER;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::buffer::Spool;
use crate::engine::Observation;
use crate::redact::Redactor;

/// Most observations that are written at once.
const AT_ONCE: usize = 256;

/// Records until all senders are gone, and then seals what is left.
pub(crate) fn record(
    mut observations: mpsc::Receiver<Observation>,
    redactor: &Arc<Redactor>,
    spool: &Spool,
    runtime: &Handle,
) {
    let mut seen = Vec::with_capacity(AT_ONCE);
    // When what is pending must be sealed.
    let mut seal_at: Option<Instant> = None;
    loop {
        let taken = runtime.block_on(async {
            let receive = observations.recv_many(&mut seen, AT_ONCE);
            match seal_at {
                Some(at) => timeout_at(at, receive).await.ok(),
                None => Some(receive.await),
            }
        });
        if taken == Some(0) {
            spool.seal_blocking();
            return;
        }
        let mut pending = seal_at.is_some();
        if !seen.is_empty() {
            let events: Vec<_> = seen.drain(..).filter_map(|observation| encoded(redactor, &observation)).collect();
            pending = spool.append_all_blocking(&events);
        }
        if seal_at.is_some_and(|at| at <= Instant::now()) {
            pending = spool.seal_blocking();
            seal_at = None;
        }
        seal_at = pending.then(|| seal_at.unwrap_or_else(|| Instant::now() + SEAL_AFTER));
    }
}

/// The wire event. The redactor is total; should it fail all the same, the event is lost and not the agent.
fn encoded(redactor: &Redactor, observation: &Observation) -> Option<(Timestamp, String)> {
    match catch_unwind(AssertUnwindSafe(|| redactor.encode(observation))) {
        Ok(event) => Some((observation.ts, event)),
        Err(_) => {
            tracing::error!(engine = observation.engine, "an event could not be redacted and was left out");
            None
        }
    }
}
