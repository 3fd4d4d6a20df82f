//! An engine that collects what other processes have captured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::buffer::MAX_EVENT_BYTES;
use taskplane_agent::capture::{CaptureOptions, Writer, collect, group_dir};
use taskplane_agent::engine::{
    CancelRequest, CancelledTask, CommandError, Engine, Observer, RetriedTask, RetryRequest,
};
use taskplane_agent::{Agent, AgentConfig};
use taskplane_model::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::brain::{ScriptedBrain, soon, task_ids};
use crate::engine::{config, ids};

struct Collecting(PathBuf);

#[async_trait]
impl Engine for Collecting {
    fn name(&self) -> &'static str {
        "celery"
    }

    fn capabilities(&self) -> Value {
        json!({})
    }

    async fn observe(&self, observer: Observer, stop: CancellationToken) {
        collect(&self.0, observer, |_, _| {}, stop).await;
    }

    async fn retry_task(&self, _: &RetryRequest) -> Result<RetriedTask, CommandError> {
        Err(CommandError::NotFound("there is no such task".into()))
    }

    async fn cancel_task(&self, _: &CancelRequest) -> Result<CancelledTask, CommandError> {
        Err(CommandError::NotFound("there is no such task".into()))
    }

    async fn purge_queue(&self, _: &str) -> Result<u64, CommandError> {
        Ok(0)
    }
}

fn start(config: AgentConfig) -> (CancellationToken, JoinHandle<()>) {
    let group = group_dir(&config.data_dir, "a group").expect("a folder");
    let agent = Agent::new(config, vec![Arc::new(Collecting(group))], Vec::new()).expect("an agent");
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(agent.run(stop)))
}

fn capture(writer: &mut Writer, from: usize, to: usize) {
    for n in from..to {
        let ts = Timestamp(1_795_000_000_000_000 + n as i64);
        let event =
            json!({"type": "task_sent", "ts": "2026-11-23T12:00:00Z", "engine": "celery", "task_id": format!("t{n}")});
        writer.event(ts, &event.to_string());
    }
}

#[tokio::test]
async fn what_was_captured_is_delivered_and_what_was_lost_before_is_counted() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let config = config(&brain.url(), dir.path());
    let group = group_dir(dir.path(), "a group").expect("a folder");
    let mut writer = Writer::open(&group, CaptureOptions::default()).expect("opens");
    capture(&mut writer, 0, 600);
    let (stop, running) = start(config);
    let mut visit = brain.welcome(0).await;
    writer.event(Timestamp(0), &"x".repeat(MAX_EVENT_BYTES + 1));
    capture(&mut writer, 600, 1000);
    let arrived: Vec<String> = visit.batches_of(1000).await.iter().flat_map(|(_, text)| task_ids(text)).collect();
    assert_eq!(arrived, ids(0, 1000));
    visit.close(1000).await;
    capture(&mut writer, 1000, 1500);
    stop.cancel();
    soon(running).await.expect("no panic");

    let buffer = taskplane_agent::buffer::Buffer::open_for("worker-1", dir.path(), Default::default()).expect("opens");
    assert_eq!(buffer.report().dropped, 1);
    assert_eq!(buffer.report().events, 1500, "what was captured before the stop is in the buffer");
}

#[tokio::test]
async fn an_agent_stops_in_the_time_that_it_is_given_although_the_brain_does_not_answer() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let within = Duration::from_millis(1500);
    let (stop, running) = start(AgentConfig { stop_within: within, ..config(&brain.url(), dir.path()) });
    let _silent = brain.visit().await;
    let group = group_dir(dir.path(), "a group").expect("a folder");
    let mut writer = Writer::open(&group, CaptureOptions::default()).expect("opens");
    capture(&mut writer, 0, 100);
    let asked = Instant::now();
    stop.cancel();
    soon(running).await.expect("no panic");
    let taken = asked.elapsed();
    assert!(taken > within / 2, "it waits for the brain, but only {taken:?}");
    // By default it may take nine seconds. A busy machine may stand still for two.
    assert!(taken < within * 5, "{taken:?}");
}
