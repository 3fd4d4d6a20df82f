//! Watching django-celery-beat's schedules, whoever reads them.

use std::time::Duration;

use taskplane_agent::engine::Health;
use taskplane_agent::scheduler::{MAX_SCHEDULES, ScheduleObserver};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::periodic_task::PeriodicTask;

/// How often to look whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often to read all rows even though nothing says that they have changed: somebody may write SQL by hand.
const READ_EVERY: Duration = Duration::from_secs(300);
/// How often next runs that have passed are computed anew.
const COMPUTE_EVERY: Duration = Duration::from_secs(60);
/// Longest pause before another attempt.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Where schedules are read.
pub(crate) trait Source: Sync {
    /// Why they cannot be; for people.
    type Error: std::fmt::Display + Send;

    /// Reads all of them; `None` when nothing has changed since `known` was read.
    fn read(&self, known: Option<&str>) -> impl Future<Output = Result<Option<Read>, Self::Error>> + Send;
}

/// What was read.
#[derive(Default)]
pub(crate) struct Read {
    /// Different after any change that is worth reading all of them again.
    pub(crate) marker: String,
    /// At most [`MAX_SCHEDULES`].
    pub(crate) tasks: Vec<PeriodicTask>,
    pub(crate) are_more: bool,
}

/// Tells of all schedules at first and after every change, until `stop`; looks at once when `changed` is notified.
pub(crate) async fn watch(source: &impl Source, changed: &Notify, observer: ScheduleObserver, stop: CancellationToken) {
    let mut known = Known::default();
    let mut pause = LOOK_EVERY;
    while !stop.is_cancelled() {
        let Some(refreshed) = stop.run_until_cancelled(known.refresh(source)).await else { return };
        match refreshed {
            Ok(is_news) => {
                pause = LOOK_EVERY;
                observer.health(known.health()).await;
                if is_news {
                    let at = now();
                    observer.list(known.read.tasks.iter().map(|task| task.at(at)).collect()).await;
                }
            }
            Err(error) => {
                observer.health(Health::Down(error.to_string())).await;
                // What is read after it came back is told, whether or not it says that it has changed.
                known.read_at = None;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// What was read last.
#[derive(Default)]
struct Known {
    read: Read,
    read_at: Option<Instant>,
    computed_at: Option<Instant>,
}

impl Known {
    /// Reads what has changed. True when there is something to tell.
    async fn refresh<S: Source>(&mut self, source: &S) -> Result<bool, S::Error> {
        let is_due = self.read_at.is_none_or(|at| at.elapsed() >= READ_EVERY);
        let marker = Some(self.read.marker.as_str()).filter(|_| !is_due);
        if let Some(read) = source.read(marker).await? {
            if read.are_more && !self.read.are_more {
                tracing::warn!("there are more than {MAX_SCHEDULES} schedules: the first {MAX_SCHEDULES} are shown");
            }
            *self = Self { read, read_at: Some(Instant::now()), computed_at: Some(Instant::now()) };
            return Ok(true);
        }
        let is_stale = self.computed_at.is_none_or(|at| at.elapsed() >= COMPUTE_EVERY);
        if is_stale {
            self.computed_at = Some(Instant::now());
        }
        Ok(is_stale)
    }

    fn health(&self) -> Health {
        if self.read.are_more {
            Health::Down(format!("more than {MAX_SCHEDULES} schedules: only the first are shown"))
        } else {
            Health::Ok
        }
    }
}
