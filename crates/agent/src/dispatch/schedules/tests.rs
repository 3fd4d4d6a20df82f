use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_model::schedule::Schedule;
use taskplane_protocol::frame::Command;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::{
    CancelRequest, CancelledTask, Engine, EnqueueRequest, EnqueuedTask, Observer, RetriedTask, RetryRequest,
};
use crate::redact::Redactor;
use crate::scheduler::{ScheduleChange, ScheduleEntry, ScheduleObserver};

/// Has one schedule, `1`, that cannot be deleted.
struct Diary;

fn entry(enabled: bool) -> ScheduleEntry {
    ScheduleEntry {
        facts: Schedule { id: "1".into(), enabled: Some(enabled), ..Schedule::default() },
        args: Some(json!(["bob@example.com"])),
        kwargs: None,
    }
}

#[async_trait]
impl Scheduler for Diary {
    fn name(&self) -> &'static str {
        "diary"
    }

    fn engine(&self) -> &'static str {
        "counter"
    }

    fn is_configured(&self) -> bool {
        true
    }

    fn capabilities(&self) -> Value {
        json!({})
    }

    async fn observe(&self, _: ScheduleObserver, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn create(&self, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        assert_eq!(change.args, Some(vec![json!("bob@example.com")]));
        Ok(ChangedSchedule { entry: entry(true), message: None })
    }

    async fn update(&self, id: &str, _: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        Err(CommandError::NotFound(format!("no {id}")))
    }

    async fn delete(&self, _: &str) -> Result<Option<String>, CommandError> {
        Err(CommandError::ReadOnly("it is written in ink".into()))
    }

    async fn pause(&self, _: &str, paused: bool) -> Result<ChangedSchedule, CommandError> {
        Ok(ChangedSchedule { entry: entry(!paused), message: Some("done".into()) })
    }

    async fn task_of(&self, _: &str) -> Result<EnqueueRequest, CommandError> {
        Ok(EnqueueRequest { name: "add".into(), ..EnqueueRequest::default() })
    }
}

/// Enqueues only.
struct Counter;

#[async_trait]
impl Engine for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn capabilities(&self) -> Value {
        json!({})
    }

    async fn observe(&self, _: Observer, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn retry_task(&self, _: &RetryRequest) -> Result<RetriedTask, CommandError> {
        Err(CommandError::Unsupported("no".into()))
    }

    async fn cancel_task(&self, _: &CancelRequest) -> Result<CancelledTask, CommandError> {
        Err(CommandError::Unsupported("no".into()))
    }

    async fn purge_queue(&self, _: &str) -> Result<u64, CommandError> {
        Ok(0)
    }

    async fn enqueue_task(&self, request: &EnqueueRequest) -> Result<EnqueuedTask, CommandError> {
        Ok(EnqueuedTask { new_task_id: format!("new-{}", request.name), message: None })
    }
}

async fn ask(schedulers: usize, cmd: &str, args: Value) -> Value {
    let engines: Arc<[Arc<dyn Engine>]> = Arc::from([Arc::new(Counter) as Arc<dyn Engine>]);
    let redactor = Arc::new(Redactor::new(&Default::default()).expect("built-in rules"));
    let (dispatcher, mut answers) = Dispatcher::new(engines, redactor);
    let diaries: Vec<Arc<dyn Scheduler>> = (0..schedulers).map(|_| Arc::new(Diary) as Arc<dyn Scheduler>).collect();
    let dispatcher = dispatcher.with_schedulers(diaries.into());
    dispatcher.accept(Command { cmd_id: "c".into(), cmd: cmd.into(), args });
    serde_json::to_value(answers.recv().await.expect("an answer").result).expect("JSON")
}

#[tokio::test]
async fn each_command_has_its_answer_and_a_schedule_is_told_redacted() {
    let schedule = json!({"name": "n", "args": ["bob@example.com"]});
    let made = ask(1, "schedule_create", json!({"scheduler": "diary", "schedule": schedule})).await;
    assert_eq!(made["result"]["schedule"]["args_redacted"], json!(["<email>"]), "{made}");
    for (args, enabled) in [(json!({"id": "1"}), false), (json!({"id": "1", "paused": false}), true)] {
        let paused = ask(1, "schedule_pause", args).await;
        assert_eq!((&paused["result"]["schedule"]["enabled"], &paused["message"]), (&json!(enabled), &json!("done")));
    }
    let run = ask(1, "schedule_run_now", json!({"scheduler": "diary", "id": "1"})).await;
    assert_eq!(run["result"], json!({"new_task_id": "new-add"}), "{run}");
    let enqueued = ask(0, "enqueue_task", json!({"engine": "counter", "name": "sum", "args": [1]})).await;
    assert_eq!(enqueued["result"], json!({"new_task_id": "new-sum"}), "{enqueued}");
}

#[tokio::test]
async fn what_cannot_be_done_has_its_code() {
    for (schedulers, cmd, args, error) in [
        (0, "schedule_pause", json!({"id": "1"}), "unsupported_command"),
        (1, "schedule_pause", json!({"scheduler": "other", "id": "1"}), "invalid_args"),
        (2, "schedule_pause", json!({"id": "1"}), "invalid_args"),
        (1, "schedule_pause", json!({"id": 1}), "invalid_args"),
        (1, "schedule_pause", json!({"id": "1", "paused": "no"}), "invalid_args"),
        (1, "schedule_update", json!({"id": "1", "schedule": {"name": "n"}}), "not_found"),
        (1, "schedule_update", json!({"id": "1"}), "invalid_args"),
        (1, "schedule_delete", json!({"id": "1"}), "read_only"),
        (1, "enqueue_task", json!({"args": []}), "invalid_args"),
    ] {
        let answer = ask(schedulers, cmd, args).await;
        assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(error)), "{answer}");
    }
}
