//! Who does what only one brain should do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taskplane_store::ReplicaStore;

use super::Replicas;

/// How long a lease lasts unless it is renewed.
const LASTING: Duration = Duration::from_secs(6);
/// Before its end, whoever has it stops: clocks do not run equally fast, and what was begun has to end.
const MARGIN: Duration = Duration::from_secs(1);
/// The lease of all duties that are led.
const LEASE: &str = "duties";

/// Whether this brain leads. Cheap to clone.
///
/// Who was suspended with its machine may for a moment believe wrongly that it still leads. So what is led must do no harm when
/// two do it: one leads to spare work, and because two would be in each other's way.
#[derive(Clone)]
pub struct Leadership {
    store: Option<Arc<dyn ReplicaStore>>,
    /// By this machine's clock, which never jumps.
    until: Arc<Mutex<Option<Instant>>>,
}

impl Leadership {
    /// The leadership of the brains on this one's database.
    pub(crate) fn of(replicas: &Replicas) -> Self {
        Self { store: replicas.store(), until: Arc::default() }
    }

    /// True when this brain leads now. To be asked again before each step of what takes long. Who has its database alone always
    /// leads.
    pub fn is_mine(&self) -> bool {
        self.store.is_none() || self.until().is_some_and(|until| Instant::now() < until)
    }

    /// Takes the lease, or renews it.
    pub(crate) async fn seek(&self) {
        let Some(store) = &self.store else { return };
        // The lease is counted from when it was asked for, which is before the database counts it.
        let asked = Instant::now();
        match store.lead(LEASE, LASTING).await {
            Ok(true) => {
                if self.set(Some(asked + LASTING.saturating_sub(MARGIN))).is_none() {
                    tracing::info!("this brain leads now");
                }
            }
            Ok(false) => {
                if self.set(None).is_some() {
                    tracing::info!("another brain leads now");
                }
            }
            // What is left of the lease is left.
            Err(error) => tracing::debug!(%error, "the lease could not be renewed"),
        }
    }

    fn set(&self, until: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut *self.until.lock().unwrap_or_else(PoisonError::into_inner), until)
    }

    fn until(&self) -> Option<Instant> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
