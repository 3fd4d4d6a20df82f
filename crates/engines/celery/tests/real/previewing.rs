//! What a preview says, and what the retry then sends.

use serde_json::json;
use taskplane_agent::engine::{ArgumentSource, Engine as _, FoundState, RetryPreview, RetryRequest};
use taskplane_engine_celery::CeleryEngine;
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Publisher, Redis, Worker, config, eventually, eventually_asked, shown};

fn retry(id: &str) -> RetryRequest {
    RetryRequest { task_id: id.into(), ..RetryRequest::default() }
}

async fn preview(engine: &CeleryEngine, request: RetryRequest) -> RetryPreview {
    let mut previews = engine.preview_retry(&[request]).await.expect("an answer");
    previews.pop().expect("one").expect("a preview")
}

/// The retry sends what its preview said: name, queue and arguments.
async fn is_what_is_sent(agent: &Agent, request: RetryRequest, said: &RetryPreview) {
    let again = agent.engine.retry_task(&request).await.expect("published");
    assert_eq!(again.message, Some(said.notes.join("; ")));
    let sent = agent.saw(&again.new_task_id, TaskEventKind::Sent).await;
    assert_eq!((sent.name.as_deref(), sent.queue.as_deref()), (Some(said.name.as_str()), Some(said.queue.as_str())));
    assert_eq!((sent.args, sent.kwargs), (Some(json!(shown(said).0)), Some(json!(shown(said).1))));
}

#[tokio::test]
async fn of_a_waiting_task_all_is_known_and_nothing_is_sent() {
    let redis = Redis::start().await;
    let mut publisher = Publisher::start(&redis, &[]);
    let agent = Agent::start(&redis).await;
    let order = json!({"task": "floor.echo", "args": [1, {"deep": [null]}], "kwargs": {"k": 2}, "then": ["floor.echo"],
        "options": {"expires": 3600}});
    let id = publisher.send(order);
    agent.saw(&id, TaskEventKind::Sent).await;
    let said = preview(&agent.engine, retry(&id)).await;
    assert_eq!((said.source, said.lossless, said.queue.as_str()), (ArgumentSource::Message, true, "celery"));
    assert_eq!((shown(&said).0, &shown(&said).1["k"]), (&vec![json!(1), json!({"deep": [null]})], &json!(2)));
    let notes = said.notes.join("; ");
    assert!(notes.contains("rest of its chain") && notes.contains("does not expire"), "{notes}");
    assert_eq!(redis.run(&["LLEN", "celery"]).trim(), "1", "nothing was sent");
    is_what_is_sent(&agent, retry(&id), &said).await;

    let edited = RetryRequest { args: Some(vec![json!("new")]), ..retry(&id) };
    let said = preview(&agent.engine, edited.clone()).await;
    assert_eq!((said.source, said.lossless, shown(&said).0), (ArgumentSource::Message, false, &vec![json!("new")]));
    is_what_is_sent(&agent, edited, &said).await;
    agent.stop().await;
}

#[tokio::test]
async fn what_the_agent_kept_of_a_failed_task_is_still_the_whole_message() {
    let redis = Redis::start().await;
    let mut publisher = Publisher::start(&redis, &[]);
    let agent = Agent::start(&redis).await;
    let long = "hello ".repeat(500);
    let order =
        json!({"task": "floor.fail", "args": [long], "options": {"time_limit": 60, "headers": {"tenant": "t7"}}});
    let id = publisher.send(order);
    agent.saw(&id, TaskEventKind::Sent).await;
    let mut worker = Worker::default().start(&redis);
    agent.saw(&id, TaskEventKind::Failed).await;
    worker.kill();
    let said = preview(&agent.engine, retry(&id)).await;
    assert_eq!((said.source, said.lossless), (ArgumentSource::PayloadStore, true));
    assert_eq!(shown(&said).0, &[json!(long)]);
    is_what_is_sent(&agent, retry(&id), &said).await;
    let raw = redis.run(&["LINDEX", "celery", "0"]);
    let envelope: serde_json::Value = serde_json::from_str(raw.trim()).expect("a message");
    assert_eq!(envelope["headers"]["timelimit"], json!([60, null]));
    assert_eq!(envelope["headers"]["tenant"], "t7");
    agent.stop().await;
}

#[tokio::test]
async fn of_many_each_has_its_own_answer_and_none_is_sent() {
    let redis = Redis::start().await;
    let env = [("TEST_RESULT_EXTENDED", "1")];
    let _worker = Worker { env: &env, ..Worker::default() }.start(&redis);
    let mut publisher = Publisher::start(&redis, &env);
    let failed = publisher.send(json!({"task": "floor.fail", "args": [1], "kwargs": {"k": [1]}}));
    redis.result(&failed).await;
    let slow = publisher.task("floor.slow", json!([600, "held"]));
    // Its message is gone before anybody looks: the worker has begun the task, and acknowledged it then.
    let engine = CeleryEngine::new(config(&redis)).expect("a good configuration");
    eventually_asked("it began", async || {
        let found = engine.query_state(std::slice::from_ref(&slow)).await.expect("an answer");
        (found.tasks[&slow].state == FoundState::Started).then_some(())
    })
    .await;
    eventually("it is acknowledged", || (redis.run(&["HLEN", "unacked"]).trim() == "0").then_some(())).await;
    let agent = Agent::start(&redis).await;
    agent.saw(&slow, TaskEventKind::Started).await;
    let mut requests = vec![retry(&failed), retry(&slow), retry("never-seen")];
    requests.extend((0..97).map(|n| retry(&format!("unknown-{n}"))));
    requests.push(RetryRequest { queue: Some("nowhere".into()), ..retry(&failed) });
    let previews = agent.engine.preview_retry(&requests).await.expect("answers");
    assert_eq!(previews.len(), requests.len());
    let first = previews[0].as_ref().expect("a preview");
    assert_eq!((first.source, first.lossless, shown(first).0), (ArgumentSource::Result, false, &vec![json!(1)]));
    let second = previews[1].as_ref().expect("a preview");
    assert_eq!((second.source, shown(second).0), (ArgumentSource::Worker, &vec![json!(600), json!("held")]));
    assert_eq!(previews[2].as_ref().expect_err("unknown").code(), "not_found");
    assert!(previews[3..].iter().all(Result::is_err));
    assert_eq!(redis.run(&["LLEN", "celery"]).trim(), "0", "nothing was sent");
    agent.stop().await;
}
