//! Commands in an agent's process: the real dispatcher, with an engine whose work takes virtual time.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::dispatch::{Answer, Dispatcher};
use taskplane_agent::engine::{
    CancelRequest, CancelledTask, CommandError, Engine, Observer, RetriedTask, RetryRequest,
};
use taskplane_agent::redact::{RedactionConfig, Redactor};
use taskplane_protocol::frame::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::failure::Violation;

/// How often the dispatcher's tasks are polled before they are taken to be waiting for their engine.
const TURNS: usize = 8;

/// A process's share in commands. It forgets everything when it is dropped, as a process does.
pub(crate) struct Execution {
    runtime: Runtime,
    dispatcher: Dispatcher,
    answers: mpsc::Receiver<Answer>,
    engine: Arc<PatientEngine>,
    /// Work that has begun and not ended.
    begun: Vec<Option<oneshot::Sender<bool>>>,
    ready: Option<Answer>,
}

impl Execution {
    pub(crate) fn new() -> Result<Self, Violation> {
        // Nothing in it waits for the clock as long as a seed takes less than the engine's time-out of a minute.
        let runtime = Builder::new_current_thread().enable_time().build().map_err(Violation::io)?;
        let engine = Arc::new(PatientEngine::default());
        let engines: Arc<[Arc<dyn Engine>]> = Arc::from([Arc::clone(&engine) as Arc<dyn Engine>]);
        let (dispatcher, answers) = Dispatcher::new(engines, redactor()?);
        Ok(Self { runtime, dispatcher, answers, engine, begun: Vec::new(), ready: None })
    }

    /// Takes a command. Returns the tasks whose work begins now, with the numbers of the work.
    pub(crate) fn accept(&mut self, command: Command) -> Vec<(usize, String)> {
        let dispatcher = self.dispatcher.clone();
        self.turn(move || dispatcher.accept(command));
        let mut begun = Vec::new();
        for (task, end) in self.engine.calls().drain(..) {
            begun.push((self.begun.len(), task));
            self.begun.push(Some(end));
        }
        begun
    }

    /// Work has come to its end.
    pub(crate) fn end(&mut self, number: usize, well: bool) {
        if let Some(end) = self.begun.get_mut(number).and_then(Option::take) {
            self.turn(move || {
                // Whoever waited for it may be gone.
                let _ = end.send(well);
            });
        }
    }

    /// True while answers will still come.
    pub(crate) fn is_busy(&self) -> bool {
        self.dispatcher.is_busy()
    }

    /// True when there is something to tell the brain.
    pub(crate) fn has_answer(&mut self) -> bool {
        if self.ready.is_none() {
            self.ready = self.answers.try_recv().ok();
        }
        self.ready.is_some()
    }

    pub(crate) fn take_answer(&mut self) -> Option<Answer> {
        self.has_answer();
        self.ready.take()
    }

    fn turn(&self, first: impl FnOnce()) {
        self.runtime.block_on(async {
            first();
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// The built-in rules, which take long to compile and never change.
fn redactor() -> Result<Arc<Redactor>, Violation> {
    static REDACTOR: LazyLock<Option<Arc<Redactor>>> =
        LazyLock::new(|| Redactor::new(&RedactionConfig::default()).ok().map(Arc::new));
    REDACTOR.clone().ok_or_else(|| Violation::new("the built-in rules of redaction are wrong"))
}

/// An engine that works until it is told to end.
#[derive(Default)]
struct PatientEngine {
    calls: Mutex<Vec<(String, oneshot::Sender<bool>)>>,
}

impl PatientEngine {
    fn calls(&self) -> MutexGuard<'_, Vec<(String, oneshot::Sender<bool>)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Engine for PatientEngine {
    fn name(&self) -> &'static str {
        "celery"
    }

    fn capabilities(&self) -> Value {
        json!({})
    }

    async fn observe(&self, _observer: Observer, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn retry_task(&self, _request: &RetryRequest) -> Result<RetriedTask, CommandError> {
        Err(CommandError::Unsupported("only cancelling is simulated".into()))
    }

    async fn cancel_task(&self, request: &CancelRequest) -> Result<CancelledTask, CommandError> {
        let (end, ended) = oneshot::channel();
        self.calls().push((request.task_id.clone(), end));
        match ended.await {
            Ok(true) => Ok(CancelledTask { state: "revoked".into(), message: None }),
            _ => Err(CommandError::Engine("the broker went away while it was done".into())),
        }
    }

    async fn purge_queue(&self, _queue: &str) -> Result<u64, CommandError> {
        Err(CommandError::Unsupported("only cancelling is simulated".into()))
    }
}
