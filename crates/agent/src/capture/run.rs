//! Handing over what is collected, again and again.
//!
//! Files are read on blocking threads: most of it is in memory, but after a restart of the host, or under pressure, the disk
//! may take its time, which must not hold up the connection.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::chunk::Captured;
use super::collector::{Haul, Tail};
use super::{Collector, lead};
use crate::engine::Observer;

/// How often to look. Each look that finds something costs a dozen switches between threads and one sync of the disk, in the
/// application's process; what it finds is a batch at once.
const PAUSE: Duration = Duration::from_millis(100);
/// So much more for each file that is there, once nothing came, up to the longest pause: what looking costs is bounded.
const PAUSE_FOR_FILE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long to go on after the end was asked for.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Waits until this process is the collector of the group folder `dir`, and then collects, see [`Collector::run`].
pub async fn collect(
    dir: &Path,
    observer: Observer,
    on_event: impl FnMut(Option<Vec<u8>>, &str) + Send,
    stop: CancellationToken,
) {
    if let Some(mut collector) = lead(dir, &stop).await {
        collector.run(observer, on_event, stop).await;
    }
}

impl Collector {
    /// Hands over what is captured until `stop`, and then once more what is there by then, for at most a second. What is not
    /// handed over stays in the files.
    ///
    /// `on_event` gets each event, with its original if there is one, before the buffer does. After a failure in between it
    /// may get some again.
    pub async fn run(
        &mut self,
        observer: Observer,
        on_event: impl FnMut(Option<Vec<u8>>, &str) + Send,
        stop: CancellationToken,
    ) {
        let time_is_up = async {
            stop.cancelled().await;
            sleep(LAST_CALL).await;
        };
        tokio::select! {
            () = self.drain(observer, on_event, &stop) => {}
            () = time_is_up => tracing::info!("stopped before everything captured was collected; the rest is in its files"),
        }
    }

    async fn drain(
        &self,
        observer: Observer,
        mut on_event: impl FnMut(Option<Vec<u8>>, &str) + Send,
        stop: &CancellationToken,
    ) {
        let mut settled = None;
        let mut pause = PAUSE;
        loop {
            // What was captured before the stop is there now.
            let is_last = stop.is_cancelled();
            let mut came = false;
            if is_last || settled.is_some() || has_news(&self.tail) {
                let Some(mut haul) = step(&self.tail, settled.take()).await else { return };
                came = !haul.found.is_empty();
                if came {
                    let tell = |Captured { ts, event, original }| {
                        on_event(original, &event);
                        (ts, event)
                    };
                    let events = haul.found.events.drain(..).map(tell).collect();
                    if !observer.hand_over(events, haul.found.lost).await {
                        return;
                    }
                }
                if haul.is_full {
                    settled = Some(haul);
                    continue;
                }
                // Not with the next step: until then files would stay locked, and a successor be handed the same.
                settle(&self.tail, haul).await;
            }
            if is_last && !came {
                return;
            }
            pause = if came { PAUSE } else { (pause * 2).min(idle_pause(&self.tail)) };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled(), if !is_last => {}
            }
        }
    }
}

/// Looks without a blocking thread, which would be most of what an idle collector costs.
fn has_news(tail: &Mutex<Tail>) -> bool {
    // Where it is locked, a step that was given up is still under way.
    tail.try_lock().is_ok_and(|tail| tail.has_news())
}

fn idle_pause(tail: &Mutex<Tail>) -> Duration {
    let files = tail.try_lock().map_or(0, |tail| tail.files());
    let for_files = PAUSE_FOR_FILE.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX));
    PAUSE.max(for_files).min(LONGEST_PAUSE)
}

/// Settles what was handed over, and reads what is next. `None` when the runtime ends.
async fn step(tail: &Arc<Mutex<Tail>>, handed_over: Option<Haul>) -> Option<Haul> {
    let tail = Arc::clone(tail);
    let reading = spawn_blocking(move || {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(haul) = handed_over {
            tail.settle(haul);
        }
        tail.read()
    });
    reading.await.ok()
}

async fn settle(tail: &Arc<Mutex<Tail>>, haul: Haul) {
    if haul.is_settled() {
        return;
    }
    let tail = Arc::clone(tail);
    let _ = spawn_blocking(move || tail.lock().unwrap_or_else(PoisonError::into_inner).settle(haul)).await;
}
