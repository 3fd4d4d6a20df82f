//! Tasks that are under way for too long, with agents that answer what a test says.

use std::time::Duration;

use serde_json::{Value, json};
use taskplane_brain::clock;

use crate::agent::{Agent, Said, batch, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::event_with;

/// An agent that says of itself that it can be asked.
async fn askable(brain: &TestBrain) -> Agent {
    let mut hello = rich("web", "i1");
    hello["capabilities"] = json!({ "celery": { "query_state": true } });
    Agent::open(brain, &hello, 0).await
}

fn begun(task_id: &str) -> [Value; 2] {
    ["task_received", "task_started"]
        .map(|kind| event_with(kind, task_id, json!({ "worker": "w1@h", "attempt": 0, "name": "shop.pay" })))
}

fn nothing() -> Value {
    json!({ "state": "unknown", "workers_answered": 1, "workers_silent": [],
        "evidence": ["no result is stored", "not held by the only worker that answered"] })
}

/// The next inquiry; its id, and the tasks.
async fn inquiry(agent: &mut Agent) -> (Value, Vec<String>) {
    loop {
        let frame = agent.frame().await;
        if frame["type"] == "command" {
            assert_eq!((&frame["cmd"], &frame["args"]["engine"]), (&json!("query_state"), &json!("celery")), "{frame}");
            let ids = serde_json::from_value(frame["args"]["task_ids"].clone()).expect("ids");
            return (frame["cmd_id"].clone(), ids);
        }
    }
}

/// Answers the next inquiry, the same about each task. Returns the tasks.
async fn answer_next(agent: &mut Agent, answer: Value) -> Vec<String> {
    let (id, mut tasks) = inquiry(agent).await;
    let result: Value = tasks.iter().map(|task| (task.clone(), answer.clone())).collect();
    agent.answer(&id, json!({ "ok": true, "result": result })).await;
    tasks.sort_unstable();
    tasks
}

async fn in_state(brain: &TestBrain, task_id: &str, state: &str) -> Value {
    until(state, PATIENCE, async || Some(brain.task(task_id).await).filter(|task| task["state"] == state)).await
}

/// Waits until so many questions came to this.
async fn came_to(brain: &TestBrain, outcome: &str, questions: u64) {
    let line = format!("taskplane_task_inquiries_total{{outcome=\"{outcome}\"}} ");
    let found = || {
        let text = brain.brain.metrics.render();
        text.lines().find_map(|text| text.strip_prefix(&line)?.parse::<u64>().ok())
    };
    until(outcome, PATIENCE, async || found().filter(|found| *found >= questions)).await;
}

#[tokio::test]
async fn a_task_of_which_nothing_is_found_twice_is_lost_and_says_why() {
    let brain = TestBrain::start_asking_after(1).await;
    let mut agent = askable(&brain).await;
    let gone =
        json!({ "event_type": "worker_offline", "engine": "celery", "worker": "w1@h", "ts": clock::now().to_string() });
    agent.tell(1, json!([&begun("t1")[..], &begun("t2")[..], &[gone]].concat())).await;
    assert_eq!(answer_next(&mut agent, nothing()).await, ["t1", "t2"]);
    came_to(&brain, "Missing", 2).await;
    assert_eq!(brain.task("t1").await["state"], "started", "once is not enough");
    assert_eq!(answer_next(&mut agent, nothing()).await, ["t1", "t2"]);
    let task = in_state(&brain, "t1", "lost").await;
    let evidence = json!([
        "no result is stored",
        "not held by the only worker that answered",
        "the worker w1@h, which had it, is gone"
    ]);
    assert_eq!((&task["lost"]["evidence"], &task["lost"]["worker"]), (&evidence, &json!("w1@h")), "{task}");
    assert_eq!((&task["exception"], &task["exception_message"]), (&Value::Null, &Value::Null));
    in_state(&brain, "t2", "lost").await;
    assert!(brain.brain.metrics.render().contains("taskplane_tasks_lost_total 2"));

    // Nobody did anything.
    assert!(brain.items("commands").await.is_empty());
    assert!(brain.items("audit").await.iter().all(|entry| entry["action"] != "query_state"));
    let inquiries = brain.items("commands?inquiries=true").await;
    assert_eq!(inquiries.len(), 2, "{inquiries:?}");
    assert!(inquiries.iter().all(|inquiry| inquiry["created_by"] == "taskplane"), "{inquiries:?}");

    // It was delivered again after all.
    let again =
        ["task_received", "task_started"].map(|kind| event_with(kind, "t1", json!({ "worker": "w2@h", "attempt": 0 })));
    agent.tell_next(2, json!(again)).await;
    let task = in_state(&brain, "t1", "started").await;
    assert_eq!((&task["lost"], &task["started_twice"], &task["worker"]), (&Value::Null, &json!(true), &json!("w2@h")));
    let starts = task["attempts"][0]["starts"].as_array().expect("starts").iter().map(|start| start["worker"].clone());
    assert_eq!(starts.collect::<Vec<_>>(), ["w1@h", "w2@h"]);
}

#[tokio::test]
async fn a_task_that_lives_is_asked_about_less_and_less() {
    let brain = TestBrain::start_asking_after(1).await;
    let mut agent = askable(&brain).await;
    agent.tell(1, json!(begun("t1"))).await;
    let mut pauses = Vec::new();
    let mut last = None;
    for _ in 0..3 {
        let (id, _) = inquiry(&mut agent).await;
        // The pause begins when it is answered: not before this moment, however slow we are.
        let now = std::time::Instant::now();
        pauses.extend(last.map(|last| now - last));
        last = Some(now);
        let lives = json!({ "t1": { "state": "started", "known_by": "worker", "evidence": ["w1@h runs it"] } });
        agent.answer(&id, json!({ "ok": true, "result": lives })).await;
    }
    assert!(pauses[0] >= Duration::from_millis(900) && pauses[1] >= Duration::from_millis(1_900), "{pauses:?}");
    assert_eq!(brain.task("t1").await["state"], "started");
    // It is heard of: it has not been under way for so long.
    agent.tell_next(2, json!([event_with("task_succeeded", "t1", json!({ "worker": "w1@h", "attempt": 0 }))])).await;
    in_state(&brain, "t1", "succeeded").await;
}

#[tokio::test]
async fn whoever_could_have_it_and_is_silent_keeps_it_from_being_lost() {
    let brain = TestBrain::start_asking_after(1).await;
    let mut agent = askable(&brain).await;
    agent.tell(1, json!(begun("t1"))).await;
    answer_next(&mut agent, nothing()).await;
    came_to(&brain, "Missing", 1).await;
    let mut silent = nothing();
    silent["workers_silent"] = json!(["w2@h"]);
    answer_next(&mut agent, silent).await;
    came_to(&brain, "Unclear", 1).await;
    // It has to be found missing twice in a row.
    answer_next(&mut agent, nothing()).await;
    came_to(&brain, "Missing", 2).await;
    let mut unseen = nothing();
    unseen["unseen"] = json!(["unacked"]);
    answer_next(&mut agent, unseen).await;
    came_to(&brain, "Unclear", 2).await;
    assert_eq!(brain.task("t1").await["state"], "started");
}

#[tokio::test]
async fn where_neither_ends_nor_results_would_be_known_nothing_is_lost() {
    let brain = TestBrain::start_asking_after(1).await;
    let mut hello = rich("web", "i1");
    hello["capabilities"] = json!({ "celery": { "query_state": true, "task_events": false } });
    let mut agent = Agent::open(&brain, &hello, 0).await;
    agent.tell(1, json!(begun("t1"))).await;
    let mut unseen = nothing();
    unseen["unseen"] = json!(["result_backend"]);
    for questions in 1..=3 {
        answer_next(&mut agent, unseen.clone()).await;
        came_to(&brain, "Unclear", questions).await;
    }
    assert_eq!(brain.task("t1").await["state"], "started");
}

#[tokio::test]
async fn what_becomes_known_meanwhile_counts() {
    let brain = TestBrain::start_asking_after(1).await;
    let mut agent = askable(&brain).await;
    agent.tell(1, json!(begun("t1"))).await;
    answer_next(&mut agent, nothing()).await;
    came_to(&brain, "Missing", 1).await;
    let (id, _) = inquiry(&mut agent).await;
    agent.tell(2, json!([event_with("task_received", "t1", json!({ "worker": "w2@h", "attempt": 0 }))])).await;
    agent.answer(&id, json!({ "ok": true, "result": { "t1": nothing() } })).await;
    came_to(&brain, "Lost", 1).await;
    assert_eq!(brain.task("t1").await["state"], "started", "it was delivered again while it was asked about");
    assert!(brain.brain.metrics.render().contains("taskplane_tasks_lost_total 0"));
}

#[tokio::test]
async fn an_agent_that_cannot_be_asked_is_not() {
    let brain = TestBrain::start_asking_after(1).await;
    let mut able = askable(&brain).await;
    let mut unable = Agent::open(&brain, &rich("other", "i2"), 0).await;
    unable.tell(1, json!(begun("t1"))).await;
    able.tell(1, json!(begun("t2"))).await;
    for _ in 0..2 {
        assert_eq!(answer_next(&mut able, json!({ "state": "started", "evidence": [] })).await, ["t2"]);
    }
    unable.tell(2, json!([event_with("task_succeeded", "t1", json!({}))])).await;
    // Nor is one that refuses asked again soon.
    able.send(&batch(2, json!(begun("t3")))).await;
    // On a slow machine it comes before the ack, and is about the other task.
    let (id, _) = inquiry(&mut able).await;
    able.answer(&id, json!({ "ok": false, "error": "unsupported_command" })).await;
    came_to(&brain, "Failed", 1).await;
    able.send(&json!({ "type": "event_batch", "seq": 3, "events": begun("t4") })).await;
    until("an ack", PATIENCE, async || match able.next().await {
        Said::Frame(frame) => {
            assert_eq!(frame["type"], "ack", "{frame}");
            (frame["seq"] == 3).then_some(())
        }
        other => panic!("{other:?}"),
    })
    .await;
    assert!(tokio::time::timeout(Duration::from_secs(3), able.next()).await.is_err(), "it is left alone");
}

#[tokio::test]
async fn where_messages_cannot_be_looked_at_an_empty_queue_is_what_counts() {
    let brain = TestBrain::start_asking_after(1).await;
    let mut agent = askable(&brain).await;
    let queue = |depth: u64| json!({ "event_type": "queue_stats", "engine": "celery", "queue": "emails", "depth": depth, "ts": clock::now().to_string() });
    let received = ["t1", "t2"]
        .map(|id| event_with("task_received", id, json!({ "worker": "w1@h", "attempt": 0, "queue": "emails" })));
    let started = event_with("task_started", "t1", json!({ "worker": "w1@h", "attempt": 0 }));
    agent.tell(1, json!([&received[..], &[started, queue(2)]].concat())).await;
    let mut unseen = nothing();
    unseen["unseen"] = json!(["queue"]);
    assert_eq!(answer_next(&mut agent, unseen.clone()).await, ["t1", "t2"]);
    came_to(&brain, "Unclear", 2).await;
    // An inquiry may come before the ack, and has to be answered.
    agent.send(&batch(2, json!([queue(0)]))).await;
    // What a worker had not begun went back to its queue, and was delivered since to a worker that nobody heard of.
    let mut answered = 0;
    while brain.task("t1").await["state"] != "lost" {
        answer_next(&mut agent, unseen.clone()).await;
        answered += 1;
        assert!(answered < 10, "not lost after {answered} answers");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let clauses = brain.task("t1").await["lost"]["evidence"].to_string();
    assert!(
        clauses.contains("no message waits in its queue") && clauses.contains("may have finished unheard"),
        "{clauses}"
    );
    assert_eq!(brain.task("t2").await["state"], "received");
}
