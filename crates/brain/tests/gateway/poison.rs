//! Events that cannot be understood never block those that can.

use serde_json::{Value, json};

use crate::agent::{Agent, batch, plain};
use crate::brain::TestBrain;
use crate::events::{event, event_with, life};

/// Events that no brain can make sense of, one reason each.
fn poison() -> Vec<Value> {
    let without = |key: &str| {
        let mut event = event("task_sent", "poison");
        event.as_object_mut().expect("an object").remove(key);
        event
    };
    vec![
        without("event_type"),
        without("task_id"),
        event("task_sent", ""),
        event("task_sent", &"x".repeat(513)),
        event_with("task_sent", "poison", json!({ "event_type": 7 })),
        event_with("task_sent", "poison", json!({ "task_id": ["poison"] })),
        event_with("task_sent", "poison", json!({ "name": { "of": "task" } })),
        event_with("task_sent", "poison", json!({ "retries": -1 })),
        event_with("task_started", "poison", json!({ "pid": "12" })),
        event_with("task_succeeded", "poison", json!({ "runtime_ms": "fast" })),
        event_with("task_revoked", "poison", json!({ "terminated": "yes" })),
        json!({ "event_type": "worker_heartbeat", "engine": "celery" }),
        json!({ "event_type": "queue_stats", "engine": "celery", "depth": 3 }),
        json!({}),
        json!(null),
        json!(7),
        json!("task_sent"),
        json!([]),
        json!(["task_sent", null, "celery", "poison"]),
    ]
}

#[tokio::test]
async fn poison_is_quarantined_wherever_it_stands_and_the_rest_is_stored() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let mut events = vec![event("task_sent", "first")];
    for (at, bad) in poison().into_iter().enumerate() {
        events.extend([bad, event("task_sent", &format!("good-{at:02}"))]);
    }
    agent.tell(1, events.into()).await;

    let mut expected: Vec<_> = (0..poison().len()).map(|at| format!("good-{at:02}")).collect();
    expected.insert(0, "first".to_owned());
    assert_eq!(brain.task_ids().await, expected);
    let web = brain.agent("web").await;
    assert_eq!((&web["quarantined_events"], &web["lost_batches"]), (&json!(poison().len()), &json!(0)));
    assert_eq!(brain.totals().await["sent"], expected.len());
}

#[tokio::test]
async fn each_kind_of_poison_alone_is_acked_and_counted_once() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    for (seq, bad) in (1..).zip(poison()) {
        agent.tell(seq, json!([bad])).await;
        let web = brain.agent("web").await;
        assert_eq!(web["quarantined_events"], seq, "{bad}");
    }
    let count = poison().len() as u64;
    agent.send(&batch(count, json!([poison().pop()]))).await;
    agent.hears_ack(count).await;
    assert_eq!(brain.agent("web").await["quarantined_events"], count);
    agent.tell(count + 1, life("after")).await;
    assert_eq!(brain.task_ids().await, ["after"]);
}

#[tokio::test]
async fn json_that_no_text_can_hold_poisons_its_event_only() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let text = format!(
        r#"{{"type":"event_batch","seq":1,"events":[
            {{"event_type":"task_sent","engine":"celery","task_id":"\ud800"}},
            {{"event_type":"task_sent","engine":"celery","task_id":"twice","task_id":"twice"}},
            {{"event_type":"task_succeeded","engine":"celery","task_id":"huge","runtime_ms":1e999}},
            {{"event_type":"task_sent","engine":"celery","task_id":"deep","args_redacted":{deep}}},
            {{"event_type":"task_sent","engine":"celery","task_id":"good","name":"caf\u00e9 \ud83d\ude00"}}]}}"#
    );
    agent.send_text(&text).await;
    agent.hears_ack(1).await;
    assert_eq!(brain.agent("web").await["quarantined_events"], 4);
    assert_eq!(brain.task_ids().await, ["good"]);
    assert_eq!(brain.task("good").await["name"], "café 😀");
}
