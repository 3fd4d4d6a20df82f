//! What the parts of a running brain share.

use std::ops::Deref;
use std::sync::Arc;

use taskplane_model::stuck::AskAfter;
use taskplane_store::{Store, StoreError};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::NoRandomness;
use crate::clock;
use crate::commands::CommandRouter;
use crate::duties;
use crate::gateway::{Connections, Door, GatewayLimits, LongPolls};
use crate::ingest::{Ingest, IngestOptions};
use crate::live::LiveHub;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::problems::Watches;
use crate::public_url::{PublicUrl, PublicUrlError};
use crate::replicas::{Leadership, ReplicaName, Replicas};
use crate::retention::Retention;
use crate::why::Inquiries;

/// Bulk jobs and dry runs whose tasks are looked through at once; more wait.
const RESOLVING: usize = 2;

/// Why a brain does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Nobody could reach it there.
    #[error(transparent)]
    PublicUrl(#[from] PublicUrlError),
}

/// How a brain is to be.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// How much agents may take up.
    pub limits: GatewayLimits,
    /// How long things are kept.
    pub retention: Retention,
    /// How it is known among the brains on its database.
    pub replica: ReplicaName,
    /// How long tasks may be under way before agents are asked about them.
    pub ask_after: AskAfter,
}

/// Everything that handlers and connections need: one pointer to its [`Parts`].
#[derive(Clone)]
pub struct Brain {
    parts: Arc<Parts>,
}

/// What a brain is made of.
pub struct Parts {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The live stream.
    pub live: LiveHub,
    /// Commands on their way.
    pub commands: CommandRouter,
    /// Agents that are connected.
    pub connections: Connections,
    /// Those of them that poll.
    pub longpolls: LongPolls,
    /// The brains on the same database.
    pub replicas: Replicas,
    /// Whether this one leads them.
    pub leadership: Leadership,
    /// Brains that have the sessions of other agents that poll.
    pub peers: Peers,
    /// Who may come in, and how many at once.
    pub door: Door,
    /// Batches on their way to the disk.
    pub ingest: Ingest,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the brain stops.
    pub stop: CancellationToken,
    /// Where people reach it.
    pub public_url: PublicUrl,
    /// How long things are kept.
    pub retention: Retention,
    /// How long tasks may be under way before agents are asked about them.
    pub ask_after: AskAfter,
    /// Turns to look through all tasks that a filter means, which reads a lot.
    pub resolving: Semaphore,
    /// What workers and queues were seen to do over time.
    pub(crate) watches: Watches,
    /// Tasks that agents are asked about.
    pub(crate) inquiries: Inquiries,
    /// Background tasks, to wait for when stopping.
    pub tasks: TaskTracker,
}

impl Deref for Brain {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Brain {
    /// Starts the background parts over `store`. Commands that a former run left open are ended first.
    ///
    /// # Errors
    /// When the store cannot be used, or the public URL is none.
    pub async fn start(store: Arc<dyn Store>, public_url: &str, stop: CancellationToken) -> Result<Self, StartError> {
        Self::start_with(store, public_url, stop, StartOptions::default()).await
    }

    /// Starts the background parts over `store`, with options of one's own.
    ///
    /// # Errors
    /// When the store cannot be used, or the public URL is none.
    pub async fn start_with(
        store: Arc<dyn Store>,
        public_url: &str,
        stop: CancellationToken,
        options: StartOptions,
    ) -> Result<Self, StartError> {
        let StartOptions { limits, retention, replica, ask_after } = options;
        let public_url = PublicUrl::parse(public_url)?;
        let run = store.replicas().map(|replicas| replicas.run());
        let peers = Peers::new(run)?;
        let replicas = Replicas::enter(&*store, replica.into_new(peers.key())).await?;
        let abandoned = store.abandon_open_commands(clock::now()).await?;
        if abandoned > 0 {
            tracing::warn!(abandoned, "ended commands that the last run of the brain left open");
        }
        let tasks = TaskTracker::new();
        let live = LiveHub::new(uuid::Uuid::new_v4().simple().to_string());
        let connections = Connections::default();
        let metrics = Arc::new(Metrics::new());
        let commands = CommandRouter::new(Arc::clone(&store), connections.clone(), replicas.clone(), live.clone());
        let options =
            IngestOptions { memory: limits.ingest_memory, patience: limits.store_patience, stop: stop.clone() };
        let ingest = Ingest::start(Arc::clone(&store), live.clone(), Arc::clone(&metrics), &tasks, options);
        let parts = Parts {
            store,
            live,
            commands,
            connections,
            longpolls: LongPolls::of_run(run),
            leadership: Leadership::of(&replicas),
            replicas,
            peers,
            door: Door::new(limits),
            ingest,
            metrics,
            stop,
            public_url,
            retention,
            ask_after,
            resolving: Semaphore::new(RESOLVING),
            watches: Watches::default(),
            inquiries: Inquiries::default(),
            tasks,
        };
        let brain = Self { parts: Arc::new(parts) };
        duties::start(&brain);
        Ok(brain)
    }
}
