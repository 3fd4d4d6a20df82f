//! The engines' observations: started, watched over, and started anew.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Health, Observation, Observer};

/// How long an engine may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause before an observation that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// Where engines put what they see.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) observations: mpsc::Sender<Observation>,
    pub(crate) health: mpsc::Sender<(&'static str, Health)>,
}

/// Observes through all engines until `stop`; whenever `restarts` counts up, all of them stop and start anew.
pub(crate) async fn observe_all(
    engines: Arc<[Arc<dyn Engine>]>,
    outlets: Outlets,
    mut restarts: watch::Receiver<u64>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let round = stop.child_token();
        let mut observing = JoinSet::new();
        for engine in engines.iter() {
            observing.spawn(watch_over(Arc::clone(engine), outlets.clone(), round.clone()));
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = restarts.changed() => tracing::info!("starting all observations anew"),
        }
        round.cancel();
        let all_stopped = async { while observing.join_next().await.is_some() {} };
        if timeout(STOP_TIMEOUT, all_stopped).await.is_err() {
            tracing::warn!("an engine did not stop in time and was cut off");
            observing.shutdown().await;
        }
    }
}

/// Keeps one engine observing. An engine returns only when it is stopped; one that does otherwise, or panics, is broken.
async fn watch_over(engine: Arc<dyn Engine>, outlets: Outlets, stop: CancellationToken) {
    let observer = Observer::new(engine.name(), outlets.observations, outlets.health);
    while !stop.is_cancelled() {
        let observed = AssertUnwindSafe(engine.observe(observer.clone(), stop.clone())).catch_unwind().await;
        if stop.is_cancelled() {
            return;
        }
        let why = if observed.is_err() { "the engine failed unexpectedly" } else { "the engine stopped by itself" };
        observer.health(Health::Down(format!("{why}; it is started again every {} s", RESTART_PAUSE.as_secs()))).await;
        tokio::select! {
            () = sleep(RESTART_PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}
