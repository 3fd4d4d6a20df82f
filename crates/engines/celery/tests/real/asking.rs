//! How tasks stand, asked of the engine itself; and what is there before the agent comes.

use serde_json::json;
use taskplane_agent::engine::{Engine as _, FoundIn, FoundState, FoundTask, KnownBy};
use taskplane_engine_celery::CeleryEngine;
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Publisher, Rabbit, Redis, Worker, config, eventually, eventually_asked};

async fn ask(engine: &CeleryEngine, id: &str) -> FoundTask {
    let mut found = engine.query_state(&[id.to_owned()]).await.expect("an answer");
    found.tasks.remove(id).expect("each that was asked for")
}

/// An engine that looks into nothing by itself and hears nothing.
fn deaf(redis: &Redis) -> CeleryEngine {
    CeleryEngine::new(config(redis)).expect("a good configuration")
}

/// Waits until the workers or the backend say this of a task. What lies in Redis does not: between two steps of a worker, its
/// message is nowhere there.
async fn until_found(engine: &CeleryEngine, id: &str, state: FoundState) {
    let found = async || (ask(engine, id).await.state == state).then_some(());
    eventually_asked(&format!("{id} to be {state:?}"), found).await;
}

#[tokio::test]
async fn each_state_is_found_where_it_shows() {
    let redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let mut publisher = Publisher::start(&redis, &[]);
    let done = publisher.task("floor.echo", json!([1]));
    let failed = publisher.task("floor.fail", json!([]));
    redis.result(&failed).await;
    let slow = publisher.task("floor.slow", json!([600]));
    let engine = deaf(&redis);
    until_found(&engine, &slow, FoundState::Started).await;
    let later = publisher.send(json!({"task": "floor.echo", "options": {"countdown": 600}}));
    until_found(&engine, &later, FoundState::Received).await;
    let elsewhere = publisher.send(json!({"task": "floor.echo", "options": {"queue": "nobody"}}));
    let ids = [&done, &failed, &slow, &later, &elsewhere].map(String::clone);
    let mut found = engine.query_state(&[&ids[..], &["never-seen".to_owned()]].concat()).await.expect("an answer");
    assert_eq!((found.workers_answered, found.workers_silent.len(), found.tasks.len()), (1, 0, 6));
    let mut of = |id: &str| found.tasks.remove(id).expect("each that was asked for");

    let task = of(&done);
    assert_eq!((task.state, task.found_in), (FoundState::Succeeded, Some(FoundIn::ResultBackend)));
    assert_eq!((task.result, task.finished_at.is_some()), (Some(json!({"args": [1], "kwargs": {}})), true));
    let task = of(&failed);
    assert_eq!((task.state, task.exception.as_deref()), (FoundState::Failed, Some("ValueError")));
    let task = of(&slow);
    assert_eq!((task.state, task.worker.as_deref()), (FoundState::Started, Some("w1@test")));
    let task = of(&later);
    assert_eq!((task.state, task.found_in), (FoundState::Received, Some(FoundIn::Worker)));
    let task = of(&elsewhere);
    assert_eq!(
        (task.state, task.found_in, task.queue.as_deref()),
        (FoundState::Pending, Some(FoundIn::Queue), Some("nobody"))
    );
    let task = of("never-seen");
    assert_eq!((task.state, task.found_in, task.unseen), (FoundState::Unknown, None, Vec::new()));
    let evidence = task.evidence.join("; ");
    assert!(evidence.contains("no result") && evidence.contains("not held by the only worker"), "{evidence}");
}

#[tokio::test]
async fn a_task_whose_worker_was_killed_leaves_no_sign_of_life() {
    let redis = Redis::start().await;
    let mut worker = Worker::default().start(&redis);
    let mut config = config(&redis);
    // It has to be asked about before the worker is gone, however slow that is.
    config.timings.worker_silence = std::time::Duration::from_secs(20);
    let agent = Agent::with(config).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let slow = publisher.task("floor.slow", json!([600]));
    agent.saw(&slow, TaskEventKind::Started).await;
    worker.kill();
    let task = ask(&agent.engine, &slow).await;
    let evidence = task.evidence.join("; ");
    assert!(task.state == FoundState::Unknown && evidence.contains("w1@test does not answer"), "{evidence}");
    let _other = Worker { name: "w2", ..Worker::default() }.start(&redis);
    agent.knows("w2@test").await;
    let gone = || agent.worker("w1@test").filter(|w| w.sign == taskplane_model::fleet::WorkerSign::Offline);
    eventually("w1 is gone", gone).await;
    let task = ask(&agent.engine, &slow).await;
    let evidence = task.evidence.join("; ");
    assert_eq!((task.state, task.found_in), (FoundState::Unknown, None));
    for clause in ["no result", "not held by the only worker", "neither waits", "w1@test, which had it, is gone"] {
        assert!(evidence.contains(clause), "{clause:?} is missing: {evidence}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn what_no_event_told_is_told_when_it_is_found() {
    let redis = Redis::start().await;
    // A worker without events: only the result tells, and that was stored while nobody listened.
    let agent = Agent::without_events(config(&redis)).await;
    let _worker = Worker::default().start(&redis);
    agent.knows("w1@test").await;
    let id = "0b6f3d52-1a4e-4a4e-9c55-0c1f8a9f1d11";
    let meta = json!({"status": "SUCCESS", "result": 7, "traceback": null, "children": [], "task_id": id,
        "date_done": "2026-11-22T10:00:00.000000+00:00"});
    redis.run(&["SET", &format!("celery-task-meta-{id}"), &meta.to_string()]);
    assert_eq!(ask(&agent.engine, id).await.state, FoundState::Succeeded);
    let told = agent.saw(id, TaskEventKind::Succeeded).await;
    assert_eq!((told.known_by, told.result), (Some(KnownBy::ResultBackend), Some(json!(7))));
    ask(&agent.engine, id).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(agent.task(id).len(), 1, "told once");
    agent.stop().await;
}

#[tokio::test]
async fn what_was_there_before_the_agent_came_is_told_at_once() {
    let redis = Redis::start().await;
    let _worker = Worker {
        args: &["--pool", "prefork", "--concurrency", "1", "--prefetch-multiplier", "4"],
        ..Worker::default()
    }
    .start(&redis);
    let mut publisher = Publisher::start(&redis, &[]);
    let done = publisher.task("floor.echo", json!([1]));
    redis.result(&done).await;
    let slow = publisher.task("floor.slow", json!([600]));
    let reserved = publisher.task("floor.echo", json!(["next"]));
    let later = publisher.send(json!({"task": "floor.echo", "options": {"countdown": 600}}));
    let engine = deaf(&redis);
    for (id, state) in [(&slow, FoundState::Started), (&reserved, FoundState::Received), (&later, FoundState::Received)]
    {
        until_found(&engine, id, state).await;
    }
    let agent = Agent::start(&redis).await;
    let by = |task: taskplane_agent::engine::TaskObservation| task.known_by;
    assert_eq!(by(agent.saw(&slow, TaskEventKind::Started).await), Some(KnownBy::Inspection));
    assert_eq!(by(agent.saw(&done, TaskEventKind::Succeeded).await), Some(KnownBy::ResultBackend));
    // That their messages were seen, which lie with the broker until they are acknowledged, does not say who has them.
    for id in [&reserved, &later] {
        let held = agent.saw(id, TaskEventKind::Received).await;
        assert_eq!((held.worker.as_deref(), held.known_by), (Some("w1@test"), Some(KnownBy::Inspection)));
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_rabbitmq_the_workers_tell_and_what_cannot_be_seen_is_said() {
    let rabbit = Rabbit::start().await;
    let _worker = Worker::default().start(&rabbit);
    let agent = Agent::start(&rabbit).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&rabbit, &[]);
    let slow = publisher.task("floor.slow", json!([600]));
    agent.saw(&slow, TaskEventKind::Started).await;
    let task = ask(&agent.engine, &slow).await;
    assert_eq!((task.state, task.worker.as_deref()), (FoundState::Started, Some("w1@test")));
    let task = ask(&agent.engine, "never-seen").await;
    assert_eq!((task.state, task.unseen), (FoundState::Unknown, vec![FoundIn::ResultBackend, FoundIn::Queue]));
    let evidence = task.evidence.join("; ");
    assert!(evidence.contains("cannot be looked at") && evidence.contains("results cannot be read"), "{evidence}");
    agent.stop().await;
}

#[tokio::test]
async fn without_events_a_task_of_a_type_that_keeps_its_results_has_not_ended_where_there_is_none() {
    let redis = Redis::start().await;
    let env = [("TEST_RESULT_EXTENDED", "1")];
    let mut worker = Worker { env: &env, ..Worker::default() }.start(&redis);
    let mut config = config(&redis);
    config.task_events = false;
    config.timings.inspect_every = std::time::Duration::from_millis(500);
    let agent = Agent::without_events(config).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &env);
    let first = publisher.task("floor.slow", json!([600]));
    agent.saw(&first, TaskEventKind::Started).await;
    assert_eq!(ask(&agent.engine, "never-seen").await.unseen, [FoundIn::ResultBackend], "it may have kept none");
    worker.kill();
    let mut worker = Worker { name: "w2", env: &env, ..Worker::default() }.start(&redis);
    agent.knows("w2@test").await;
    let kept = publisher.task("floor.slow", json!([0]));
    agent.saw(&kept, TaskEventKind::Succeeded).await;
    let gone = || agent.worker("w1@test").filter(|w| w.sign == taskplane_model::fleet::WorkerSign::Offline);
    eventually("w1 is gone", gone).await;
    let task = ask(&agent.engine, &first).await;
    assert_eq!((task.state, task.unseen), (FoundState::Unknown, Vec::new()));
    let evidence = task.evidence.join("; ");
    assert!(
        evidence.contains("keep their results") && evidence.contains("w1@test, which had it, is gone"),
        "{evidence}"
    );
    worker.kill();
    agent.stop().await;
}
