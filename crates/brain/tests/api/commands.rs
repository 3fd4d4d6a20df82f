//! Commands, while no agent is connected.

use serde_json::json;
use taskplane_model::access::Role;

use crate::brain::TestBrain;

fn retry(task_id: &str) -> serde_json::Value {
    json!({ "cmd": "retry_task", "args": { "engine": "celery", "task_id": task_id } })
}

#[tokio::test]
async fn without_an_agent_a_command_fails_at_once_and_is_kept() {
    let brain = TestBrain::start().await;
    let answer = brain.post(Role::Operator, "commands", &retry("t1")).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let command = answer.json();
    assert_eq!((&command["status"], &command["error"]), (&json!("failed"), &json!("agent_not_connected")));
    assert!(command["created_by"].as_str().is_some_and(|by| by.starts_with("api-key:")));

    let path = format!("commands/{}?wait=10", command["id"].as_str().expect("an id"));
    assert_eq!(brain.get(&path).await.json(), command);
    assert_eq!(brain.get("commands?task_id=t1").await.json()["items"], json!([command]));
    assert_eq!(brain.get("commands?task_id=t2").await.json()["items"], json!([]));
    let audit = brain.get("audit").await.json();
    assert_eq!(audit["items"][0]["action"], "retry_task");
}

#[tokio::test]
async fn commands_are_listed_newest_first_page_by_page() {
    let brain = TestBrain::start().await;
    for task in ["a", "b", "c"] {
        brain.post(Role::Operator, "commands", &retry(task)).await;
    }
    let commands = brain.pages("commands", 2).await;
    let tasks: Vec<_> = commands.iter().map(|command| &command["args"]["task_id"]).collect();
    assert_eq!(tasks, ["c", "b", "a"]);
    assert_eq!(brain.get("commands?cursor=x").await.problem(400), "bad_cursor");
}

#[tokio::test]
async fn one_key_is_one_command() {
    let brain = TestBrain::start().await;
    let mut request = retry("t1");
    request["idempotency_key"] = json!("k1");
    let first = brain.post(Role::Operator, "commands", &request).await.json();
    let second = brain.post(Role::Operator, "commands", &request).await.json();
    assert_eq!(first["id"], second["id"]);
    assert_eq!(brain.get("commands").await.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn commands_that_make_no_sense_are_not_recorded() {
    let brain = TestBrain::start().await;
    let unknown = brain.post(Role::Operator, "commands", &json!({ "cmd": "dance", "args": {} })).await;
    assert_eq!(unknown.problem(400), "unknown_command");
    let misspelt = json!({ "cmd": "cancel_task", "args": { "engine": "celery", "task_id": "t", "terminat": true } });
    let answer = brain.post(Role::Operator, "commands", &misspelt).await;
    assert_eq!(answer.problem(422), "invalid_arguments");
    assert!(answer.text().contains("terminat"));
    assert_eq!(brain.get("commands").await.json()["items"], json!([]));
}

#[tokio::test]
async fn unknown_commands_and_long_waits_are_refused() {
    let brain = TestBrain::start().await;
    assert_eq!(brain.get("commands/nothing").await.problem(404), "command_not_found");
    assert_eq!(brain.get("commands/nothing?wait=56").await.problem(400), "bad_wait");
}
