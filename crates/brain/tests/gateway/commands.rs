//! Commands that are answered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{Agent, plain, rich};
use crate::brain::TestBrain;
use crate::events::{event, event_with, life};

pub(crate) fn retry(task_id: &str) -> Value {
    json!({ "cmd": "retry_task", "args": { "engine": "celery", "task_id": task_id } })
}

#[tokio::test]
async fn a_command_reaches_the_agent_and_its_answer_ends_the_row() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, json!([event("task_failed", "old")])).await;
    let row = brain.command(&retry("old")).await;
    assert_eq!((&row["status"], &row["agent"], &row["finished_at"]), (&json!("sent"), &json!("web"), &json!(null)));
    let args = json!({ "engine": "celery", "task_id": "old" });
    let frame = agent.command().await;
    assert_eq!(frame, json!({ "type": "command", "cmd_id": row["id"], "cmd": "retry_task", "args": args }));

    agent.answer(&frame["cmd_id"], json!({ "ok": true, "result": { "new_task_id": "new" } })).await;
    let ended = brain.ended(&row).await;
    assert_eq!((&ended["status"], &ended["result"]), (&json!("succeeded"), &json!({ "new_task_id": "new" })));
    assert_eq!((&ended["error"], &ended["cmd"]), (&json!(null), &json!("retry_task")));
    assert_eq!(brain.task("old").await["retried_as"], "new");
    agent.tell(2, life("new")).await;
    assert_eq!(brain.task("new").await["retry_of"], "old");
}

#[tokio::test]
async fn an_agent_is_told_what_is_known_of_the_tasks_that_it_is_to_retry() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let named = json!({ "name": "shop.charge", "queue": "pay" });
    let started = event("task_started", "old");
    let old = event_with("task_failed", "old", named.clone());
    agent.tell(1, json!([started, old, event("task_failed", "nameless")])).await;
    let row = brain.command(&retry("old")).await;
    let frame = agent.command().await;
    assert_eq!(frame["args"]["known"], json!({ "old": named }));
    agent.answer(&row["id"], json!({ "ok": true, "result": { "new_task_id": "new" } })).await;
    let row = brain.ended(&row).await;
    assert_eq!(row["args"], json!({ "engine": "celery", "task_id": "old" }), "kept as it was given");
    let args = json!({ "engine": "celery", "task_ids": ["old", "nameless", "unknown"] });
    brain.command(&json!({ "cmd": "preview_retry", "args": args })).await;
    assert_eq!(agent.command().await["args"]["known"], json!({ "old": named }));
}

#[tokio::test]
async fn for_the_body_of_a_chord_the_agent_is_told_what_its_members_were_retried_as() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let member = json!({ "chord_id": "body", "group_id": "g" });
    agent.tell(1, json!([event_with("task_failed", "m", member), event("task_failed", "body")])).await;
    for (old, new) in [("m", "m2"), ("m2", "m3")] {
        let row = brain.command(&retry(old)).await;
        agent.command().await;
        agent.answer(&row["id"], json!({ "ok": true, "result": { "new_task_id": new } })).await;
        brain.ended(&row).await;
        agent.tell(2 + u64::from(new == "m3"), json!([event("task_failed", new)])).await;
    }
    brain.command(&retry("body")).await;
    assert_eq!(agent.command().await["args"]["known"], json!({ "body": { "retried": { "m": "m2", "m2": "m3" } } }));
}

#[tokio::test]
async fn the_source_texts_answer_without_a_new_id_ends_a_retry_without_a_link() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, json!([event("task_failed", "old")])).await;
    let row = brain.command(&retry("old")).await;
    agent.command().await;
    agent.answer(&row["id"], json!({ "ok": true, "result": { "new_task_id": "" } })).await;
    assert_eq!(brain.ended(&row).await["status"], "succeeded");
    assert_eq!(brain.task("old").await["retried_as"], json!(null));
}

#[tokio::test]
async fn a_bulk_retry_links_each_task() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, json!(["a", "b", "c"].map(|id| event("task_failed", id)))).await;
    let bulk = json!({ "cmd": "bulk_retry", "args": { "engine": "celery", "task_ids": ["a", "b", "c"] } });
    let row = brain.command(&bulk).await;
    assert_eq!(agent.command().await["args"]["task_ids"], json!(["a", "b", "c"]));
    let result = json!({ "retried": { "a": "a2", "b": "b2" }, "failed": { "c": "no_original_payload" } });
    agent.answer(&row["id"], json!({ "ok": true, "result": result })).await;
    assert_eq!(brain.ended(&row).await["result"], result);
    let links = [brain.task("a").await, brain.task("b").await, brain.task("c").await];
    assert_eq!(links.map(|task| task["retried_as"].clone()), [json!("a2"), json!("b2"), json!(null)]);
}

#[tokio::test]
async fn the_codes_of_failures_are_kept() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    for code in [
        "unsupported_command",
        "not_found",
        "no_original_payload",
        "engine_error",
        "invalid_args",
        "read_only",
        "busy",
        "a_code_of_tomorrow",
    ] {
        let row = brain.command(&retry(code)).await;
        let frame = agent.command().await;
        agent.answer(&frame["cmd_id"], json!({ "ok": false, "error": code, "message": "for people" })).await;
        let ended = brain.ended(&row).await;
        assert_eq!((&ended["status"], &ended["error"]), (&json!("failed"), &json!(code)));
        assert_eq!((&ended["message"], &ended["result"]), (&json!("for people"), &json!(null)));
    }
    let row = brain.command(&retry("no code")).await;
    agent.command().await;
    agent.answer(&row["id"], json!({ "ok": false })).await;
    let ended = brain.ended(&row).await;
    assert_eq!((&ended["status"], &ended["error"]), (&json!("failed"), &json!("engine_error")));
}

#[tokio::test]
async fn who_waits_for_a_command_hears_of_its_end_at_once() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let row = brain.command(&retry("t1")).await;
    let path = format!("commands/{}", row["id"].as_str().expect("an id"));
    let began = Instant::now();
    let unanswered = brain.get(&format!("{path}?wait=1")).await;
    assert_eq!(unanswered["status"], "sent");
    assert!(began.elapsed() >= Duration::from_secs(1));

    let waiting = async {
        let ended = brain.get(&format!("{path}?wait=25")).await;
        (ended, Instant::now())
    };
    let answering = async {
        let frame = agent.command().await;
        agent.answer(&frame["cmd_id"], json!({ "ok": true })).await;
        Instant::now()
    };
    let ((ended, heard), answered) = tokio::join!(waiting, answering);
    assert_eq!(ended["status"], "succeeded");
    // Nobody who was not woken hears of it before the 25 s are over.
    assert!(heard.saturating_duration_since(answered) < Duration::from_secs(20));
}

#[tokio::test]
async fn an_answer_that_comes_while_somebody_begins_to_wait_is_not_missed() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    for at in 0..60 {
        let row = brain.command(&retry(&format!("t{at}"))).await;
        let frame = agent.command().await;
        agent.answer(&frame["cmd_id"], json!({ "ok": true })).await;
        // The answer is now anywhere between the socket and the store.
        assert_eq!(brain.ended(&row).await["status"], "succeeded", "{at}");
    }
}

#[tokio::test]
async fn two_requests_with_one_key_are_one_command() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let mut request = retry("t1");
    request["idempotency_key"] = json!("k1");
    let (first, second) = tokio::join!(brain.command(&request), brain.command(&request));
    assert_eq!(first["id"], second["id"]);
    let frame = agent.command().await;
    assert_eq!(frame["cmd_id"], first["id"]);
    agent.answer(&frame["cmd_id"], json!({ "ok": true })).await;
    brain.ended(&first).await;
    let third = brain.command(&request).await;
    assert_eq!((&third["id"], &third["status"]), (&first["id"], &json!("succeeded")));
    // Nothing but the ack comes: it was sent once.
    agent.tell(1, life("t1")).await;
    assert_eq!(brain.items("commands").await.len(), 1);
}

#[tokio::test]
async fn a_command_goes_to_the_agent_that_knows_the_task() {
    let brain = TestBrain::start().await;
    let mut knowing = Agent::open(&brain, &plain("knowing"), 0).await;
    knowing.tell(1, json!([event("task_failed", "t1")])).await;
    let mut newer = Agent::open(&brain, &plain("newer"), 0).await;
    let row = brain.command(&retry("t1")).await;
    assert_eq!((&row["agent"], &knowing.command().await["cmd_id"]), (&json!("knowing"), &row["id"]));

    let mut named = retry("t1");
    named["agent"] = json!("newer");
    let row = brain.command(&named).await;
    assert_eq!((&row["agent"], &newer.command().await["cmd_id"]), (&json!("newer"), &row["id"]));
}
