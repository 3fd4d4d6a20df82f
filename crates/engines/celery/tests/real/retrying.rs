//! Retrying tasks, from each place where their arguments may still be.

use serde_json::json;
use taskplane_agent::engine::{Engine as _, KnownBy, KnownTask, RetryRequest};
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::{TaskEventKind, Timestamp};

use crate::harness::{Agent, Place as _, Publisher, Redis, Worker, config};

fn retry(id: &str) -> RetryRequest {
    RetryRequest { task_id: id.into(), ..RetryRequest::default() }
}

#[tokio::test]
async fn from_the_message_while_it_waits_with_the_rest_of_its_chain() {
    let redis = Redis::start().await;
    let mut publisher = Publisher::start(&redis, &[]);
    let agent = Agent::start(&redis).await;
    let args = json!(["C:\\new\n", 0.1, 5.854039773725365e15, {"deep": [[[[1]]]]}]);
    let head = publisher.send(json!({"task": "floor.echo", "args": args, "then": ["floor.echo"]}));
    let again = agent.engine.retry_task(&retry(&head)).await.expect("published");
    let said = again.message.expect("a message");
    assert!(said.contains("rest of its chain") && said.contains("still waits"), "{said}");
    let sent = agent.saw(&again.new_task_id, TaskEventKind::Sent).await;
    assert_eq!((sent.root_id.as_deref(), sent.args), (Some(head.as_str()), Some(args.clone())));

    let _worker = Worker::default().start(&redis);
    for id in [&head, &again.new_task_id] {
        assert_eq!(redis.result(id).await["result"]["args"], args);
    }
    let told = agent.task(&again.new_task_id).into_iter().filter(|t| t.kind == TaskEventKind::Sent).count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn from_the_extended_result() {
    let redis = Redis::start().await;
    let env = [("TEST_RESULT_EXTENDED", "1")];
    let _worker = Worker { env: &env, ..Worker::default() }.start(&redis);
    let mut publisher = Publisher::start(&redis, &env);
    let long = "hello ".repeat(500);
    let id = publisher.send(json!({"task": "floor.fail", "args": [long], "kwargs": {"k": [1]}}));
    redis.result(&id).await;
    // Comes only now: all it can know is in the result.
    let agent = Agent::start(&redis).await;
    let again = agent.engine.retry_task(&retry(&id)).await.expect("published");
    assert!(again.message.expect("a message").contains("result backend"));
    let meta = redis.result(&again.new_task_id).await;
    assert_eq!((&meta["args"], &meta["kwargs"]), (&json!([long]), &json!({"k": [1]})));
}

#[tokio::test]
async fn from_the_worker_that_holds_it() {
    let redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let agent = Agent::start(&redis).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let long = "hello ".repeat(500);
    let go_on = redis.dir().join("go on");
    let slow = publisher.task("floor.wait", json!([go_on.display().to_string(), long]));
    agent.saw(&slow, TaskEventKind::Started).await;
    // An agent that saw nothing of the task, and does not look into queues either.
    let engine = taskplane_engine_celery::CeleryEngine::new(config(&redis)).expect("a good configuration");
    let request = RetryRequest { kwargs: Some(serde_json::Map::new()), ..retry(&slow) };
    let again = engine.retry_task(&request).await.expect("published");
    assert!(again.message.expect("a message").contains("still waits or runs"));
    std::fs::write(&go_on, "").expect("written");
    assert_eq!(redis.result(&again.new_task_id).await["result"], json!([long]));
}

#[tokio::test]
async fn from_the_text_form_in_events_also_after_the_agent_was_restarted() {
    let redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let dir = tempfile::tempdir().expect("a directory");
    let stored = || {
        let mut config = config(&redis);
        config.payload_dir = Some(dir.path().join("payloads"));
        // It does not look into queues, where it would see the whole arguments.
        config.timings.sample_every = std::time::Duration::from_secs(3_600);
        config
    };
    let agent = Agent::with(stored()).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let order = json!({"task": "floor.fail", "args": [1, "it's", null, [2.5, {"a": true}]], "kwargs": {"k": "v"}});
    let plain = publisher.send(order);
    // Celery shortens this one to ('hello...',), which looks complete.
    let cut = publisher.send(json!({"task": "floor.fail", "args": [format!("hello {}", "x".repeat(2_000))]}));
    agent.saw(&plain, TaskEventKind::Failed).await;
    agent.saw(&cut, TaskEventKind::Failed).await;

    let from_memory = agent.engine.retry_task(&retry(&plain)).await.expect("published");
    let said = from_memory.message.expect("a message");
    assert!(said.contains("text form"), "{said}");
    agent.saw(&from_memory.new_task_id, TaskEventKind::Failed).await;
    agent.stop().await;

    let agent = Agent::with(stored()).await;
    let from_disk = agent.engine.retry_task(&retry(&plain)).await.expect("published");
    let received = agent.saw(&from_disk.new_task_id, TaskEventKind::Received).await;
    assert_eq!(received.args, Some(json!([1, "it's", null, [2.5, {"a": true}]])));
    assert_eq!(received.kwargs, Some(json!({"k": "v"})));

    let refused = agent.engine.retry_task(&retry(&cut)).await.expect_err("cut");
    assert_eq!(refused.code(), "no_original_payload");
    assert!(refused.to_string().contains("Supply args and kwargs"), "{refused}");
    let supplied =
        RetryRequest { args: Some(vec![json!("supplied")]), kwargs: Some(serde_json::Map::new()), ..retry(&cut) };
    let again = agent.engine.retry_task(&supplied).await.expect("published");
    let received = agent.saw(&again.new_task_id, TaskEventKind::Received).await;
    assert_eq!((received.name.as_deref(), received.args), (Some("floor.fail"), Some(json!(["supplied"]))));
}

#[tokio::test]
async fn a_task_that_a_killed_agent_has_forgotten_is_retried_with_supplied_arguments() {
    let redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let agent = Agent::start(&redis).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let id = publisher.task("floor.fail", json!([1]));
    agent.saw(&id, TaskEventKind::Failed).await;
    redis.run(&["DEL", &format!("celery-task-meta-{id}")]);
    // As after kill -9: all that the first had in memory is gone.
    drop(agent);
    let agent = Agent::start(&redis).await;
    assert_eq!(agent.engine.retry_task(&retry(&id)).await.expect_err("forgotten").code(), "not_found");
    let known = KnownTask { name: Some("floor.fail".into()), queue: Some("celery".into()), ..KnownTask::default() };
    let told = RetryRequest { known, ..retry(&id) };
    let tried = agent.engine.retry_task(&told).await.expect_err("no arguments");
    let previewed = agent.engine.preview_retry(std::slice::from_ref(&told)).await.expect("an answer").remove(0);
    assert_eq!((tried.code(), Err(tried.clone())), ("no_original_payload", previewed));
    assert!(tried.to_string().contains("restarted") && tried.to_string().contains("Supply args and kwargs"), "{tried}");
    let supplied = RetryRequest { args: Some(vec![json!("supplied")]), kwargs: Some(serde_json::Map::new()), ..told };
    let again = agent.engine.retry_task(&supplied).await.expect("published");
    assert_eq!(again.message.as_deref().map(|said| said.contains("its message was not seen")), Some(true));
    let sent = agent.saw(&again.new_task_id, TaskEventKind::Sent).await;
    assert_eq!((sent.name.as_deref(), sent.queue.as_deref()), (Some("floor.fail"), Some("celery")));
    let received = agent.saw(&again.new_task_id, TaskEventKind::Received).await;
    assert_eq!((received.args, received.root_id.as_deref()), (Some(json!(["supplied"])), Some(id.as_str())));
    agent.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let redis = Redis::start().await;
    let agent = Agent::start(&redis).await;
    let unknown = agent.engine.retry_task(&retry("never-seen")).await.expect_err("unknown");
    assert_eq!(unknown.code(), "not_found");
    let mut publisher = Publisher::start(&redis, &[]);
    let id = publisher.task("floor.echo", json!([]));
    for queue in ["no-such-queue", "w1@test.celery.pidbox"] {
        let elsewhere = RetryRequest { queue: Some(queue.into()), ..retry(&id) };
        assert_eq!(agent.engine.retry_task(&elsewhere).await.expect_err("undeclared").code(), "invalid_args");
    }
    assert_eq!(redis.run(&["LLEN", "no-such-queue"]).trim(), "0");
}

#[tokio::test]
async fn with_an_eta_and_a_priority_the_worker_takes_it_in_time() {
    let redis = Redis::start().await;
    let mut publisher = Publisher::start(&redis, &[]);
    let agent = Agent::start(&redis).await;
    let id = publisher.send(json!({"task": "floor.echo", "args": [1], "options": {"priority": 9}}));
    agent.saw(&id, TaskEventKind::Sent).await;
    let soon =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_micros() + 2_000_000;
    let eta = Timestamp(i64::try_from(soon).expect("fits"));
    let again = agent.engine.retry_task(&RetryRequest { eta: Some(eta), ..retry(&id) }).await.expect("published");
    assert_eq!(redis.run(&["LLEN", "celery\x06\x169"]).trim(), "2", "in the list of its priority");
    let _worker = Worker::default().start(&redis);
    let meta = redis.result(&again.new_task_id).await;
    let done = Timestamp::parse_rfc3339(meta["date_done"].as_str().expect("a date")).expect("a time");
    assert!(done >= eta, "{done} is before {eta}");
    assert_eq!(agent.saw(&again.new_task_id, TaskEventKind::Sent).await.eta, Some(eta));
}

#[tokio::test]
async fn an_agent_that_comes_again_has_what_failed_before_and_knows_where_to_send_it() {
    let redis = Redis::start().await;
    // With two queues its worker does not tell which one a task came from.
    let env = [("TEST_QUEUES", "celery,mail")];
    let _worker = Worker { env: &env, ..Worker::default() }.start(&redis);
    let kept = CeleryConfig { payload_dir: Some(redis.dir().join("payloads")), ..config(&redis) };
    let first = Agent::with(kept.clone()).await;
    first.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &env);
    let failed: Vec<String> = (0..2).map(|n| publisher.task("floor.fail", json!([n, "kept"]))).collect();
    for id in &failed {
        first.saw(id, TaskEventKind::Failed).await;
    }
    first.stop().await;

    // At once, before it has met the worker.
    let second = Agent::begin(kept);
    let again = second.engine.retry_task(&retry(&failed[0])).await.expect("published");
    assert_eq!(redis.result(&again.new_task_id).await["status"], "FAILURE");
    // What it reads from the backend of the time before says that the task failed, and not what it was called with.
    assert_eq!(second.saw(&failed[1], TaskEventKind::Failed).await.known_by, Some(KnownBy::ResultBackend));
    let sent_again = second.engine.retry_task(&retry(&failed[1])).await.expect("published");
    let seen = second.saw(&sent_again.new_task_id, TaskEventKind::Failed).await;
    assert_eq!(seen.exception_message.as_deref(), Some("it's broken"));
    second.stop().await;
}
