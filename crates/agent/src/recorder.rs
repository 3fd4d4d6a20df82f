//! From the engines to the buffer: redacts, appends, seals. Runs on a thread of its own, since it waits for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use taskplane_model::Timestamp;
use taskplane_protocol::limits::SEAL_AFTER;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::buffer::Spool;
use crate::engine::{HandedOver, Observation};
use crate::redact::Redactor;

/// Most observations that are written at once.
const AT_ONCE: usize = 256;

/// What the recorder takes in.
pub(crate) struct Inlets {
    pub(crate) observations: mpsc::Receiver<Observation>,
    /// Encoded already.
    pub(crate) handed_over: mpsc::Receiver<HandedOver>,
}

/// What came in.
enum Taken {
    /// Observations, which are where they were to be put.
    Seen,
    HandedOver(HandedOver),
    /// Nothing by the time at which to seal.
    Nothing,
    /// Nothing will come any more.
    Over,
}

impl Inlets {
    async fn take(&mut self, seen: &mut Vec<Observation>, until: Option<Instant>) -> Taken {
        let is_due = async {
            match until {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(is_due);
        let (mut no_observations, mut nothing_handed_over) = (false, false);
        while !(no_observations && nothing_handed_over) {
            tokio::select! {
                count = self.observations.recv_many(seen, AT_ONCE), if !no_observations => match count {
                    0 => no_observations = true,
                    _ => return Taken::Seen,
                },
                handed = self.handed_over.recv(), if !nothing_handed_over => match handed {
                    Some(handed) => return Taken::HandedOver(handed),
                    None => nothing_handed_over = true,
                },
                () = &mut is_due => return Taken::Nothing,
            }
        }
        Taken::Over
    }
}

/// Records until all senders are gone, and then seals what is left.
pub(crate) fn record(mut inlets: Inlets, redactor: &Arc<Redactor>, spool: &Spool, runtime: &Handle) {
    let mut seen = Vec::with_capacity(AT_ONCE);
    // When what is pending must be sealed.
    let mut seal_at: Option<Instant> = None;
    loop {
        let mut pending = seal_at.is_some();
        match runtime.block_on(inlets.take(&mut seen, seal_at)) {
            Taken::Over => {
                spool.seal_blocking();
                return;
            }
            Taken::Seen => {
                let events: Vec<_> = seen.drain(..).filter_map(|observation| encoded(redactor, &observation)).collect();
                pending = spool.append_all_blocking(&events);
            }
            Taken::HandedOver(handed) => {
                spool.count_lost_blocking(handed.lost);
                spool.append_all_blocking(&handed.events);
                handed.taken();
                // They were gathered before they came here.
                pending = spool.seal_blocking();
            }
            Taken::Nothing => {}
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
