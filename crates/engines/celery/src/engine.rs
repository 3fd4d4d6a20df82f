//! The engine as the agent sees it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use taskplane_agent::engine::{
    CancelRequest, CancelledTask, CommandError, Engine, EnqueueRequest, EnqueuedTask, FoundTasks, Observer,
    RetriedTask, RetryPreview, RetryRequest, WorkerControlRequest, WorkerReplies,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ENGINE, cancel,
    config::{CeleryConfig, ConfigError, Watch},
    deployments::Deployments,
    enqueue,
    health::HealthBoard,
    observe, preview, purge, query_state, retry,
    settings::WorkerSettings,
    shared::Shared,
    told, worker_control,
};

/// Celery on Redis or RabbitMQ, or on several brokers of either kind.
pub struct CeleryEngine {
    deployments: Arc<Deployments>,
}

impl CeleryEngine {
    /// Checks the configuration and opens the payload store. The broker is first contacted when observing.
    ///
    /// # Errors
    ///
    /// When a URL or the payload directory cannot be used.
    pub fn new(config: CeleryConfig) -> Result<Self, ConfigError> {
        Self::on_several(config, Vec::new())
    }

    /// As [`Self::new`], on further brokers besides. Each keeps its payloads in a folder of its own in its payload directory.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn on_several(first: CeleryConfig, others: Vec<CeleryConfig>) -> Result<Self, ConfigError> {
        Ok(Self { deployments: Arc::new(Deployments::new(first, others)?) })
    }

    /// Takes in a wire event, redacted, that a hook in this application has made: which attempt of a task is where, and how its
    /// workers are. When an attempt has failed, its original is put aside, to be kept for a retry.
    ///
    /// `original` is the message of the task as a worker of this application received it: the JSON envelope of a kombu message,
    /// with its body in base64 and its `delivery_info`. A retry then sends what it says, without loss. It never leaves this host.
    ///
    /// This waits for nothing. Of several brokers it is about the first.
    pub fn told(&self, original: Option<Vec<u8>>, event: &str) {
        told::told(self.inside(), original, event);
    }

    /// Writes the originals that were put aside to the payload directory. Waits for the disk: not to be called on an async
    /// thread. While the engine observes it does this by itself, soon; after this, though, the process may be killed. False
    /// when they could not be written.
    pub fn keep_told(&self) -> bool {
        told::keep(self.inside())
    }

    fn inside(&self) -> &Shared {
        self.deployments.first()
    }

    /// The brokers that it observes, for people; without passwords.
    pub fn brokers(&self) -> Vec<String> {
        self.deployments.iter().map(|shared| shared.broker.shown().to_owned()).collect()
    }

    /// The settings of the applications whose workers it sees.
    pub fn worker_settings(&self) -> WorkerSettings {
        WorkerSettings::new(Arc::clone(&self.deployments))
    }
}

#[async_trait]
impl Engine for CeleryEngine {
    fn name(&self) -> &'static str {
        ENGINE
    }

    fn capabilities(&self) -> Value {
        let mut capabilities = json!({
            "native_retry": true,
            "native_cancel": true,
            "bulk_retry": true,
            "purge": true,
            "enqueue": true,
            "chord_aware": true,
            "preview_retry": true,
            "query_state": true,
            "worker_control": true,
            "task_events": self.deployments.iter().any(|shared| shared.task_events),
            "peek": self.deployments.iter().all(|shared| shared.broker.can_peek()),
        });
        if self.inside().watch == Watch::Queues {
            capabilities["in_process"] = true.into();
            capabilities["originals"] = "captured".into();
        }
        capabilities
    }

    async fn observe(&self, observer: Observer, stop: CancellationToken) {
        let parts = self.deployments.iter().enumerate();
        let parts =
            parts.flat_map(|(number, shared)| observe::parts(shared).into_iter().map(move |part| (number, part)));
        let board = Arc::new(HealthBoard::new(observer.clone(), parts));
        let observe = self.deployments.iter().enumerate().map(|(number, shared)| {
            let health = board.of(number);
            observe::observe(Arc::clone(shared), observer.clone(), health, stop.clone())
        });
        join_all(observe).await;
    }

    async fn retry_task(&self, request: &RetryRequest) -> Result<RetriedTask, CommandError> {
        retry::retry(self.deployments.of_retry(request).await?, request).await
    }

    async fn cancel_task(&self, request: &CancelRequest) -> Result<CancelledTask, CommandError> {
        cancel::cancel(self.deployments.of_task(&request.task_id).await?, request).await
    }

    async fn purge_queue(&self, queue: &str) -> Result<u64, CommandError> {
        purge::purge(self.deployments.of_queue(queue).await?, queue).await
    }

    async fn enqueue_task(&self, request: &EnqueueRequest) -> Result<EnqueuedTask, CommandError> {
        enqueue::enqueue(self.deployments.for_new(request).await?, request).await
    }

    async fn preview_retry(
        &self,
        requests: &[RetryRequest],
    ) -> Result<Vec<Result<RetryPreview, CommandError>>, CommandError> {
        preview::preview(&self.deployments, requests).await
    }

    async fn query_state(&self, task_ids: &[String]) -> Result<FoundTasks, CommandError> {
        query_state::query_state(&self.deployments, task_ids).await
    }

    async fn worker_control(&self, request: &WorkerControlRequest) -> Result<WorkerReplies, CommandError> {
        worker_control::worker_control(&self.deployments, request).await
    }
}
