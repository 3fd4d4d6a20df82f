//! Celery, seen from inside by its hooks, and acted on through its broker.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::capture::Collector;
use taskplane_agent::engine::{
    CancelRequest, CancelledTask, CommandError, Engine, EnqueueRequest, EnqueuedTask, FoundTasks, Health, Observer,
    RetriedTask, RetryPreview, RetryRequest, WorkerControlRequest, WorkerReplies,
};
use taskplane_engine_celery::{CeleryConfig, CeleryEngine, ConfigError};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// What hooks capture, and the engine that carries out commands on the application's broker.
pub(super) struct InProcess {
    collector: Mutex<Collector>,
    /// Or why there is none, for people.
    broker: Result<Arc<CeleryEngine>, String>,
    has_begun: watch::Sender<bool>,
}

impl InProcess {
    pub(super) fn new(collector: Collector, settings: &Settings) -> Self {
        let broker = broker(settings);
        if let Err(why) = &broker {
            tracing::info!("commands cannot be carried out here: {why}");
        }
        Self { collector: Mutex::new(collector), broker: broker.map(Arc::new), has_begun: watch::Sender::new(false) }
    }

    /// Waits until it observes.
    pub(super) async fn has_begun(&self) {
        let _ = self.has_begun.subscribe().wait_for(|has_begun| *has_begun).await;
    }

    fn act(&self) -> Result<&CeleryEngine, CommandError> {
        match &self.broker {
            Ok(engine) => Ok(engine),
            Err(why) => Err(CommandError::Unsupported(format!("this agent only observes: {why}"))),
        }
    }
}

fn broker(settings: &Settings) -> Result<CeleryEngine, String> {
    let payloads = settings.agent.data_dir.join("celery-payloads").join(&settings.role);
    let mut configs = settings.brokers.iter().map(|broker| CeleryConfig {
        result_backend_url: broker.results.clone(),
        payload_dir: Some(payloads.clone()),
        ..CeleryConfig::inside(&broker.url)
    });
    let first = configs.next().ok_or("the application has no broker that the agent knows of")?;
    CeleryEngine::on_several(first, configs.collect()).map_err(|error| match error {
        ConfigError::UnsupportedScheme { scheme, .. } => {
            format!("the application's broker is reached by {scheme}://, and the agent speaks with Redis and RabbitMQ")
        }
        error => error.to_string(),
    })
}

#[async_trait]
impl Engine for InProcess {
    fn name(&self) -> &'static str {
        "celery"
    }

    fn capabilities(&self) -> Value {
        match &self.broker {
            Ok(engine) => engine.capabilities(),
            Err(_) => json!({ "task_events": true, "in_process": true }),
        }
    }

    async fn observe(&self, observer: Observer, stop: CancellationToken) {
        // Of two rounds of observation, one has ended before the other begins.
        let mut collector = self.collector.lock().await;
        self.has_begun.send_replace(true);
        match &self.broker {
            Ok(engine) => {
                let collect =
                    collector.run(observer.clone(), |original, event| engine.told(original, event), stop.clone());
                tokio::join!(collect, engine.observe(observer, stop));
                let engine = Arc::clone(engine);
                let _ = tokio::task::spawn_blocking(move || engine.keep_told()).await;
            }
            Err(_) => {
                observer.health(Health::Ok).await;
                collector.run(observer, |_, _| (), stop).await;
            }
        }
    }

    async fn retry_task(&self, request: &RetryRequest) -> Result<RetriedTask, CommandError> {
        self.act()?.retry_task(request).await
    }

    async fn cancel_task(&self, request: &CancelRequest) -> Result<CancelledTask, CommandError> {
        self.act()?.cancel_task(request).await
    }

    async fn purge_queue(&self, queue: &str) -> Result<u64, CommandError> {
        self.act()?.purge_queue(queue).await
    }

    async fn enqueue_task(&self, request: &EnqueueRequest) -> Result<EnqueuedTask, CommandError> {
        self.act()?.enqueue_task(request).await
    }

    async fn preview_retry(
        &self,
        requests: &[RetryRequest],
    ) -> Result<Vec<Result<RetryPreview, CommandError>>, CommandError> {
        self.act()?.preview_retry(requests).await
    }

    async fn query_state(&self, task_ids: &[String]) -> Result<FoundTasks, CommandError> {
        self.act()?.query_state(task_ids).await
    }

    async fn worker_control(&self, request: &WorkerControlRequest) -> Result<WorkerReplies, CommandError> {
        self.act()?.worker_control(request).await
    }
}
