//! Task events on and off: who is told to send them, who is told to stop, and what is known without.

use std::fs;

use serde_json::json;
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Place, Publisher, Rabbit, Redis, Worker, config, eventually};

const ENABLED: &str = "Events of group {task} enabled by remote";
const DISABLED: &str = "Events of group {task} disabled by remote";

fn with_events(place: &impl Place, task_events: bool) -> CeleryConfig {
    let mut config = CeleryConfig { task_events, payload_dir: Some(place.dir().join("payloads")), ..config(place) };
    if !task_events {
        // Results wait for nothing.
        config.timings.result_hold = std::time::Duration::from_millis(500);
    }
    config
}

fn log(place: &impl Place, worker: &str) -> String {
    fs::read_to_string(place.dir().join(format!("{worker}.log"))).unwrap_or_default()
}

async fn sends(agent: &Agent, worker: &str, expected: bool) {
    let said = || agent.worker(worker).filter(|seen| seen.facts.task_events == Some(expected));
    eventually(&format!("{worker} to be told to send events: {expected}"), said).await;
}

#[tokio::test]
async fn what_an_agent_turned_on_the_next_one_turns_off() {
    turned_on_and_off(&Redis::start().await, Some(3600.0)).await;
}

#[tokio::test]
async fn what_an_agent_turned_on_the_next_one_turns_off_on_rabbitmq() {
    turned_on_and_off(&Rabbit::start().await, None).await;
}

async fn turned_on_and_off(place: &impl Place, visibility_timeout_s: Option<f64>) {
    let env = [("TEST_QUEUES", "celery,own")];
    let _worker =
        Worker { args: &["--pool", "prefork", "-c", "1", "-Q", "celery"], env: &env, ..Worker::default() }.start(place);
    let _own = Worker { name: "own", args: &["-E", "--pool", "solo", "-Q", "own"], env: &env }.start(place);
    let first = Agent::with(with_events(place, true)).await;
    sends(&first, "w1@test", true).await;
    sends(&first, "own@test", true).await;
    assert_eq!(first.knows("w1@test").await.facts.visibility_timeout_s, visibility_timeout_s);
    first.stop().await;
    let second = Agent::with(with_events(place, false)).await;
    sends(&second, "w1@test", false).await;
    assert!(log(place, "w1").contains(DISABLED));

    let mut publisher = Publisher::start(place, &env);
    let heard = publisher.send(json!({"task": "floor.echo", "options": {"queue": "own"}}));
    second.saw(&heard, TaskEventKind::Started).await;
    sends(&second, "own@test", true).await;
    let told = log(place, "own");
    assert!(!told.contains(ENABLED) && !told.contains(DISABLED), "it was started with -E and keeps its events");
    second.stop().await;
}

#[tokio::test]
async fn with_events_off_nobody_is_told_to_send_them_and_what_is_not_known_is_not_made_up() {
    let redis = Redis::start().await;
    let options = [("TEST_BROKER_OPTIONS", r#"{"visibility_timeout": 4321}"#)];
    let _worker = Worker { env: &options, ..Worker::default() }.start(&redis);
    let mut config = with_events(&redis, false);
    // Nor does it tell what it holds just then.
    config.timings.inspect_every = std::time::Duration::from_secs(3_600);
    let agent = Agent::with(config).await;
    let known = agent.knows("w1@test").await;
    assert_eq!((known.facts.task_events, known.facts.visibility_timeout_s), (None, Some(4321.0)));

    let mut publisher = Publisher::start(&redis, &[]);
    let short = publisher.task("floor.echo", json!([1]));
    let done = agent.saw(&short, TaskEventKind::Succeeded).await;
    assert_eq!((done.runtime_ms, done.result.is_some()), (None, true));
    let kinds: Vec<_> = agent.task(&short).into_iter().map(|seen| seen.kind).collect();
    let ([TaskEventKind::Succeeded] | [TaskEventKind::Sent, TaskEventKind::Succeeded]) = kinds[..] else {
        panic!("nobody saw when it was received or started: {kinds:?}")
    };
    agent.stop().await;
    assert!(!log(&redis, "w1").contains(ENABLED));
}

#[tokio::test]
async fn with_events_off_the_workers_tell_of_long_tasks() {
    let redis = Redis::start().await;
    let _worker = Worker {
        args: &["--pool", "prefork", "--concurrency", "1", "--prefetch-multiplier", "2"],
        ..Worker::default()
    }
    .start(&redis);
    let mut quick = with_events(&redis, false);
    quick.timings.inspect_every = std::time::Duration::from_millis(300);
    let agent = Agent::with(quick).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let long = publisher.task("floor.slow", json!([600]));
    let next = publisher.task("floor.echo", json!([]));
    assert!(agent.saw(&long, TaskEventKind::Started).await.known_by.is_some());
    assert!(agent.saw(&next, TaskEventKind::Received).await.known_by.is_some());
    agent.stop().await;
}

#[tokio::test]
async fn a_worker_that_runs_tasks_and_answers_nobody_is_found_to_send_no_events() {
    let redis = Redis::start().await;
    let deaf = [("TEST_REMOTE_CONTROL", "0")];
    let _worker = Worker { env: &deaf, ..Worker::default() }.start(&redis);
    let agent = Agent::start(&redis).await;
    let mut publisher = Publisher::start(&redis, &[]);
    let unknown = eventually("its heartbeat", || agent.worker("w1@test")).await;
    assert_eq!(unknown.facts.task_events, None);
    let silent = || {
        publisher.task("floor.echo", json!([]));
        std::thread::sleep(std::time::Duration::from_millis(100));
        agent.worker("w1@test").filter(|seen| seen.facts.task_events == Some(false))
    };
    eventually("that no event tells of its tasks", silent).await;
    agent.stop().await;
}
