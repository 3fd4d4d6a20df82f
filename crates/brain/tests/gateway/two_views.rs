//! A publisher and a worker tell of the same task, in whatever order it arrives.

use serde_json::{Value, json};
use taskplane_model::Timestamp;

use crate::agent::{Agent, plain, rich};
use crate::brain::TestBrain;
use crate::events::event_with;

/// What both see of one task that fails once and then succeeds, with the times of their clocks.
fn seen(task_id: &str, began: Timestamp) -> [Vec<Value>; 2] {
    let at = |ms: i64, kind: &str, more: Value| {
        let mut event = event_with(kind, task_id, more);
        event["ts"] = json!(began.plus(ms * 1_000).to_string());
        event
    };
    let publisher = vec![at(
        0,
        "task_sent",
        json!({ "name": "mail.send", "queue": "mail", "args_redacted": [1], "kwargs_redacted": { "to": "<email>" } }),
    )];
    let on = |retries: u32| json!({ "worker": "celery@a", "retries": retries });
    let failed = json!({ "worker": "celery@a", "retries": 0, "exception": "OSError", "exception_message": "reset" });
    let succeeded =
        json!({ "worker": "celery@a", "retries": 1, "runtime_ms": 12.5, "result_redacted": "<str len=40>" });
    let worker = vec![
        at(5, "task_received", on(0)),
        at(10, "task_started", on(0)),
        at(20, "task_retry", failed),
        at(25, "task_received", on(1)),
        at(30, "task_started", on(1)),
        at(45, "task_succeeded", succeeded),
    ];
    [publisher, worker]
}

/// The task as people see it, but for what it is called and when it was first heard of.
async fn shown(brain: &TestBrain, task_id: &str) -> Value {
    let mut task = brain.task(task_id).await;
    for key in ["task_id", "first_seen_at"] {
        task.as_object_mut().expect("an object").remove(key);
    }
    task
}

#[tokio::test]
async fn the_order_in_which_two_agents_tell_makes_no_difference() {
    let brain = TestBrain::start().await;
    let began = taskplane_brain::clock::now().plus(-60_000_000);
    let mut publisher = Agent::open(&brain, &plain("publisher"), 0).await;
    let mut worker = Agent::open(&brain, &rich("worker", "i1"), 0).await;
    let (mut published, mut worked) = (0, 0);

    // Publisher first; worker first; the worker's events one by one, last one first, the publisher's in the middle.
    let [sent, run] = seen("publisher-first", began);
    publisher.tell(next(&mut published), sent.into()).await;
    worker.tell(next(&mut worked), run.into()).await;

    let [sent, run] = seen("worker-first", began);
    worker.tell(next(&mut worked), run.into()).await;
    publisher.tell(next(&mut published), sent.into()).await;

    let [sent, run] = seen("shuffled", began);
    for (at, event) in run.iter().rev().enumerate() {
        worker.tell(next(&mut worked), json!([event])).await;
        if at == 2 {
            publisher.tell(next(&mut published), sent.clone().into()).await;
        }
    }
    // Both tell everything once more, in batches of their own.
    worker.tell(next(&mut worked), sent.into()).await;
    publisher.tell(next(&mut published), run.into()).await;

    let expected = shown(&brain, "publisher-first").await;
    assert_eq!((&expected["state"], &expected["attempt"]), (&json!("succeeded"), &json!(1)));
    assert_eq!((&expected["name"], &expected["worker"]), (&json!("mail.send"), &json!("celery@a")));
    assert_eq!((&expected["queue"], &expected["runtime_ms"]), (&json!("mail"), &json!(12.5)));
    assert_eq!(expected["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown(&brain, "worker-first").await, expected);
    assert_eq!(shown(&brain, "shuffled").await, expected);
    let totals = brain.totals().await;
    assert_eq!(totals, json!({ "sent": 3, "started": 6, "succeeded": 3, "failed": 0, "retried": 3 }));
}

fn next(seq: &mut u64) -> u64 {
    *seq += 1;
    *seq
}
