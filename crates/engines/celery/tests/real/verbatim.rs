//! Messages that only the application can read: sent again as they were, once a worker has received them.

use serde_json::{Value, json};
use taskplane_agent::engine::{ArgumentSource, CommandError, Engine as _, RetryRequest};
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Place, Publisher, Rabbit, Redis, Worker, config, eventually};

const ENV: [(&str, &str); 1] = [("TEST_ACCEPT", "json,pickle")];

/// One that tells from its first moment on what it receives.
fn worker() -> Worker<'static> {
    Worker { env: &ENV, args: &["--pool", "prefork", "--concurrency", "1", "-E"], ..Worker::default() }
}

fn retry(id: &str) -> RetryRequest {
    RetryRequest { task_id: id.into(), ..RetryRequest::default() }
}

/// A task that fails until there is a file called `paid`, with another behind it.
fn order(place: &impl Place, options: &Value) -> Value {
    let path = place.dir().join("paid").display().to_string();
    json!({"task": "floor.until", "args": [path, 7], "then": ["floor.echo"], "options": options})
}

fn pay(place: &impl Place) {
    std::fs::write(place.dir().join("paid"), "").expect("written");
}

/// The end of the task that follows in the chain.
async fn has_gone_on(agent: &Agent, id: &str) {
    let told = agent.saw(id, TaskEventKind::Succeeded).await;
    assert_eq!(told.result, Some(json!(["there", 7])));
    eventually("the rest of the chain", || {
        agent
            .tasks()
            .into_iter()
            .find(|seen| seen.kind == TaskEventKind::Succeeded && seen.name.as_deref() == Some("floor.echo"))
    })
    .await;
}

#[tokio::test]
async fn a_pickle_is_sent_again_as_it_was_once_a_worker_has_received_it() {
    for options in [
        json!({"serializer": "pickle"}),
        json!({"serializer": "pickle", "compression": "zlib"}),
        json!({"compression": "bzip2"}),
    ] {
        let redis = Redis::start().await;
        let agent = Agent::start(&redis).await;
        let mut publisher = Publisher::start(&redis, &ENV);
        let id = publisher.send(order(&redis, &options));
        let seen = agent.saw(&id, TaskEventKind::Sent).await;
        assert_eq!(seen.args, None, "it cannot be read");
        let early = agent.engine.retry_task(&retry(&id)).await.expect_err("nobody has read it");
        assert!(matches!(early, CommandError::NoOriginalPayload(_)), "{early}");

        let _worker = worker().start(&redis);
        agent.saw(&id, TaskEventKind::Failed).await;
        let previews = agent.engine.preview_retry(&[retry(&id)]).await.expect("an answer");
        let preview = previews[0].as_ref().expect("can be retried");
        assert_eq!((&preview.arguments, preview.lossless, preview.source), (&None, true, ArgumentSource::PayloadStore));
        assert!(
            preview.notes[0].contains("as it was") && preview.notes[0].contains("not readable here"),
            "{preview:?}"
        );
        pay(&redis);
        let again = agent.engine.retry_task(&retry(&id)).await.expect("published").new_task_id;
        has_gone_on(&agent, &again).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn what_zlib_compressed_json_holds_is_read() {
    let redis = Redis::start().await;
    let agent = Agent::start(&redis).await;
    let id = Publisher::start(&redis, &ENV).send(order(&redis, &json!({"compression": "zlib"})));
    agent.saw(&id, TaskEventKind::Sent).await;
    let _worker = worker().start(&redis);
    agent.saw(&id, TaskEventKind::Failed).await;
    let previews = agent.engine.preview_retry(&[retry(&id)]).await.expect("an answer");
    let preview = previews[0].as_ref().expect("can be retried");
    assert_eq!((preview.arguments.as_ref().map(|(args, _)| args.len()), preview.lossless), (Some(2), true));
    pay(&redis);
    let again = agent.engine.retry_task(&retry(&id)).await.expect("published").new_task_id;
    has_gone_on(&agent, &again).await;
}

/// The message of a task as the application's worker would hand it over: what publishing it elsewhere writes.
async fn envelope(id: &str, options: Value) -> String {
    let redis = Redis::start().await;
    let mut order = order(&redis, &options);
    order["options"]["task_id"] = json!(id);
    assert_eq!(Publisher::start(&redis, &ENV).send(order), id);
    redis.run(&["LINDEX", "celery", "-1"]).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_rabbitmq_too() {
    let rabbit = Rabbit::start().await;
    let _worker = worker().start(&rabbit);
    let agent = Agent::start(&rabbit).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&rabbit, &ENV);
    for options in [json!({"serializer": "pickle"}), json!({"serializer": "pickle", "compression": "zlib"})] {
        let id = publisher.send(json!({"task": "floor.fail", "options": options}));
        agent.saw(&id, TaskEventKind::Failed).await;
        let mut raw: Value = serde_json::from_str(&envelope(&id, options).await).expect("JSON");
        raw["headers"]["task"] = json!("floor.echo");
        let received = json!({"event_type": "task_received", "engine": "celery", "task_id": id, "retries": 0, "worker": "w1@test"});
        agent.engine.told(Some(raw.to_string().into_bytes()), &received.to_string());
        let again = agent.engine.retry_task(&retry(&id)).await.expect("published").new_task_id;
        let done = agent.saw(&again, TaskEventKind::Succeeded).await;
        assert_eq!(done.result.as_ref().map(|result| &result["args"][1]), Some(&json!(7)));
    }
}

#[tokio::test]
async fn who_changes_an_argument_leaves_the_rest_behind_and_is_told_so() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().expect("a directory");
    let kept = CeleryConfig { payload_dir: Some(folder.path().to_owned()), ..config(&redis) };
    let agent = Agent::with(kept.clone()).await;
    let member = json!({"serializer": "pickle", "argsrepr": "***", "headers": {"x-mine": 1}, "group_id": "g"});
    let id = Publisher::start(&redis, &ENV).send(order(&redis, &member));
    agent.saw(&id, TaskEventKind::Sent).await;
    let worker = worker().start(&redis);
    agent.saw(&id, TaskEventKind::Failed).await;
    agent.stop().await;
    drop(worker);

    // Another process, which has been told nothing.
    let agent = Agent::with(kept).await;
    let half = RetryRequest { kwargs: Some(serde_json::Map::new()), ..retry(&id) };
    let both = RetryRequest { args: Some(vec![json!("other")]), ..half.clone() };
    let preview = async |request| agent.engine.preview_retry(&[request]).await.expect("an answer").remove(0);
    let as_it_was = preview(retry(&id)).await.expect("can be retried");
    let changed = preview(both).await.expect("can be retried");
    let refused = preview(half).await.expect_err("the rest cannot be read");
    assert!(matches!(&refused, CommandError::NoOriginalPayload(why) if why.contains("(pickle)")), "{refused}");
    assert!(as_it_was.notes.iter().any(|note| note.contains("outside its group")), "{as_it_was:?}");
    assert!(!changed.lossless && changed.notes.iter().any(|note| note.contains("left behind")), "{changed:?}");
    let new = agent.engine.retry_task(&retry(&id)).await.expect("published").new_task_id;
    let raw: Value = serde_json::from_str(&redis.run(&["LINDEX", "celery", "0"])).expect("JSON");
    assert_eq!((&raw["headers"]["id"], &raw["headers"]["group"]), (&json!(new), &Value::Null));
    assert_eq!((&raw["headers"]["x-mine"], &raw["content-encoding"]), (&json!(1), &json!("binary")));
}
