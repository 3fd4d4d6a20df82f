//! Whether the store can be written: what readiness checks say, and how long batches are held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

/// A failure is news for so long. Without batches nothing is tried, and then nobody knows.
const FRESH: Duration = Duration::from_secs(15);
/// How often a trouble that lasts is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What is known of the store's troubles. Cheap to clone.
#[derive(Clone)]
pub(super) struct StoreTrouble {
    current: Arc<Mutex<Option<Trouble>>>,
    /// 1 while it lasts.
    gauge: Gauge,
}

struct Trouble {
    since: Instant,
    last: Instant,
    logged: Instant,
    why: String,
}

impl StoreTrouble {
    /// None so far.
    pub(super) fn none(gauge: Gauge) -> Self {
        Self { current: Arc::default(), gauge }
    }

    /// A write failed for a reason that may pass. Returns for how long writes have been failing.
    pub(super) fn failed(&self, why: String) -> Duration {
        let mut current = self.lock();
        let now = Instant::now();
        self.gauge.set(1);
        // What failed long ago and was not tried since is another story.
        let Some(trouble) = current.as_mut().filter(|trouble| now - trouble.last < FRESH) else {
            tracing::error!(
                why,
                "the store cannot be written: batches are held, nothing is acked, and it is tried again"
            );
            *current = Some(Trouble { since: now, last: now, logged: now, why });
            return Duration::ZERO;
        };
        trouble.last = now;
        if now - trouble.logged >= LOG_EVERY {
            trouble.logged = now;
            tracing::error!(why, seconds = (now - trouble.since).as_secs(), "the store still cannot be written");
        }
        trouble.why = why;
        now - trouble.since
    }

    /// A write succeeded.
    pub(super) fn is_over(&self) {
        if let Some(trouble) = self.lock().take() {
            self.gauge.set(0);
            tracing::info!(seconds = trouble.since.elapsed().as_secs(), "the store can be written again");
        }
    }

    /// Why the store could not be written a moment ago, if it could not.
    pub(super) fn current(&self) -> Option<String> {
        self.lock().as_ref().filter(|trouble| trouble.last.elapsed() < FRESH).map(|trouble| trouble.why.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        // Plain assignments only.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_lasts_as_long_as_tries_fail_and_an_old_one_is_another() {
        let trouble = StoreTrouble::none(Gauge::default());
        assert_eq!(trouble.failed("full".into()), Duration::ZERO);
        for seconds in 1..=40 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(trouble.failed("full".into()), Duration::from_secs(seconds));
        }
        assert_eq!(trouble.current().as_deref(), Some("full"));
        tokio::time::advance(FRESH).await;
        assert_eq!(trouble.current(), None);
        assert_eq!(trouble.failed("full again".into()), Duration::ZERO);
        trouble.is_over();
        assert_eq!(trouble.current(), None);
    }
}
