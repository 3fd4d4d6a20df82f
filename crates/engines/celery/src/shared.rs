//! What the observing loops and the commands share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_agent::engine::Observer;
use tokio::sync::{Notify, mpsc};

use crate::{
    broker::{Broker, BrokerError, Incoming},
    clock,
    config::{CeleryConfig, ConfigError, Timings, Watch},
    control::{Call, Replies},
    event_switch::TurnedOn,
    payloads::PayloadStore,
    result_backend::ResultBackend,
    same_names, told,
    tracker::{Limits, Tracker},
    workers::Workers,
};

/// The state of one engine.
pub(crate) struct Shared {
    pub(crate) timings: Timings,
    pub(crate) watch: Watch,
    pub(crate) broker: Broker,
    /// The result backend, if it is one that can be read.
    pub(crate) results: Option<ResultBackend>,
    pub(crate) tracker: Mutex<Tracker>,
    pub(crate) workers: Mutex<Workers>,
    pub(crate) payloads: Arc<Mutex<PayloadStore>>,
    /// What hooks told of failed attempts and is not written yet.
    pub(crate) told: told::Pending,
    /// Workers are to send task events.
    pub(crate) task_events: bool,
    pub(crate) turned_on: Arc<Mutex<TurnedOn>>,
    /// Set while observing, so that commands can tell of the tasks they publish.
    pub(crate) observer: Mutex<Option<Observer>>,
    /// Set while observing: where results that were read from the backend go, to be told like those that are published.
    pub(crate) incoming: Mutex<Option<mpsc::Sender<Incoming>>>,
    /// A worker appeared whose events are not enabled yet.
    pub(crate) fresh_worker: Notify,
    /// Where its samples go, among those of the engine's other brokers.
    pub(crate) samples: same_names::Place,
}

impl Shared {
    pub(crate) fn new(config: CeleryConfig) -> Result<Self, ConfigError> {
        let broker = Broker::new(&config.broker_url)?;
        let results = ResultBackend::new(&broker, config.result_backend_url.as_deref())?;
        let payloads = PayloadStore::open(config.payload_dir.as_deref(), clock::now()).map_err(|error| {
            ConfigError::PayloadDir {
                dir: config.payload_dir.as_deref().map(|dir| dir.display().to_string()).unwrap_or_default(),
                why: error.kind().to_string(),
            }
        })?;
        let limits = match config.watch {
            Watch::Everything => Limits::beside(config.memory),
            Watch::Queues => Limits::inside(config.memory),
        };
        Ok(Self {
            timings: config.timings,
            watch: config.watch,
            broker,
            results,
            tracker: Mutex::new(Tracker::within(limits)),
            workers: Mutex::default(),
            payloads: Arc::new(Mutex::new(payloads)),
            told: told::Pending::default(),
            task_events: config.task_events,
            turned_on: Arc::new(Mutex::new(TurnedOn::open(config.payload_dir.as_deref()))),
            observer: Mutex::default(),
            incoming: Mutex::default(),
            fresh_worker: Notify::new(),
            samples: same_names::Place::default(),
        })
    }

    /// Where the broker of a configuration is, for people: without credentials.
    pub(crate) fn shown(config: &CeleryConfig) -> Result<String, ConfigError> {
        Ok(Broker::new(&config.broker_url)?.shown().to_owned())
    }

    /// True when the worker that had a task is one of this broker's.
    pub(crate) fn has_worker_of(&self, task_id: &str) -> bool {
        let worker = lock(&self.tracker).get(task_id).and_then(|known| known.worker.clone());
        worker.is_some_and(|worker| lock(&self.workers).is_up(&worker))
    }

    /// Asks workers.
    pub(crate) async fn call(&self, call: &Call) -> Result<Replies, BrokerError> {
        let live = match self.watch {
            Watch::Everything => lock(&self.workers).count(),
            // Those of other hosts are not known: whoever answers in time is heard.
            Watch::Queues => 0,
        };
        self.broker.call(call, live).await
    }
}

/// Locks, also after a panic elsewhere: what is behind these locks is memory of what was seen, never half-changed in a
/// way that matters.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
