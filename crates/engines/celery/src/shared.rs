//! What the observing loops and the commands share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_agent::engine::Observer;
use tokio::sync::Notify;

use crate::{
    bindings::KnownQueues,
    clock,
    config::{CeleryConfig, ConfigError, RedisAddress, Timings},
    control::Control,
    link::Link,
    payloads::PayloadStore,
    tracker::Tracker,
    workers::Workers,
};

/// The state of one engine.
pub(crate) struct Shared {
    pub(crate) timings: Timings,
    pub(crate) broker: Arc<Link>,
    /// The result backend; the same link as the broker when it is the same database.
    pub(crate) results: Arc<Link>,
    pub(crate) control: Control,
    pub(crate) tracker: Mutex<Tracker>,
    pub(crate) workers: Mutex<Workers>,
    pub(crate) queues: Mutex<KnownQueues>,
    pub(crate) payloads: Arc<Mutex<PayloadStore>>,
    /// Set while observing, so that commands can tell of the tasks they publish.
    pub(crate) observer: Mutex<Option<Observer>>,
    /// A worker appeared whose events are not enabled yet.
    pub(crate) fresh_worker: Notify,
}

impl Shared {
    pub(crate) fn new(config: CeleryConfig) -> Result<Self, ConfigError> {
        let address = RedisAddress::parse("broker", &config.broker_url)?;
        let broker = Arc::new(Link::new(address));
        let results = match &config.result_backend_url {
            Some(url) => {
                let address = RedisAddress::parse("result backend", url)?;
                let same = address.same_server(&broker.address) && address.db == broker.address.db;
                if same { Arc::clone(&broker) } else { Arc::new(Link::new(address)) }
            }
            None => Arc::clone(&broker),
        };
        let payloads = PayloadStore::open(config.payload_dir.as_deref(), clock::now()).map_err(|error| {
            ConfigError::PayloadDir {
                dir: config.payload_dir.as_deref().map(|dir| dir.display().to_string()).unwrap_or_default(),
                why: error.kind().to_string(),
            }
        })?;
        Ok(Self {
            timings: config.timings,
            control: Control::new(Arc::clone(&broker)),
            broker,
            results,
            tracker: Mutex::new(Tracker::new()),
            workers: Mutex::default(),
            queues: Mutex::default(),
            payloads: Arc::new(Mutex::new(payloads)),
            observer: Mutex::default(),
            fresh_worker: Notify::new(),
        })
    }
}

/// Locks, also after a panic elsewhere: what is behind these locks is memory of what was seen, never half-changed in a
/// way that matters.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
