//! What a newer, older or careless agent may say, and is understood all the same.

use serde_json::json;
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::agent::{Agent, plain, rich};
use crate::brain::TestBrain;
use crate::events::{event, event_with, life};

#[tokio::test]
async fn unknown_fields_are_ignored_in_every_frame() {
    let brain = TestBrain::start().await;
    let mut hello = rich("web", "i1");
    hello["mood"] = json!({ "today": ["good"] });
    let mut agent = Agent::open(&brain, &hello, 0).await;
    let events = json!([event_with("task_sent", "t1", json!({ "planet": "mars", "x": [null, { "y": 1 }] }))]);
    agent.send(&json!({ "type": "event_batch", "seq": 1, "events": events, "checksum": "?" })).await;
    agent.hears_ack(1).await;
    agent.send(&json!({ "type": "heartbeat", "ts": clock::now().to_string(), "pulse": 72 })).await;
    agent.send(&json!({ "type": "command_result", "cmd_id": "none", "ok": true, "took_ms": 5 })).await;
    agent.tell(2, life("t2")).await;
    assert_eq!(brain.task_ids().await, ["t1", "t2"]);
    let kept = brain.items("tasks/celery/t1/events").await;
    assert_eq!((kept.len(), &kept[0]["event"]["planet"]), (1, &json!("mars")));
}

#[tokio::test]
async fn frames_of_unknown_types_are_ignored_and_counted() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.send(&json!({ "type": "gossip", "about": "brains" })).await;
    agent.send(&json!({ "type": "ack", "seq": 99 })).await;
    agent.send(&json!({ "type": "schedule_sync", "scheduler": "celery-beat", "full": true, "schedules": [] })).await;
    agent.send(&json!({ "type": "command_progress", "cmd_id": "none", "done": 1, "total": 2 })).await;
    agent.tell(1, life("t1")).await;
    assert_eq!(brain.brain.metrics.unknown_frames.get(), 2);
}

#[tokio::test]
async fn the_order_of_fields_is_free() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    let mut agent = Agent::connect(&brain, &token.text).await;
    agent.send_text(r#"  {"engines":["celery"],"agent_name":"web","protocol":"v1","type":"hello"}  "#).await;
    agent.hears_ack(0).await;
    agent
        .send_text(
            r#"{"events":[{"queue":"q","task_id":"t1","engine":"celery","event_type":"task_sent"}],
                "seq":1,"type":"event_batch"}"#,
        )
        .await;
    agent.hears_ack(1).await;
    agent.send_text(r#"{"seq":2,"type":"event_batch","events":[{"event_type":"task_received","task_id":"t1"}]}"#).await;
    agent.hears_ack(2).await;
    let task = brain.task("t1").await;
    assert_eq!((&task["queue"], &task["state"]), (&json!("q"), &json!("received")));
}

#[tokio::test]
async fn aliases_of_event_types_mean_the_same() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    for (seq, (alias, name, state)) in (1..).zip([
        ("task_success", "task_succeeded", "succeeded"),
        ("task_failure", "task_failed", "failed"),
        ("task_retried", "task_retry", "retrying"),
    ]) {
        let ts = json!({ "ts": clock::now().to_string(), "exception": "E" });
        let events = json!([event_with(alias, alias, ts.clone()), event_with(name, name, ts)]);
        agent.tell(seq, events).await;
        let [by_alias, by_name] = [brain.task(alias).await, brain.task(name).await];
        assert_eq!((&by_alias["state"], &by_name["state"]), (&json!(state), &json!(state)), "{alias}");
        assert_eq!((&by_alias["timeline"], &by_alias["attempts"]), (&by_name["timeline"], &by_name["attempts"]));
    }
    assert_eq!(brain.agent("web").await["quarantined_events"], 0);
}

#[tokio::test]
async fn a_missing_or_absurd_time_becomes_the_time_of_receipt() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let tomorrow_and_more = clock::now().plus(25 * 3600 * 1_000_000).to_string();
    let absurd = [json!(null), json!(""), json!("soon"), json!("1999-12-31T23:59:59Z"), json!("2026-04-16T12:34:56")];
    let before = clock::now();
    for (seq, ts) in (1..).zip(absurd.into_iter().chain([json!(tomorrow_and_more)])) {
        let id = format!("t{seq}");
        agent.tell(seq, json!([event_with("task_sent", &id, json!({ "ts": ts }))])).await;
        let sent_at = brain.task(&id).await["sent_at"].as_str().and_then(Timestamp::parse_rfc3339).expect("a time");
        assert!(before <= sent_at && sent_at <= clock::now(), "{ts} became {sent_at}");
    }
    let mut missing = event("task_sent", "missing");
    missing.as_object_mut().expect("an object").remove("ts");
    agent.tell(7, json!([missing])).await;
    assert!(brain.task("missing").await["sent_at"].is_string());
    assert_eq!(brain.agent("web").await["quarantined_events"], 0);
}

#[tokio::test]
async fn times_with_other_zones_and_digits_are_understood() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    for (seq, ts) in (1..).zip([
        "2026-04-16T12:34:56.789Z",
        "2026-04-16T14:34:56.789000+02:00",
        "2026-04-16T12:34:56.789000000-00:00",
    ]) {
        let id = format!("t{seq}");
        agent.tell(seq, json!([event_with("task_sent", &id, json!({ "ts": ts }))])).await;
        assert_eq!(brain.task(&id).await["sent_at"], "2026-04-16T12:34:56.789000Z", "{ts}");
    }
}

#[tokio::test]
async fn events_of_unknown_types_are_shown_as_they_are() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let odd = event_with("task_teleported", "t1", json!({ "to": "mars" }));
    agent.tell(1, json!([event("task_sent", "t1"), odd, event("deployment", ""), { "event_type": "" }])).await;
    let events = brain.items("tasks/celery/t1/events").await;
    let shown = events.iter().find(|event| event["event_type"] == "task_teleported").expect("is shown");
    assert_eq!(shown["event"]["to"], "mars");
    assert_eq!(brain.task("t1").await["state"], "pending");
    assert_eq!(
        (brain.task_ids().await, &brain.agent("web").await["quarantined_events"]),
        (vec!["t1".into()], &json!(0))
    );
}

#[tokio::test]
async fn an_event_of_unknown_type_is_shown_on_its_task_as_it_is() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    // First of all, alone, and without a time.
    agent.tell(1, json!([{ "event_type": "task_snoozed", "task_id": "t1", "engine": "celery", "hours": 8 }])).await;
    assert_eq!(brain.task("t1").await["state"], "pending");
    agent.tell(2, life("t1")).await;
    assert_eq!(brain.task("t1").await["state"], "succeeded");
    let events = brain.items("tasks/celery/t1/events").await;
    let snoozed = events.iter().find(|event| event["event_type"] == "task_snoozed").expect("the event");
    assert_eq!((&snoozed["event"]["hours"], &snoozed["ts_replaced"]), (&json!(8), &json!(true)));
    assert_eq!(events.iter().filter(|event| event["ts_replaced"] == json!(false)).count(), 4);
}
