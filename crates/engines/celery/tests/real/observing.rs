//! What the engine sees on Redis alone: results, and messages that wait.

use serde_json::json;
use taskplane_agent::engine::QueueObservation;
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Publisher, Redis, Worker, config, eventually};

#[tokio::test]
async fn without_events_the_results_tell() {
    let redis = Redis::start().await;
    // A worker like this has nothing that could send events, and says so when asked to.
    let args =
        ["--pool", "prefork", "--concurrency", "1", "--without-heartbeat", "--without-gossip", "--without-mingle"];
    let _worker = Worker { args: &args, ..Worker::default() }.start(&redis);
    let mut config = config(&redis);
    // Nor is it asked what it holds while it runs them.
    config.timings.control_every = std::time::Duration::from_secs(3_600);
    let agent = Agent::without_events(config).await;
    let mut publisher = Publisher::start(&redis, &[]);
    let fail = publisher.task("floor.fail", json!([]));
    let failed = agent.saw(&fail, TaskEventKind::Failed).await;
    assert_eq!(failed.exception_message.as_deref(), Some("it's broken"));
    let flaky = publisher.task("floor.flaky", json!([1]));
    agent.saw(&flaky, TaskEventKind::Succeeded).await;
    let seen: Vec<_> = agent.task(&flaky).into_iter().filter(|t| t.kind != TaskEventKind::Sent).collect();
    let kinds: Vec<_> = seen.iter().map(|t| t.kind).collect();
    assert_eq!(kinds, [TaskEventKind::Retry, TaskEventKind::Succeeded]);
    // Numbers are known only if the message was seen as it waited; they are never guessed.
    assert!(seen[0].retries.is_none_or(|n| n == 0) && seen[1].retries.is_none_or(|n| n == 1), "{seen:?}");
    agent.stop().await;
}

#[tokio::test]
async fn results_of_another_database_are_not_ours() {
    let redis = Redis::start().await;
    let agent = Agent::start(&redis).await;
    let meta = |id: &str| json!({"status": "SUCCESS", "result": 1, "task_id": id}).to_string();
    for (db, id) in [("7", "theirs"), ("0", "ours")] {
        let key = format!("celery-task-meta-{id}");
        redis.run(&["-n", db, "SET", &key, &meta(id)]);
        redis.run(&["-n", db, "PUBLISH", &key, &meta(id)]);
    }
    agent.saw("ours", TaskEventKind::Succeeded).await;
    assert_eq!(agent.task("theirs"), []);
}

#[tokio::test]
async fn waiting_tasks_and_queues_are_seen_without_any_worker() {
    let redis = Redis::start().await;
    let mut publisher = Publisher::start(&redis, &[("TEST_QUEUES", "celery,mail")]);
    let plain =
        publisher.send(json!({"task": "floor.echo", "args": ["x".repeat(2_000)], "options": {"queue": "mail"}}));
    let urgent =
        publisher.send(json!({"task": "floor.echo", "options": {"queue": "mail", "priority": 6, "countdown": 60}}));
    let member = publisher.send(json!({"task": "floor.echo", "members": [[1], [2]]}));
    let agent = Agent::start(&redis).await;
    let sent = agent.saw(&plain, TaskEventKind::Sent).await;
    assert_eq!((sent.name.as_deref(), sent.queue.as_deref()), (Some("floor.echo"), Some("mail")));
    assert_eq!(sent.args, Some(json!(["x".repeat(2_000)])), "in full, where an event would have cut it");
    let urgent = agent.saw(&urgent, TaskEventKind::Sent).await;
    assert!(urgent.priority == Some(6) && urgent.eta.is_some());
    let member = agent.saw(&member, TaskEventKind::Sent).await;
    assert!(member.group_id.is_some() && member.chord_id.is_some());

    let mail = eventually("the queue's age", || agent.queue("mail").filter(|q| q.oldest_age_ms.is_some())).await;
    assert_eq!((mail.depth, mail.unacked), (Some(2), Some(0)));
    for _ in 0..700 {
        publisher.task("floor.echo", json!([]));
    }
    eventually("the depth", || agent.queue("celery").filter(|q| q.depth == Some(702))).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_delayed_task_is_unacked_in_its_queue() {
    let redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let agent = Agent::start(&redis).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    publisher.send(json!({"task": "floor.echo", "options": {"countdown": 300}}));
    let is_delayed = |q: &QueueObservation| (q.unacked, q.depth, q.consumers) == (Some(1), Some(0), Some(1));
    eventually("unacked", || agent.queue("celery").filter(is_delayed)).await;
}

#[tokio::test]
async fn a_running_task_is_seen_by_an_agent_that_comes_late() {
    let redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let first = Agent::start(&redis).await;
    first.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let slow = publisher.task("floor.slow", json!([600, "x".repeat(3_000)]));
    first.saw(&slow, TaskEventKind::Started).await;
    first.stop().await;
    let second = Agent::start(&redis).await;
    let started = second.saw(&slow, TaskEventKind::Started).await;
    assert_eq!((started.name.as_deref(), started.queue.as_deref()), (Some("floor.slow"), Some("celery")));
    assert_eq!(started.args, Some(json!([600, "x".repeat(3_000)])));
}
