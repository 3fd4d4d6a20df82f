//! What the parts of a running brain share.

use std::sync::Arc;

use taskplane_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::commands::CommandRouter;
use crate::duties;
use crate::gateway::Connections;
use crate::ingest::Ingest;
use crate::live::LiveHub;
use crate::metrics::Metrics;

/// Everything that handlers need. Cheap to clone.
#[derive(Clone)]
pub struct Brain {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The live stream.
    pub live: LiveHub,
    /// Commands on their way.
    pub commands: CommandRouter,
    /// Agents that are connected.
    pub connections: Connections,
    /// Batches on their way to the disk.
    pub ingest: Ingest,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the brain stops.
    pub stop: CancellationToken,
    /// Where people reach it, such as `http://127.0.0.1:7440`; without a slash at the end.
    pub public_url: Arc<str>,
    /// Background tasks, to wait for when stopping.
    pub tasks: TaskTracker,
}

impl Brain {
    /// Starts the background parts over `store`. Commands that a former run left open are ended first.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn start(store: Arc<dyn Store>, public_url: &str, stop: CancellationToken) -> Result<Self, StoreError> {
        let abandoned = store.abandon_open_commands(clock::now()).await?;
        if abandoned > 0 {
            tracing::warn!(abandoned, "ended commands that the last run of the brain left open");
        }
        let tasks = TaskTracker::new();
        let live = LiveHub::new(uuid::Uuid::new_v4().simple().to_string());
        let connections = Connections::default();
        let metrics = Arc::new(Metrics::new());
        let commands = CommandRouter::new(Arc::clone(&store), connections.clone(), live.clone());
        let ingest = Ingest::start(Arc::clone(&store), live.clone(), Arc::clone(&metrics), &tasks);
        let brain = Self {
            store,
            live,
            commands,
            connections,
            ingest,
            metrics,
            stop,
            public_url: public_url.trim_end_matches('/').into(),
            tasks,
        };
        duties::start(&brain);
        Ok(brain)
    }
}
