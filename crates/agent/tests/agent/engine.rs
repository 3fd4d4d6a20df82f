//! An engine that sees what the test says, and an agent with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::connection::{ReconnectTimes, TokenSource};
use taskplane_agent::engine::{
    CancelRequest, CancelledTask, CommandError, Engine, Health, Observation, Observer, RetriedTask, RetryRequest,
    Subject, TaskObservation,
};
use taskplane_agent::{Agent, AgentConfig};
use taskplane_model::{TaskEventKind, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::brain::soon;

pub(crate) struct ScriptedEngine {
    script: tokio::sync::Mutex<mpsc::Receiver<Observation>>,
    starts: watch::Sender<usize>,
    retries: AtomicUsize,
}

#[async_trait]
impl Engine for ScriptedEngine {
    fn name(&self) -> &'static str {
        "celery"
    }

    fn capabilities(&self) -> Value {
        json!({"native_retry": true})
    }

    async fn observe(&self, observer: Observer, stop: CancellationToken) {
        self.starts.send_modify(|starts| *starts += 1);
        observer.health(Health::Ok).await;
        let mut script = self.script.lock().await;
        loop {
            tokio::select! {
                Some(observation) = script.recv() => observer.record(observation).await,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn retry_task(&self, request: &RetryRequest) -> Result<RetriedTask, CommandError> {
        let count = self.retries.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(RetriedTask { new_task_id: format!("{}-{count}", request.task_id), message: None })
    }

    async fn cancel_task(&self, _: &CancelRequest) -> Result<CancelledTask, CommandError> {
        Err(CommandError::NotFound("there is no such task".into()))
    }

    async fn purge_queue(&self, _: &str) -> Result<u64, CommandError> {
        Ok(0)
    }
}

/// A running agent, and the hands on its engine.
pub(crate) struct RunningAgent {
    pub(crate) stream_id: String,
    script: mpsc::Sender<Observation>,
    starts: watch::Receiver<usize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub(crate) fn config(url: &str, data_dir: &Path) -> AgentConfig {
    let millis = Duration::from_millis;
    let reconnect = ReconnectTimes {
        min: millis(5),
        max: millis(100),
        healthy_after: millis(50),
        refused: millis(20),
        token_check: millis(20),
        connect: Duration::from_secs(5),
        websocket_check: millis(300),
        leftover_check: millis(20),
    };
    let token = TokenSource::Literal("tp_test".into());
    AgentConfig { reconnect, ..AgentConfig::new(url, token, "worker-1", data_dir) }
}

/// An engine, what it sees, and how often it was started.
pub(crate) fn engine() -> (Arc<dyn Engine>, mpsc::Sender<Observation>, watch::Receiver<usize>) {
    let (script, received) = mpsc::channel(16);
    let (starts, started) = watch::channel(0);
    (Arc::new(ScriptedEngine { script: received.into(), starts, retries: AtomicUsize::new(0) }), script, started)
}

pub(crate) fn start(config: AgentConfig) -> RunningAgent {
    let (engine, script, started) = engine();
    let agent = Agent::new(config, vec![engine], Vec::new()).expect("an agent");
    let stream_id = agent.stream_id().to_string();
    let stop = CancellationToken::new();
    let task = tokio::spawn(agent.run(stop.clone()));
    RunningAgent { stream_id, script, starts: started, stop, task }
}

impl RunningAgent {
    /// Lets the engine see tasks `from` to `to`, the last not included.
    pub(crate) async fn sees_tasks(&self, from: usize, to: usize) {
        for n in from..to {
            let task = TaskObservation {
                kind: TaskEventKind::Sent,
                task_id: format!("t{n}"),
                kwargs: Some(json!({"to": "bob@example.com", "n": n})),
                ..TaskObservation::default()
            };
            let ts = Timestamp(1_795_000_000_000_000 + n as i64);
            let observation = Observation { engine: "celery", ts, subject: Subject::Task(Box::new(task)) };
            soon(self.script.send(observation)).await.expect("the engine observes");
        }
    }

    /// Lets the engine see task `n` fail, with a traceback of so many bytes.
    pub(crate) async fn sees_a_failure(&self, n: usize, traceback: usize) {
        let task = TaskObservation {
            kind: TaskEventKind::Failed,
            task_id: format!("t{n}"),
            traceback: Some("line\n".repeat(traceback / 5)),
            ..TaskObservation::default()
        };
        let ts = Timestamp(1_795_000_000_000_000 + n as i64);
        let observation = Observation { engine: "celery", ts, subject: Subject::Task(Box::new(task)) };
        soon(self.script.send(observation)).await.expect("the engine observes");
    }

    /// Waits until the engine was started so many times.
    pub(crate) async fn was_started(&mut self, times: usize) {
        soon(self.starts.wait_for(|starts| *starts >= times)).await.expect("the engine is there");
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.expect("no panic");
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Tells the agent to stop, and does not wait for it.
    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }
}

/// The ids `t<from>` to `t<to>`, the last not included.
pub(crate) fn ids(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("t{n}")).collect()
}
