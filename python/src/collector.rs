//! The thread that collects, with a runtime of its own. It never touches Python, nor anything that a hook locks.

mod engine;
mod log;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use taskplane_agent::Agent;
use taskplane_agent::capture::lead;
use taskplane_agent::engine::Engine;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Dispatch;

use crate::schedules::schedulers;
use crate::settings::Settings;
use engine::InProcess;
use log::StderrLines;

/// How long the agent may take to begin.
const BEGINS_WITHIN: Duration = Duration::from_millis(500);

/// The collecting thread of this process: it leads, or stands by.
pub(crate) struct Collecting {
    stop: CancellationToken,
    is_leading: Arc<AtomicBool>,
    /// Hangs up when the thread has ended.
    ended: Receiver<()>,
}

impl Collecting {
    /// Begins it. `None` when the system has no thread to give; the next event tries again.
    pub(crate) fn begin(settings: Arc<Settings>) -> Option<Self> {
        let stop = CancellationToken::new();
        let is_leading = Arc::new(AtomicBool::new(false));
        let (ending, ended) = channel();
        let here = Here { settings, stop: stop.clone(), is_leading: Arc::clone(&is_leading), _ending: ending };
        thread::Builder::new().name("taskplane".into()).spawn(move || here.run()).ok()?;
        Some(Self { stop, is_leading, ended })
    }

    /// True while this process is the one that delivers.
    pub(crate) fn is_leading(&self) -> bool {
        self.is_leading.load(Relaxed)
    }

    /// Ends it. True when that was done within `timeout`.
    pub(crate) fn end(self, timeout: Duration) -> bool {
        self.stop.cancel();
        self.ended.recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected)
    }
}

/// What the thread has.
struct Here {
    settings: Arc<Settings>,
    stop: CancellationToken,
    is_leading: Arc<AtomicBool>,
    _ending: Sender<()>,
}

impl Here {
    fn run(self) {
        let log = Dispatch::new(StderrLines::new(self.settings.log.clone()));
        let _log = tracing::dispatcher::set_default(&log);
        // Ours alone: other modules in Rust have their own.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        match runtime(&log) {
            Ok(runtime) => {
                runtime.block_on(self.collect());
                self.is_leading.store(false, Relaxed);
                // What still waits for a disk or a name server is not waited for.
                runtime.shutdown_background();
            }
            Err(error) => {
                tracing::error!(%error, "nothing is delivered to the brain: the system has no threads to give")
            }
        }
    }

    async fn collect(&self) {
        let Some(collector) = lead(&self.settings.captures, &self.stop).await else { return };
        self.is_leading.store(true, Relaxed);
        let collector = collector.for_agent(&self.settings.agent.name);
        let engine = Arc::new(InProcess::new(collector, &self.settings));
        let agent =
            match Agent::new(self.settings.agent.clone(), vec![Arc::clone(&engine) as Arc<dyn Engine>], schedulers()) {
                Ok(agent) => agent,
                Err(error) => return tracing::error!("nothing is delivered to the brain: {error}"),
            };
        // A script may end before the agent has begun: what it captured is delivered all the same.
        let stop = CancellationToken::new();
        let stopping = async {
            self.stop.cancelled().await;
            let _ = timeout(BEGINS_WITHIN, engine.has_begun()).await;
            stop.cancel();
        };
        tokio::join!(agent.run(stop.clone()), stopping);
    }
}

/// One thread for all that waits, and further ones for what blocks.
fn runtime(log: &Dispatch) -> std::io::Result<Runtime> {
    let log = log.clone();
    Builder::new_current_thread()
        .enable_all()
        .thread_name("taskplane-disk")
        .max_blocking_threads(8)
        .on_thread_start(move || {
            // For as long as the thread lives.
            std::mem::forget(tracing::dispatcher::set_default(&log));
        })
        .build()
}
