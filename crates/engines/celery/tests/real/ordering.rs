//! Orders to real workers: what they reply, and that they obey.

use serde_json::json;
use taskplane_agent::engine::{CommandError, Engine as _, WorkerAction, WorkerControlRequest, WorkerReplies};
use taskplane_model::{TaskEventKind, fleet::WorkerSign};

use crate::harness::{Agent, Place, Publisher, Rabbit, Redis, Worker, eventually};

async fn order(agent: &Agent, worker: &str, action: WorkerAction) -> Result<WorkerReplies, CommandError> {
    agent.engine.worker_control(&WorkerControlRequest { workers: vec![worker.into()], action }).await
}

/// What the worker said.
async fn said(agent: &Agent, worker: &str, action: WorkerAction) -> Result<String, String> {
    let mut told = order(agent, worker, action).await.expect("an answer");
    assert_eq!(told.silent, Vec::<String>::new());
    told.replies.remove(worker).expect("a reply")
}

fn extra() -> WorkerAction {
    WorkerAction::AddConsumer { queue: "extra".into() }
}

async fn a_prefork_worker_obeys(place: &impl Place) {
    let _worker = Worker::default().start(place);
    let _other = Worker { name: "w2", ..Worker::default() }.start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    agent.knows("w2@test").await;
    assert_eq!(said(&agent, "w1@test", WorkerAction::Ping).await, Ok("pong".to_owned()));
    let all = WorkerControlRequest { workers: vec![], action: WorkerAction::Ping };
    let all = agent.engine.worker_control(&all).await.expect("an answer");
    assert_eq!((all.replies.len(), all.silent.len()), (2, 0));

    assert_eq!(said(&agent, "w1@test", WorkerAction::PoolGrow(2)).await, Ok("pool will grow".to_owned()));
    let size = |name: &str| agent.worker(name).and_then(|w| w.facts.concurrency);
    eventually("three at once", || (size("w1@test") == Some(3)).then_some(())).await;
    assert_eq!(size("w2@test"), Some(1), "nobody else was ordered");
    assert_eq!(said(&agent, "w1@test", WorkerAction::PoolShrink(1)).await, Ok("pool will shrink".to_owned()));
    eventually("two at once", || (size("w1@test") == Some(2)).then_some(())).await;
    let empty = order(&agent, "w1@test", WorkerAction::PoolShrink(2)).await.expect_err("would run nothing");
    assert_eq!(empty.code(), "invalid_args");

    let limit = |name: &str, rate: &str| WorkerAction::RateLimit { task_name: name.into(), rate: rate.into() };
    assert!(said(&agent, "w1@test", limit("floor.echo", "10/m")).await.is_ok());
    assert_eq!(said(&agent, "w1@test", limit("no.such.task", "10/m")).await, Err("unknown task".to_owned()));

    assert!(said(&agent, "w1@test", extra()).await.is_ok());
    let queues = |name: &str| agent.worker(name).and_then(|w| w.facts.queues).unwrap_or_default();
    eventually("it consumes extra", || queues("w1@test").contains(&"extra".to_owned()).then_some(())).await;
    let mut publisher = Publisher::start(place, &[]);
    let task = publisher.send(json!({"task": "floor.echo", "options": {"queue": "extra"}}));
    assert_eq!(agent.saw(&task, TaskEventKind::Succeeded).await.worker.as_deref(), Some("w1@test"));
    assert!(said(&agent, "w1@test", WorkerAction::CancelConsumer { queue: "extra".into() }).await.is_ok());
    eventually("it does not", || (!queues("w1@test").contains(&"extra".to_owned())).then_some(())).await;

    let absent = order(&agent, "nobody@test", WorkerAction::Shutdown).await.expect("an answer");
    assert_eq!((absent.replies.len(), absent.silent), (0, vec!["nobody@test".to_owned()]));
    assert!(said(&agent, "w1@test", WorkerAction::Shutdown).await.is_ok());
    let gone = || agent.worker("w1@test").filter(|w| w.sign == WorkerSign::Offline);
    eventually("w1 is gone", gone).await;
    assert_eq!(said(&agent, "w2@test", WorkerAction::Ping).await, Ok("pong".to_owned()));
    agent.stop().await;
}

#[tokio::test]
async fn on_redis_a_prefork_worker_obeys() {
    a_prefork_worker_obeys(&Redis::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_rabbitmq_a_prefork_worker_obeys() {
    a_prefork_worker_obeys(&Rabbit::start().await).await;
}

#[tokio::test]
async fn a_thread_pool_says_itself_what_it_cannot_do() {
    let redis = Redis::start().await;
    let _worker = Worker { args: &["--pool", "threads", "--concurrency", "2"], ..Worker::default() }.start(&redis);
    let agent = Agent::start(&redis).await;
    agent.knows("w1@test").await;
    let refused = said(&agent, "w1@test", WorkerAction::PoolGrow(1)).await.expect_err("threads do not grow");
    assert!(!refused.is_empty());
    assert_eq!(said(&agent, "w1@test", WorkerAction::Ping).await, Ok("pong".to_owned()));
    assert!(said(&agent, "w1@test", extra()).await.is_ok());
    let mut publisher = Publisher::start(&redis, &[]);
    let task = publisher.task("floor.echo", json!([]));
    agent.saw(&task, TaskEventKind::Succeeded).await;
    agent.stop().await;
}

#[tokio::test]
async fn what_could_do_harm_is_refused_before_it_is_sent() {
    let redis = Redis::start().await;
    let agent = Agent::start(&redis).await;
    for action in [WorkerAction::Shutdown, WorkerAction::PoolGrow(1), WorkerAction::PoolShrink(1)] {
        let everybody = WorkerControlRequest { workers: vec![], action };
        assert_eq!(agent.engine.worker_control(&everybody).await.expect_err("unnamed").code(), "invalid_args");
    }
    let rate = WorkerAction::RateLimit { task_name: "floor.echo".into(), rate: "fast".into() };
    let queue = WorkerAction::AddConsumer { queue: "w1@test.celery.pidbox".into() };
    for action in [rate, queue] {
        assert_eq!(order(&agent, "w1@test", action).await.expect_err("nonsense").code(), "invalid_args");
    }
    agent.stop().await;
}
