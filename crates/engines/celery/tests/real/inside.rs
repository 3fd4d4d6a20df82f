//! An engine within the application: hooks tell it of the tasks, it watches the queues, and every command works all the same.

use serde_json::{Value, json};
use taskplane_agent::engine::{
    CancelRequest, Engine as _, EnqueueRequest, FoundState, RetryRequest, WorkerAction, WorkerControlRequest,
};
use taskplane_engine_celery::{CeleryConfig, CeleryEngine, Watch};
use taskplane_model::{TaskEventKind, Timestamp};

use crate::harness::{Agent, Place, Publisher, Rabbit, Redis, Worker, config, eventually, eventually_asked, shown};

fn inside(place: &impl Place) -> CeleryConfig {
    let CeleryConfig { timings, result_backend_url, .. } = config(place);
    CeleryConfig { timings, result_backend_url, ..CeleryConfig::inside(place.observed_broker()) }
}

/// What a hook in the worker would tell.
fn tell(engine: &CeleryEngine, kind: &str, id: &str) {
    tell_with(engine, None, kind, id);
}

fn tell_with(engine: &CeleryEngine, original: Option<&str>, kind: &str, id: &str) {
    let at = Timestamp(Timestamp::parse_rfc3339("2026-11-22T00:00:00Z").expect("a time").0);
    let event = json!({"event_type": kind, "ts": at.to_string(), "engine": "celery", "task_id": id, "retries": 0,
        "worker": "w1@test"});
    engine.told(original.map(|original| original.as_bytes().to_vec()), &event.to_string());
}

/// The message that waits in the queue, as a worker will receive it.
fn waiting(redis: &Redis) -> String {
    redis.run(&["LINDEX", "celery", "-1"]).trim().to_owned()
}

fn retry(id: &str) -> RetryRequest {
    RetryRequest { task_id: id.into(), ..RetryRequest::default() }
}

#[tokio::test]
async fn a_failed_task_is_retried_from_the_message_that_its_worker_received() {
    let redis = Redis::start().await;
    let mut publisher = Publisher::start(&redis, &[]);
    let long = json!(["C:\\new\n", 0.1, "hello ".repeat(5_000)]);
    let head = publisher.send(json!({"task": "floor.fail", "args": long, "then": ["floor.echo"],
        "options": {"headers": {"x-mine": 1}}}));
    let original = waiting(&redis);
    let _worker = Worker::default().start(&redis);
    redis.result(&head).await;

    let folder = tempfile::tempdir().expect("a directory");
    let kept = CeleryConfig { payload_dir: Some(folder.path().to_owned()), ..inside(&redis) };
    let agent = Agent::with(kept.clone()).await;
    tell_with(&agent.engine, Some(&original), "task_received", &head);
    tell(&agent.engine, "task_failed", &head);
    agent.stop().await;

    // Another process, which has been told nothing.
    let agent = Agent::with(kept).await;
    let [preview] = &agent.engine.preview_retry(&[retry(&head)]).await.expect("an answer")[..] else {
        panic!("one answer")
    };
    let preview = preview.as_ref().expect("can be retried");
    assert_eq!((preview.lossless, &json!(shown(preview).0)), (true, &long));
    let again = agent.engine.retry_task(&retry(&head)).await.expect("published");
    let said = again.message.expect("a message");
    assert!(said.contains("original arguments") && said.contains("rest of its chain"), "{said}");
    assert_eq!(redis.result(&again.new_task_id).await["status"], "FAILURE");
    assert_eq!(agent.engine.capabilities()["originals"], "captured");
}

#[tokio::test]
async fn it_watches_the_queues_and_asks_nobody() {
    let redis = Redis::start().await;
    let agent = Agent::with(inside(&redis)).await;
    let _worker = Worker::default().start(&redis);
    let mut publisher = Publisher::start(&redis, &[]);
    let done = publisher.task("floor.echo", json!([1]));
    redis.result(&done).await;
    publisher.send(json!({"task": "floor.echo", "options": {"queue": "nobody"}}));
    eventually("the queue is told", || agent.queue("nobody").filter(|queue| queue.depth == Some(1))).await;
    let told: Vec<_> = agent.task(&done).into_iter().filter(|seen| seen.kind != TaskEventKind::Sent).collect();
    assert_eq!((told, agent.worker("w1@test")), (Vec::new(), None));
    // It could only know those of its own host.
    assert!(agent.queues("nobody").iter().all(|queue| queue.consumers.is_none()));
    let asked = redis.run(&["EXISTS", "_kombu.binding.reply.celery.pidbox"]);
    assert_eq!(asked.trim(), "0", "workers were asked");
    agent.stop().await;
}

#[tokio::test]
async fn commands_find_out_what_they_need() {
    let redis = Redis::start().await;
    let agent = Agent::with(inside(&redis)).await;
    let _worker = Worker { args: &["--pool", "prefork", "--concurrency", "2"], ..Worker::default() }.start(&redis);
    let mut publisher = Publisher::start(&redis, &[]);
    let slow = publisher.task("floor.slow", json!([600]));
    let gone = publisher.task("floor.echo", json!([2]));
    redis.result(&gone).await;
    let state = async || {
        let mut found = agent.engine.query_state(&[slow.clone(), gone.clone()]).await.expect("an answer");
        [&slow, &gone].map(|id| found.tasks.remove(id).expect("each that was asked for").state)
    };
    let both = [FoundState::Started, FoundState::Succeeded];
    eventually_asked("one runs, and one has ended", async || (state().await == both).then_some(())).await;
    // What commands find out that no hook told is told.
    agent.saw(&slow, TaskEventKind::Started).await;
    agent.saw(&gone, TaskEventKind::Succeeded).await;

    let new = EnqueueRequest { name: "floor.echo".into(), args: vec![json!(3)], ..EnqueueRequest::default() };
    let new = agent.engine.enqueue_task(&new).await.expect("published").new_task_id;
    assert_eq!(redis.result(&new).await["result"]["args"], json!([3]));

    agent.engine.told(None, &online().to_string());
    let grow = WorkerControlRequest { workers: vec!["w1@test".into()], action: WorkerAction::PoolGrow(1) };
    assert_eq!(agent.engine.worker_control(&grow).await.expect("an answer").replies.len(), 1);
    eventually("it is asked what it is now", || {
        agent.worker("w1@test").filter(|worker| worker.facts.concurrency == Some(3))
    })
    .await;

    let cancel = CancelRequest { task_id: slow.clone(), terminate: true, signal: None };
    let said = agent.engine.cancel_task(&cancel).await.expect("cancelled").message.expect("a message");
    assert!(said.contains("terminated on w1@test"), "{said}");
    assert_eq!(redis.result(&slow).await["status"], "REVOKED");
    assert_eq!(agent.engine.purge_queue("celery").await.expect("purged"), 0);
}

fn online() -> Value {
    json!({"event_type": "worker_online", "worker": "w1@test", "pool": "prefork", "concurrency": 2, "queues": ["celery"]})
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_not_taken_for_gone() {
    let redis = Redis::start().await;
    let mut worker = Worker::default().start(&redis);
    let mut config = inside(&redis);
    // It has to be asked about before the worker is gone, however slow that is.
    config.timings.worker_silence = std::time::Duration::from_secs(20);
    let agent = Agent::with(config).await;
    let mut publisher = Publisher::start(&redis, &[]);
    let slow = publisher.task("floor.slow", json!([600]));
    eventually("it began", || (redis.run(&["LLEN", "celery"]).trim() == "0").then_some(())).await;
    let other = Worker { name: "w2", ..Worker::default() }.start(&redis);
    eventually("the other listens", || {
        redis.run(&["SMEMBERS", "_kombu.binding.celery.pidbox"]).contains("w2@test").then_some(())
    })
    .await;
    // From now on it may be silent for a while before it is gone: nothing slow comes in between.
    tell(&agent.engine, "task_started", &slow);
    worker.kill();
    let ask = async || agent.engine.query_state(std::slice::from_ref(&slow)).await.expect("an answer");
    assert_eq!(ask().await.workers_silent, ["w1@test"]);
    // Nothing is told of it, nor heard of it, for so long that it is gone.
    let mut found = eventually_asked("the end of the silence", async || {
        Some(ask().await).filter(|found| found.workers_silent.is_empty())
    })
    .await;
    let evidence = found.tasks.remove(&slow).expect("that was asked for").evidence.join("; ");
    assert!(evidence.contains("w1@test, which had it, is gone"), "{evidence}");
    assert_eq!(agent.worker("w1@test"), None, "that is for its own hooks to tell");
    drop(other);
}

#[tokio::test]
async fn a_worker_of_another_host_that_listens_and_does_not_answer_counts_as_silent() {
    let redis = Redis::start().await;
    let mut config = inside(&redis);
    // Of somebody who never answers, all of it is waited for.
    config.timings.control_wait = std::time::Duration::from_secs(5);
    let agent = Agent::with(config).await;
    let _worker = Worker::default().start(&redis);
    let ask = async || agent.engine.query_state(&["never-seen".to_owned()]).await.expect("an answer");
    let all_answer = async || Some(ask().await).filter(|found| found.workers_answered == 1);
    let found = eventually_asked("the worker's answer", all_answer).await;
    assert_eq!(found.workers_silent, Vec::<String>::new());
    let mut listens = std::process::Command::new("redis-cli");
    listens.args(["-p", &redis.port.to_string(), "SUBSCRIBE", "/0.celery.pidbox"]).stdout(std::process::Stdio::null());
    let mut listener = listens.spawn().expect("redis-cli runs");
    // The worker answers, and the listener does not.
    eventually_asked("one who is missed", async || {
        let found = ask().await;
        let evidence = found.tasks["never-seen"].evidence.join("; ");
        (found.workers_answered == 1 && evidence.contains("of another host (1) does not answer")).then_some(())
    })
    .await;
    listener.kill().expect("is ours");
    listener.wait().expect("is ours");
}

#[tokio::test]
async fn on_rabbitmq_every_worker_is_heard() {
    let rabbit = Rabbit::start().await;
    let config = inside(&rabbit);
    assert_eq!(config.watch, Watch::Queues);
    let agent = Agent::with(config).await;
    let workers = ["w1", "w2"].map(|name| Worker { name, ..Worker::default() }.start(&rabbit));
    agent.engine.told(None, &online().to_string());
    let ping = WorkerControlRequest { workers: Vec::new(), action: WorkerAction::Ping };
    eventually_asked("both of them", async || {
        let said = agent.engine.worker_control(&ping).await.expect("an answer");
        (said.replies.len() == 2).then_some(())
    })
    .await;
    drop(workers);
}
