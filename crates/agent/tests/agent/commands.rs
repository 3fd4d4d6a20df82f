//! Commands come, are carried out once, and are answered.

use serde_json::json;

use crate::brain::ScriptedBrain;
use crate::engine::{config, start};

#[tokio::test]
async fn a_command_is_carried_out_once_however_often_it_comes() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    let done = json!({"type": "command_result", "cmd_id": "c1", "ok": true, "result": {"new_task_id": "t-1"}});
    for _ in 0..2 {
        visit.command("c1", "retry_task", json!({"task_id": "t", "engine": "celery"})).await;
        assert_eq!(visit.frame().await, done);
    }
    drop(visit);
    let mut visit = brain.welcome(0).await;
    visit.command("c1", "retry_task", json!({"task_id": "t", "engine": "celery"})).await;
    assert_eq!(visit.frame().await, done);
    agent.stop().await;
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    visit.command("c1", "cancel_task", json!({"task_id": "t"})).await;
    let answer = visit.frame().await;
    assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!("not_found")));
    visit.command("c2", "schedule_create", json!({})).await;
    assert_eq!(visit.frame().await["error"], "unsupported_command");
    agent.stop().await;
}

#[tokio::test]
async fn a_restart_is_answered_and_then_everything_begins_anew() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let mut agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    agent.was_started(1).await;
    visit.command("c1", "restart_agent", json!({})).await;
    assert_eq!(visit.frame().await["ok"], true);
    assert_eq!(visit.closed().await, Some(1000));
    let mut visit = brain.welcome(0).await;
    agent.was_started(2).await;
    agent.sees_tasks(0, 1).await;
    assert_eq!(visit.batch().await.0, 1);
    visit.ack(1).await;
    agent.stop().await;
}
