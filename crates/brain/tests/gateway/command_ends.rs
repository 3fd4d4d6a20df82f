//! Commands that nobody answers, or the wrong one.

use reqwest::Method;
use serde_json::json;
use taskplane_brain::gateway::GatewayLimits;

use crate::agent::{Agent, plain, rich};
use crate::brain::TestBrain;
use crate::commands::retry;
use crate::events::{event, life};

#[tokio::test]
async fn a_command_whose_agent_vanishes_may_have_been_executed_and_is_not_sent_again() {
    let brain = TestBrain::start().await;
    let hello = plain("web");
    let mut agent = Agent::open(&brain, &hello, 0).await;
    let row = brain.command(&retry("t1")).await;
    assert_eq!(agent.command().await["cmd_id"], row["id"]);
    agent.vanish();
    let ended = brain.ended(&row).await;
    assert_eq!(ended["status"], "unknown");
    assert!(ended["message"].as_str().is_some_and(|text| text.contains("may have been executed")), "{ended}");

    // Nothing but acks comes after the reconnect, and an answer from before is too late.
    let mut agent = Agent::open(&brain, &hello, 0).await;
    agent.answer(&row["id"], json!({ "ok": true, "result": { "new_task_id": "new" } })).await;
    agent.tell(1, json!([event("task_failed", "t1")])).await;
    assert_eq!(brain.ended(&row).await, ended);
    assert_eq!(brain.task("t1").await["retried_as"], json!(null));
}

#[tokio::test]
async fn a_command_of_a_connection_that_is_superseded_ends_as_unknown() {
    let brain = TestBrain::start().await;
    let hello = rich("web", "i1");
    let mut first = Agent::open(&brain, &hello, 0).await;
    let row = brain.command(&retry("t1")).await;
    first.command().await;
    let mut second = Agent::open(&brain, &hello, 0).await;
    assert_eq!(first.closed().await.0, 4009);
    assert_eq!(brain.ended(&row).await["status"], "unknown");
    second.tell(1, life("t1")).await;
}

#[tokio::test]
async fn a_command_that_a_brain_leaves_open_may_have_been_executed_and_is_not_sent_again() {
    let brain = TestBrain::start().await;
    let hello = rich("web", "i1");
    let mut agent = Agent::open(&brain, &hello, 0).await;
    let row = brain.command(&retry("t1")).await;
    agent.command().await;
    let brain = brain.restart().await;
    let ended = brain.ended(&row).await;
    assert_eq!(ended["status"], "unknown");
    assert!(ended["message"].as_str().is_some_and(|text| text.contains("may have been executed")), "{ended}");
    let mut agent = Agent::open(&brain, &hello, 0).await;
    agent.tell(1, life("t1")).await;
}

#[tokio::test]
async fn without_an_agent_for_it_a_command_fails_and_is_not_sent_later() {
    let brain = TestBrain::start().await;
    let mut other_engine = plain("other");
    other_engine["engines"] = json!(["rq"]);
    let mut other = Agent::open(&brain, &other_engine, 0).await;
    let mut named = retry("t1");
    named["agent"] = json!("nobody");
    for request in [retry("t1"), named] {
        let row = brain.command(&request).await;
        assert_eq!((&row["status"], &row["error"]), (&json!("failed"), &json!("agent_not_connected")));
        assert!(row["message"].as_str().is_some_and(|text| text.contains("nothing was sent")), "{row}");
        assert_eq!(brain.ended(&row).await, row);
    }
    other.tell(1, life("t1")).await;
    let mut late = Agent::open(&brain, &plain("web"), 0).await;
    late.tell(1, life("t2")).await;
}

#[tokio::test]
async fn answers_to_what_was_never_asked_are_ignored() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    for cmd_id in ["", "cmd-4821", "0191d1f0-0000-7000-8000-000000000000"] {
        agent.answer(&json!(cmd_id), json!({ "ok": true, "result": { "new_task_id": "x" } })).await;
    }
    agent.tell(1, life("t1")).await;
    assert_eq!(brain.items("commands").await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn only_the_connection_that_was_asked_can_answer_and_only_once() {
    let brain = TestBrain::start().await;
    let mut asked = Agent::open(&brain, &rich("web", "i1"), 0).await;
    asked.tell(1, json!([event("task_failed", "t1")])).await;
    let mut request = retry("t1");
    request["agent"] = json!("web");
    let row = brain.command(&request).await;
    asked.command().await;

    let forged = json!({ "ok": true, "result": { "new_task_id": "forged" } });
    let mut stranger = Agent::open(&brain, &rich("stranger", "i1"), 0).await;
    let mut sibling = Agent::open(&brain, &rich("web", "i2"), 0).await;
    for other in [&mut stranger, &mut sibling] {
        other.answer(&row["id"], forged.clone()).await;
        // Once this is acked, the answer before it has been dealt with.
        other.tell(1, json!([event("task_sent", "t2")])).await;
    }
    let path = format!("commands/{}", row["id"].as_str().expect("an id"));
    assert_eq!(brain.get(&path).await["status"], "sent");

    asked.answer(&row["id"], json!({ "ok": true, "result": { "new_task_id": "true" } })).await;
    let ended = brain.ended(&row).await;
    assert_eq!((&ended["status"], &ended["result"]["new_task_id"]), (&json!("succeeded"), &json!("true")));
    asked.answer(&row["id"], json!({ "ok": false, "error": "busy" })).await;
    asked.tell(2, life("t3")).await;
    assert_eq!(brain.get(&path).await, ended);
    assert_eq!(brain.task("t1").await["retried_as"], "true");
}

#[tokio::test]
async fn an_answer_that_the_store_cannot_take_is_recorded_when_it_can() {
    let (brain, faults) = TestBrain::start_faulty(GatewayLimits::default()).await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, json!([event("task_failed", "t1")])).await;
    let row = brain.command(&retry("t1")).await;
    agent.command().await;
    faults.fill_disk();
    agent.answer(&row["id"], json!({ "ok": true, "result": { "new_task_id": "t2" } })).await;
    // Refused while nothing can be written, and not sent afterwards either.
    let refused = brain.request(Method::POST, "commands").json(&retry("t3")).send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    faults.free_disk();
    let ended = brain.ended(&row).await;
    assert_eq!((&ended["status"], &ended["result"]["new_task_id"]), (&json!("succeeded"), &json!("t2")));
    assert_eq!(brain.task("t1").await["retried_as"], "t2");
    let next = brain.command(&retry("t4")).await;
    assert_eq!(agent.command().await["cmd_id"], next["id"], "the refused one was never sent");
}
