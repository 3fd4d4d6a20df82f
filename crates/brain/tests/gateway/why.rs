//! Why a task is not running.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use taskplane_brain::clock;
use taskplane_model::time::MINUTE;

use crate::agent::{Agent, rich};
use crate::brain::{SOON, TestBrain, until};
use crate::events::{event, event_with, life};

async fn why(brain: &TestBrain, task_id: &str) -> Value {
    brain.get(&format!("tasks/celery/{task_id}/why")).await
}

async fn asked(brain: &TestBrain, task_id: &str) -> Value {
    brain.get(&format!("tasks/celery/{task_id}/why?ask=true")).await
}

/// Code and role of each reason.
fn reasons(why: &Value) -> Vec<(&str, &str)> {
    let reasons = why["reasons"].as_array().expect("reasons").iter();
    reasons.map(|reason| (reason["code"].as_str().expect("text"), reason["role"].as_str().expect("text"))).collect()
}

fn told(event_type: &str, more: Value) -> Value {
    let mut event = json!({ "event_type": event_type, "ts": clock::now().to_string(), "engine": "celery" });
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

fn sample(queue: &str, depth: u64, consumers: u64) -> Value {
    told("queue_stats", json!({ "queue": queue, "depth": depth, "consumers": consumers }))
}

fn worker(active: u64) -> Value {
    told("worker_heartbeat", json!({ "worker": "w1", "queues": ["emails"], "concurrency": 2, "active": active }))
}

fn sent(task_id: &str, queue: &str) -> Value {
    event_with("task_sent", task_id, json!({ "name": "mail.send", "queue": queue }))
}

#[tokio::test]
async fn a_waiting_task_is_told_what_it_waits_for() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let events =
        json!([sent("t1", "nobody"), sent("t2", "emails"), sample("nobody", 1, 0), sample("emails", 9, 1), worker(2)]);
    agent.tell(1, events).await;
    let unconsumed = why(&brain, "t1").await;
    assert_eq!((&unconsumed["state"], &unconsumed["inquiry"]), (&json!("pending"), &json!(null)));
    assert_eq!(reasons(&unconsumed), [("queue_unconsumed", "blocks")]);
    assert_eq!(unconsumed["summary"], "It does not run because no worker consumes its queue nobody.");
    let reason = &unconsumed["reasons"][0];
    assert!(reason["known_by"] == "queue_sample" && reason["known_at"].is_string(), "{reason}");

    let busy = why(&brain, "t2").await;
    assert_eq!(reasons(&busy), [("workers_busy", "delays"), ("behind", "delays")]);
    let begun: Vec<Value> = (0..20)
        .map(|n| event_with("task_started", &format!("b{n}"), json!({ "queue": "emails", "worker": "w1" })))
        .collect();
    agent.tell(2, Value::from(begun)).await;
    let paced = why(&brain, "t2").await;
    let text = paced["reasons"][1]["text"].as_str().expect("text");
    assert!(text.contains("9 messages wait in the queue emails") && text.contains("at the present pace"), "{text}");
}

#[tokio::test]
async fn a_task_with_a_worker_is_told_of_it() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let eta = clock::now().plus(30 * MINUTE).to_string();
    let with =
        |kind: &str, id: &str| event_with(kind, id, json!({ "name": "mail.send", "queue": "emails", "worker": "w1" }));
    let waits = event_with("task_received", "eta", json!({ "worker": "w1", "eta": eta }));
    agent.tell(1, json!([worker(2), waits, with("task_received", "held"), with("task_started", "runs")])).await;
    assert_eq!(reasons(&why(&brain, "eta").await), [("eta", "blocks"), ("held_by_worker", "context")]);
    let held = why(&brain, "held").await;
    assert_eq!(reasons(&held), [("workers_busy", "delays"), ("held_by_worker", "context")]);
    assert!(held["reasons"][0]["text"].as_str().is_some_and(|text| text.contains("It runs mail.send since")), "{held}");
    let runs = why(&brain, "runs").await;
    assert_eq!((reasons(&runs), &runs["summary"]), (vec![("running", "context")], &json!("It is running.")));

    agent.tell(2, json!([told("worker_offline", json!({ "worker": "w1" }))])).await;
    assert_eq!(reasons(&why(&brain, "held").await), [("worker_gone", "blocks")]);
    assert_eq!(reasons(&why(&brain, "runs").await), [("worker_gone", "blocks"), ("running", "context")]);
}

#[tokio::test]
async fn a_task_that_has_ended_has_no_reasons_and_is_not_asked_about() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    agent.tell(1, life("t1")).await;
    let ended = asked(&brain, "t1").await;
    assert!(
        ended["summary"].as_str().is_some_and(|summary| summary.starts_with("It has ended: succeeded at ")),
        "{ended}"
    );
    assert_eq!((reasons(&ended), &ended["inquiry"]), (vec![], &json!(null)));
    assert!(brain.items("commands").await.is_empty());
}

#[tokio::test]
async fn the_agent_is_asked_once_for_all_who_ask_and_its_answer_counts() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    // No event told of a queue.
    agent.tell(1, json!([event("task_sent", "t1"), sample("nobody", 1, 0)])).await;
    assert_eq!(reasons(&why(&brain, "t1").await), [("queue_unknown", "context")]);
    let answering = async {
        let frame = agent.command().await;
        let expected = json!({ "engine": "celery", "task_ids": ["t1"] });
        assert_eq!((&frame["cmd"], &frame["args"]), (&json!("query_state"), &expected));
        // Who asks meanwhile waits for the same answer.
        let path = "tasks/celery/t1/why?ask=true";
        let impatient = brain.request(Method::GET, path).timeout(Duration::from_millis(500)).send().await;
        assert!(impatient.expect_err("no answer yet").is_timeout());
        let found = json!({ "t1": {
            "state": "pending", "known_by": "queue", "queue": "nobody", "workers_answered": 1, "workers_silent": ["w9"],
            "evidence": ["no result is stored", "its message waits in the queue nobody"],
        }});
        agent.answer(&frame["cmd_id"], json!({ "ok": true, "result": found })).await;
    };
    let (why, ()) = tokio::join!(asked(&brain, "t1"), answering);
    assert_eq!(reasons(&why), [("queue_unconsumed", "blocks")]);
    let inquiry = &why["inquiry"];
    assert_eq!((&inquiry["state"], &inquiry["found_in"]), (&json!("pending"), &json!("queue")));
    assert_eq!((&inquiry["workers_silent"], inquiry["evidence"].as_array().map(Vec::len)), (&json!(["w9"]), Some(2)));
    assert_eq!(brain.items("commands").await.len(), 1);
}

#[tokio::test]
async fn without_an_agent_that_answers_it_is_said_so() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    agent.tell(1, json!([sent("t1", "nobody"), sample("nobody", 1, 0)])).await;
    agent.vanish();
    until("the agent is missed", SOON, async || (brain.agent("web").await["state"] == "offline").then_some(())).await;
    let alone = asked(&brain, "t1").await;
    assert_eq!(reasons(&alone), [("queue_unconsumed", "blocks"), ("agent_offline", "context")]);
    let summary = alone["summary"].as_str().expect("text");
    assert!(
        summary.starts_with("Not known for sure, because the agent web, which would tell, is offline since "),
        "{summary}"
    );
    assert_eq!(alone["inquiry"]["state"], "unknown");
    assert!(alone["inquiry"]["evidence"][0].as_str().is_some_and(|why| why.contains("connected")), "{alone}");
}

#[tokio::test]
async fn too_many_inquiries_are_refused_and_answers_without_them_are_not() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    agent.tell(1, json!([sent("t1", "emails")])).await;
    agent.vanish();
    until("the agent is missed", SOON, async || (brain.agent("web").await["state"] == "offline").then_some(())).await;
    let ask = || brain.request(Method::GET, "tasks/celery/t1/why?ask=true").send();
    let refused = until("it is refused", SOON, async || {
        let answers = futures_util::future::join_all((0..20).map(|_| ask())).await;
        // Those that ask at the same time are one inquiry.
        answers.into_iter().map(|answer| answer.expect("an answer")).find(|answer| answer.status() == 429)
    })
    .await;
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["code"], "too_many_inquiries");
    assert_eq!(why(&brain, "t1").await["inquiry"], json!(null));
}

#[tokio::test]
async fn a_task_that_is_not_known_has_no_answer() {
    let brain = TestBrain::start().await;
    let answer = brain.request(Method::GET, "tasks/celery/nobody/why?ask=true").send().await.expect("an answer");
    assert_eq!(answer.status(), 404);
}
