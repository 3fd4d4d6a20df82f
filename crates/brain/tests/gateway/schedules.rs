//! What agents tell of schedulers, and what is shown of it.

use serde_json::{Value, json};

use crate::agent::{Agent, plain};
use crate::brain::TestBrain;
use crate::events::life;

fn sync(full: bool, schedules: Value, removed: Value) -> Value {
    json!({
        "type": "schedule_sync", "scheduler": "celery-beat", "full": full, "schedules": schedules, "removed": removed
    })
}

/// The schedules once everything that was sent before has been read.
async fn shown(brain: &TestBrain, agent: &mut Agent, seq: u64) -> Vec<Value> {
    agent.tell(seq, life(&format!("t{seq}"))).await;
    brain.items("schedules").await
}

#[tokio::test]
async fn schedules_are_shown_as_their_agent_last_told_them() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let report = json!({
        "id": "report", "name": "nightly report", "task": "shop.report", "engine": "celery", "kind": "crontab",
        "expression": "0 3 * * mon-fri", "timezone": "Europe/Berlin", "args_redacted": [7], "kwargs_redacted": {},
        "enabled": true, "next_run_at": "2026-11-23T02:00:00.000000Z", "total_run_count": 12, "color": "blue"
    });
    let clean = json!({ "id": "clean", "kind": "interval", "expression": "5m" });
    agent.send(&sync(true, json!([report, clean, { "name": "has no id" }, 7, ["x"]]), json!([]))).await;
    let schedules = shown(&brain, &mut agent, 1).await;
    let ids: Vec<&Value> = schedules.iter().map(|schedule| &schedule["id"]).collect();
    assert_eq!(ids, ["clean", "report"]);
    for (field, value) in report.as_object().expect("an object") {
        let expected = if field == "color" { &Value::Null } else { value };
        assert_eq!(&schedules[1][field], expected, "{field}");
    }
    assert_eq!((&schedules[1]["agent"], &schedules[1]["scheduler"]), (&json!("web"), &json!("celery-beat")));

    agent.send(&sync(false, json!([{ "id": "clean", "enabled": false }]), json!(["report"]))).await;
    let schedules = shown(&brain, &mut agent, 2).await;
    assert_eq!((schedules.len(), &schedules[0]["enabled"]), (1, &json!(false)));
}
