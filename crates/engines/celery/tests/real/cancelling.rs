//! Cancelling tasks and purging queues.

use serde_json::json;
use taskplane_agent::engine::{CancelRequest, CommandError, Engine as _};
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Place as _, Publisher, Redis, Worker, eventually};

fn cancel(id: &str, terminate: bool) -> CancelRequest {
    CancelRequest { task_id: id.into(), terminate, signal: terminate.then(|| "SIGKILL".into()) }
}

#[tokio::test]
async fn a_task_in_a_thread_runs_on_and_the_answer_says_so() {
    let redis = Redis::start().await;
    let _worker = Worker { args: &["--pool", "threads", "--concurrency", "1"], ..Worker::default() }.start(&redis);
    let agent = Agent::start(&redis).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let go_on = redis.dir().join("go on");
    let slow = publisher.task("floor.wait", json!([go_on.display().to_string()]));
    agent.saw(&slow, TaskEventKind::Started).await;
    let error = agent.engine.cancel_task(&cancel(&slow, true)).await.expect_err("cannot be killed");
    assert!(matches!(&error, CommandError::Engine(why) if why.contains("runs on")), "{error}");
    std::fs::write(&go_on, "").expect("written");
    let done = redis.result(&slow).await;
    assert_eq!(done["status"], "SUCCESS");
}

#[tokio::test]
async fn without_workers_or_with_a_bad_signal_nothing_is_cancelled() {
    let redis = Redis::start().await;
    let agent = Agent::start(&redis).await;
    let error = agent.engine.cancel_task(&cancel("some-id", false)).await.expect_err("no such task");
    assert_eq!(error.code(), "not_found");
    let mut publisher = Publisher::start(&redis, &[]);
    let waiting = publisher.task("floor.slow", json!([3]));
    let error = agent.engine.cancel_task(&cancel(&waiting, false)).await.expect_err("nobody there");
    assert!(matches!(&error, CommandError::Engine(why) if why.contains("no worker is running")), "{error}");
    let bad = CancelRequest { signal: Some("SIGSTOP".into()), ..cancel("some-id", true) };
    let error = agent.engine.cancel_task(&bad).await.expect_err("no such signal");
    assert_eq!(error.code(), "invalid_args");
    let keys = redis.run(&["KEYS", "*reply*"]);
    assert_eq!(keys.trim(), "", "nothing is left behind");
}

#[tokio::test]
async fn purging_counts_every_priority() {
    let redis = Redis::start().await;
    let agent = Agent::start(&redis).await;
    let mut publisher = Publisher::start(&redis, &[]);
    for priority in [0, 0, 4, 9] {
        publisher.send(json!({"task": "floor.echo", "options": {"priority": priority}}));
    }
    assert_eq!(agent.engine.purge_queue("celery").await, Ok(4));
    assert_eq!(agent.engine.purge_queue("celery").await, Ok(0), "empty, but there");
    eventually("the empty queue", || agent.queue("celery").filter(|q| q.depth == Some(0))).await;
    let error = agent.engine.purge_queue("nowhere").await.expect_err("unknown");
    assert_eq!(error.code(), "not_found");
    // Lists and hashes that are no queues keep what they hold.
    redis.run(&["RPUSH", "applist", "1", "2"]);
    redis.run(&["HSET", "unacked", "tag", "message"]);
    assert_eq!(agent.engine.purge_queue("applist").await.expect_err("no queue").code(), "not_found");
    assert_eq!(agent.engine.purge_queue("unacked").await.expect_err("no queue").code(), "invalid_args");
    assert_eq!((redis.run(&["LLEN", "applist"]).trim(), redis.run(&["HLEN", "unacked"]).trim()), ("2", "1"));
    assert_eq!(agent.engine.purge_queue("w1@test.celery.pidbox").await.expect_err("not ours").code(), "invalid_args");
}
