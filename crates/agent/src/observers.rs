//! The observations of engines and schedulers: started, watched over, and started anew.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, HandedOver, Health, Observation, Observer};
use crate::scheduler::{ScheduleEntry, ScheduleObserver, Scheduler};

/// Pause before an observation that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// All that is observed.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) engines: Arc<[Arc<dyn Engine>]>,
    pub(crate) schedulers: Arc<[Arc<dyn Scheduler>]>,
}

/// Where they put what they see.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) observations: mpsc::Sender<Observation>,
    pub(crate) handed_over: mpsc::Sender<HandedOver>,
    pub(crate) listings: mpsc::Sender<(&'static str, Vec<ScheduleEntry>)>,
    pub(crate) health: mpsc::Sender<(&'static str, Health)>,
}

/// Observes through all engines and schedulers until `stop`; whenever `restarts` counts up, all of them stop and start anew.
/// What has not stopped after `stop_within` is cut off.
pub(crate) async fn observe_all(
    observed: Observed,
    outlets: Outlets,
    mut restarts: watch::Receiver<u64>,
    stop_within: Duration,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let round = stop.child_token();
        let mut observing = JoinSet::new();
        for engine in observed.engines.iter() {
            observing.spawn(watch_engine(Arc::clone(engine), outlets.clone(), round.clone()));
        }
        for scheduler in observed.schedulers.iter() {
            observing.spawn(watch_scheduler(Arc::clone(scheduler), outlets.clone(), round.clone()));
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = restarts.changed() => tracing::info!("starting all observations anew"),
        }
        round.cancel();
        let all_stopped = async { while observing.join_next().await.is_some() {} };
        if timeout(stop_within, all_stopped).await.is_err() {
            tracing::warn!("an observation did not stop in time and was cut off");
            observing.shutdown().await;
        }
    }
}

async fn watch_engine(engine: Arc<dyn Engine>, outlets: Outlets, stop: CancellationToken) {
    let observer =
        Observer::new(engine.name(), outlets.observations, outlets.health.clone()).with_hand_over(outlets.handed_over);
    let observe = || engine.observe(observer.clone(), stop.clone());
    watch_over(observe, engine.name(), &outlets.health, &stop).await;
}

async fn watch_scheduler(scheduler: Arc<dyn Scheduler>, outlets: Outlets, stop: CancellationToken) {
    let observer = ScheduleObserver::new(scheduler.name(), outlets.listings, outlets.health.clone());
    let observe = || scheduler.observe(observer.clone(), stop.clone());
    watch_over(observe, scheduler.name(), &outlets.health, &stop).await;
}

/// Keeps one observation going. It returns only when it is stopped; one that does otherwise, or panics, is broken.
async fn watch_over<O: Future<Output = ()>>(
    observe: impl Fn() -> O,
    name: &'static str,
    health: &mpsc::Sender<(&'static str, Health)>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let observed = AssertUnwindSafe(observe()).catch_unwind().await;
        if stop.is_cancelled() {
            return;
        }
        let why = if observed.is_err() { "it failed unexpectedly" } else { "it stopped by itself" };
        let why = format!("{why}; it is started again every {} s", RESTART_PAUSE.as_secs());
        let _ = health.send((name, Health::Down(why))).await;
        tokio::select! {
            () = sleep(RESTART_PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}
