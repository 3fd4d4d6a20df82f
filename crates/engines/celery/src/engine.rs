//! The engine as the agent sees it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::engine::{
    CancelRequest, CancelledTask, CommandError, Engine, Observer, RetriedTask, RetryRequest,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ENGINE, cancel,
    config::{CeleryConfig, ConfigError},
    observe, purge, retry,
    shared::Shared,
};

/// Celery on one Redis broker.
pub struct CeleryEngine {
    shared: Arc<Shared>,
}

impl CeleryEngine {
    /// Checks the configuration and opens the payload store. Redis itself is first contacted when observing.
    ///
    /// # Errors
    ///
    /// When a URL or the payload directory cannot be used.
    pub fn new(config: CeleryConfig) -> Result<Self, ConfigError> {
        Ok(Self { shared: Arc::new(Shared::new(config)?) })
    }

    /// The broker for people, `host:port/db`, without credentials.
    pub fn broker(&self) -> &str {
        &self.shared.broker.address.shown
    }
}

#[async_trait]
impl Engine for CeleryEngine {
    fn name(&self) -> &'static str {
        ENGINE
    }

    fn capabilities(&self) -> Value {
        json!({"native_retry": true, "native_cancel": true, "bulk_retry": true, "purge": true, "chord_aware": true})
    }

    async fn observe(&self, observer: Observer, stop: CancellationToken) {
        observe::observe(Arc::clone(&self.shared), observer, stop).await;
    }

    async fn retry_task(&self, request: &RetryRequest) -> Result<RetriedTask, CommandError> {
        retry::retry(&self.shared, request).await
    }

    async fn cancel_task(&self, request: &CancelRequest) -> Result<CancelledTask, CommandError> {
        cancel::cancel(&self.shared, request).await
    }

    async fn purge_queue(&self, queue: &str) -> Result<u64, CommandError> {
        purge::purge(&self.shared, queue).await
    }
}
