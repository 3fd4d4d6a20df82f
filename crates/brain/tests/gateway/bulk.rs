//! Bulk jobs, with agents that do what a test says.

use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::{Agent, plain, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::{event, event_with};

/// Asks for a bulk job or a dry run; the answer must have this status.
async fn ask(brain: &TestBrain, body: Value, status: u16) -> Value {
    let answer = brain.request(Method::POST, "bulk").json(&body).send().await.expect("an answer");
    let (got, text) = (answer.status(), answer.text().await.expect("a body"));
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

fn retry(more: Value) -> Value {
    let mut body = json!({ "cmd": "retry", "filter": { "state": "failed" } });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

async fn steer(brain: &TestBrain, job: &Value, action: &str) -> (u16, Value) {
    let path = format!("bulk/{}/{action}", job["id"].as_str().expect("an id"));
    let answer = brain.request(Method::POST, &path).send().await.expect("an answer");
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"))
}

async fn job_where(brain: &TestBrain, job: &Value, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = format!("bulk/{}", job["id"].as_str().expect("an id"));
    until(what, PATIENCE, async || Some(brain.get(&path).await).filter(|job| is(job))).await
}

fn failures(ids: impl IntoIterator<Item = usize>) -> Value {
    ids.into_iter().map(|n| event_with("task_failed", &format!("t{n}"), json!({ "name": "shop.pay" }))).collect()
}

/// Answers the next command: each task was published again as itself with an `n` before it. Returns the tasks.
async fn do_next(agent: &mut Agent) -> Vec<String> {
    let frame = loop {
        let frame = agent.frame().await;
        if frame["type"] == "command" {
            break frame;
        }
    };
    assert_eq!(frame["cmd"], "bulk_retry", "{frame}");
    let ids: Vec<String> = serde_json::from_value(frame["args"]["task_ids"].clone()).expect("ids");
    let retried: Value = ids.iter().map(|id| (id.clone(), json!(format!("n{id}")))).collect();
    agent.answer(&frame["cmd_id"], json!({ "ok": true, "result": { "retried": retried, "failed": {} } })).await;
    ids
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let brain = TestBrain::start().await;
    let mut hello = rich("web", "i1");
    hello["capabilities"] = json!({ "celery": { "preview_retry": true } });
    let mut agent = Agent::open(&brain, &hello, 0).await;
    agent.tell(1, failures(0..4)).await;
    agent.tell(2, json!([event("task_succeeded", "s1"), event("task_started", "s2")])).await;
    let asked = ask(&brain, json!({ "cmd": "retry", "filter": {}, "dry_run": true }), 200);
    let answered = async {
        let frame = agent.command().await;
        assert_eq!(frame["cmd"], "preview_retry");
        let result = json!({
            "previews": {
                "t0": { "source": "message", "lossless": true },
                "t1": { "source": "events", "lossless": false },
            },
            "failed": { "t2": { "error": "no_original_payload", "message": "cut" } },
        });
        agent.answer(&frame["cmd_id"], json!({ "ok": true, "result": result })).await;
    };
    let (found, ()) = tokio::join!(asked, answered);
    assert_eq!((&found["total"], &found["retryable"], &found["truncated"]), (&json!(6), &json!(4), &json!(false)));
    assert_eq!(found["by_name"], json!([{ "value": "shop.pay", "count": 4 }]));
    let codes = |list: &Value| -> Vec<(String, u64)> {
        let one = |reason: &Value| {
            (reason["code"].as_str().expect("a code").to_owned(), reason["count"].as_u64().unwrap_or(0))
        };
        list.as_array().expect("a list").iter().map(one).collect()
    };
    assert_eq!(codes(&found["not_retryable"]), [("state_started".to_owned(), 1), ("state_succeeded".to_owned(), 1)]);
    let preview = &found["preview"];
    assert_eq!(
        (&preview["asked"], &preview["not_known"], &preview["is_sample"]),
        (&json!(3), &json!(1), &json!(false))
    );
    assert_eq!(codes(&preview["cannot"]), [("no_original_payload".to_owned(), 1)]);
    assert_eq!(preview["by_source"][0], json!({ "source": "events", "lossless": false, "count": 1 }));
    assert!(brain.items("bulk").await.is_empty());

    let with = json!({ "cmd": "retry", "filter": { "q": "id:s1" }, "include": ["succeeded"], "dry_run": true });
    let asked = ask(&brain, with, 200);
    let answered = async {
        let frame = agent.command().await;
        agent.answer(&frame["cmd_id"], json!({ "ok": false, "error": "unsupported_command" })).await;
    };
    let (found, ()) = tokio::join!(asked, answered);
    assert_eq!((&found["retryable"], &found["preview"]["not_known"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_job_retries_each_task_once_and_reports_how_they_ended() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, failures(0..150)).await;
    ask(&brain, retry(json!({ "expected_count": 149 })), 409).await;
    let job = ask(&brain, retry(json!({ "expected_count": 150, "idempotency_key": "k" })), 202).await;
    assert_eq!(
        ask(&brain, retry(json!({ "expected_count": 150, "idempotency_key": "k" })), 202).await["id"],
        job["id"]
    );
    assert_eq!((&job["state"], &job["counts"]["total"]), (&json!("running"), &json!(150)));

    let mut ids = do_next(&mut agent).await;
    ids.extend(do_next(&mut agent).await);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 150);
    let sent = job_where(&brain, &job, "all answered", |job| job["counts"]["accepted"] == 150).await;
    assert_eq!((&sent["state"], &sent["waits_for"]), (&json!("running"), &json!("ends")));
    let task = brain.task("t7").await;
    assert_eq!((&task["retried_as"], &brain.task("nt7").await["retry_of"]), (&json!("nt7"), &json!("t7")));
    // They are retried already: a second job has nothing to do.
    let second = ask(&brain, retry(json!({})), 202).await;
    assert_eq!((&second["counts"]["total"], &second["left_out"]), (&json!(0), &json!({ "already_retried": 150 })));
    job_where(&brain, &second, "nothing to do", |job| job["state"] == "finished").await;

    let end = |n: usize| if n < 100 { "task_succeeded" } else { "task_failed" };
    let ends: Value = (0..150).map(|n| event(end(n), &format!("nt{n}"))).collect();
    agent.tell(2, ends).await;
    let done = job_where(&brain, &job, "finished", |job| job["state"] == "finished").await;
    assert_eq!((&done["counts"]["succeeded"], &done["counts"]["failed"]), (&json!(100), &json!(50)));
    let items = brain.get(&format!("bulk/{}/items?state=accepted&limit=200", job["id"].as_str().expect("an id"))).await;
    assert_eq!(items["items"].as_array().map(Vec::len), Some(150));
    assert!(items["items"][0]["outcome"].is_string() && items["items"][0]["new_task_id"].is_string(), "{items}");
}

#[tokio::test]
async fn a_canary_that_fails_again_stops_the_job() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, failures(0..30)).await;
    let job = ask(&brain, retry(json!({ "canary": 3 })), 202).await;
    assert_eq!(job["stop_above_percent"], 50);
    let canary = do_next(&mut agent).await;
    assert_eq!(canary.len(), 3);
    job_where(&brain, &job, "waits for the canary", |job| job["waits_for"] == "canary").await;
    let ends: Value = canary.iter().map(|id| event("task_failed", &format!("n{id}"))).collect();
    agent.tell(2, ends).await;
    let stopped = job_where(&brain, &job, "stopped", |job| job["state"] == "stopped").await;
    assert_eq!((&stopped["counts"]["waiting"], &stopped["counts"]["failed"]), (&json!(27), &json!(3)));
    assert!(stopped["reason"].as_str().is_some_and(|why| why.contains("3 of the 3")), "{stopped}");
    assert_eq!(steer(&brain, &job, "resume").await.0, 409);
}

#[tokio::test]
async fn a_job_is_paused_resumed_and_cancelled_and_the_audit_says_by_whom() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, failures(0..10)).await;
    let job = ask(&brain, retry(json!({ "rate_per_minute": 60 })), 202).await;
    assert_eq!(do_next(&mut agent).await.len(), 1, "a task a second");
    let (status, paused) = steer(&brain, &job, "pause").await;
    assert_eq!((status, &paused["state"]), (200, &json!("paused")));
    let before = job_where(&brain, &job, "all answered", |job| job["counts"]["claimed"] == 0).await;
    assert_eq!(steer(&brain, &job, "pause").await.0, 200);
    assert_eq!(steer(&brain, &job, "resume").await.1["state"], "running");
    do_next(&mut agent).await;
    let (status, _) = steer(&brain, &job, "cancel").await;
    assert_eq!(status, 200);
    let end = job_where(&brain, &job, "cancelled", |job| job["state"] == "cancelled").await;
    let sent = |job: &Value| job["counts"]["accepted"].as_u64().expect("a number");
    assert!(sent(&end) > sent(&before) && sent(&end) < 10, "{end}");
    let audit = brain.items("audit").await;
    let actions: Vec<_> = audit.iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in ["create_bulk_job", "pause_bulk_job", "resume_bulk_job", "cancel_bulk_job"] {
        assert_eq!(actions.iter().filter(|known| **known == action).count(), 1, "{action} in {actions:?}");
    }
}

#[tokio::test]
async fn tasks_wait_for_their_agent_and_those_it_did_not_answer_for_are_never_sent_again() {
    let brain = TestBrain::start().await;
    let hello = rich("web", "i1");
    let mut agent = Agent::open(&brain, &hello, 0).await;
    agent.tell(1, failures(0..150)).await;
    agent.vanish();
    until("the agent offline", PATIENCE, async || (brain.agent("web").await["state"] == "offline").then_some(())).await;
    let job = ask(&brain, retry(json!({})), 202).await;
    let waiting = job_where(&brain, &job, "waits", |job| job["waits_for"] == "agents").await;
    assert_eq!(waiting["absent_agents"], json!(["web"]));

    let mut agent = Agent::open(&brain, &hello, 1).await;
    let mut sent: Vec<String> = Vec::new();
    for _ in 0..2 {
        let frame = agent.command().await;
        sent.extend(serde_json::from_value::<Vec<String>>(frame["args"]["task_ids"].clone()).expect("ids"));
    }
    // It may have done any of it.
    agent.vanish();
    let done = job_where(&brain, &job, "finished", |job| job["state"] == "finished").await;
    assert_eq!((sent.len(), &done["counts"]["unknown"], &done["counts"]["waiting"]), (150, &json!(150), &json!(0)));
    let again = ask(&brain, retry(json!({})), 202).await;
    assert_eq!(again["left_out"], json!({ "in_another_job": 150 }));
}

#[tokio::test]
async fn a_job_survives_a_restart_of_the_brain() {
    let brain = TestBrain::start().await;
    let hello = rich("web", "i1");
    let mut agent = Agent::open(&brain, &hello, 0).await;
    agent.tell(1, failures(0..120)).await;
    let job = ask(&brain, retry(json!({})), 202).await;
    let first = do_next(&mut agent).await;
    job_where(&brain, &job, "the first are answered", |job| job["counts"]["accepted"] == 100).await;
    let unanswered = agent.command().await["args"]["task_ids"].as_array().map(Vec::len);
    assert_eq!((first.len(), unanswered), (100, Some(20)));
    let brain = brain.restart().await;
    let mut agent = Agent::open(&brain, &hello, 1).await;
    let ends: Value = first.iter().map(|id| event("task_succeeded", &format!("n{id}"))).collect();
    agent.tell(2, ends).await;
    let done = job_where(&brain, &job, "finished", |job| job["state"] == "finished").await;
    let counts = &done["counts"];
    assert_eq!((&counts["succeeded"], &counts["unknown"], &counts["waiting"]), (&json!(100), &json!(20), &json!(0)));
}

#[tokio::test]
async fn an_agent_that_cannot_reach_its_broker_pauses_the_job() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, failures(0..300)).await;
    let job = ask(&brain, retry(json!({ "rate_per_minute": 600 })), 202).await;
    let frame = agent.command().await;
    let refusal = json!({ "ok": false, "error": "engine_error", "message": "Redis is away" });
    agent.answer(&frame["cmd_id"], refusal).await;
    let paused = job_where(&brain, &job, "paused", |job| job["state"] == "paused").await;
    assert!(paused["reason"].as_str().is_some_and(|why| why.contains("Redis is away")), "{paused}");
    assert!(paused["counts"]["waiting"].as_u64().is_some_and(|waiting| waiting >= 280), "{paused}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let brain = TestBrain::start().await;
    for (body, status) in [
        (json!({ "cmd": "drop", "filter": {} }), 400),
        (json!({ "cmd": "retry" }), 422),
        (json!({ "cmd": "retry", "filter": { "states": "failed" } }), 422),
        (json!({ "cmd": "retry", "filter": { "state": "sad" } }), 400),
        (retry(json!({ "canary": 1_001 })), 422),
        (retry(json!({ "rate_per_minute": 0 })), 422),
        (retry(json!({ "stop_above_percent": 101 })), 422),
        (retry(json!({ "include": ["sad"] })), 422),
    ] {
        ask(&brain, body, status).await;
    }
    let nobody = json!({ "id": "00000000-0000-7000-8000-000000000000" });
    assert_eq!(steer(&brain, &nobody, "pause").await.0, 404);
}

#[tokio::test]
async fn a_selection_is_a_job_of_exactly_these_tasks() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, failures(0..5)).await;
    let picked = |filter: Value| json!({ "cmd": "retry", "filter": filter });
    let job = ask(&brain, picked(json!({ "ids": ["t1", "t3", "elsewhere"] })), 202).await;
    assert_eq!((&job["counts"]["total"], &job["filter"]), (&json!(2), &json!({ "picked": 3 })));
    let mut ids = do_next(&mut agent).await;
    ids.sort_unstable();
    assert_eq!(ids, ["t1", "t3"]);
    job_where(&brain, &job, "both answered", |job| job["counts"]["accepted"] == 2).await;
    let too_many: Vec<String> = (0..1_001).map(|n| format!("t{n}")).collect();
    for refused in [
        json!({ "ids": [] }),
        json!({ "ids": too_many }),
        json!({ "ids": [""] }),
        json!({ "ids": ["t1"], "q": "id:t2" }),
    ] {
        ask(&brain, picked(refused), 422).await;
    }
}
