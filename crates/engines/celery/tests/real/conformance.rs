//! What holds on every broker.

use serde_json::json;
use taskplane_agent::engine::{CancelRequest, CommandError, Engine as _, RetryRequest};
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::{TaskEventKind, Timestamp, fleet::WorkerSign};
use taskplane_testkit::FaultProxy;

use crate::harness::{Agent, Place, Publisher, Worker, config, eventually};

/// Each statement, on each broker.
macro_rules! on_every_broker {
    ($($statement:ident),* $(,)?) => {
        mod on_guarded_redis {
            $(#[tokio::test]
            async fn $statement() {
                super::$statement(&crate::guarded_redis::Guarded::start().await).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $statement() {
                super::$statement(&crate::harness::Redis::start().await).await;
            })*
        }
        mod on_rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $statement() {
                super::$statement(&crate::harness::Rabbit::start().await).await;
            })*
        }
    };
}

on_every_broker! {
    success_failure_and_retries_are_seen_with_their_attempts,
    a_worker_that_comes_later_is_seen_and_one_that_is_killed_goes_offline,
    a_queue_is_measured_and_purged,
    a_failed_task_is_retried_with_its_arguments_under_a_new_id,
    a_running_task_is_terminated_and_a_waiting_one_dropped,
    a_task_whose_process_is_killed_fails_once_with_what_killed_it,
    what_nobody_could_carry_out_is_refused,
    the_more_urgent_task_is_taken_first,
    a_task_for_later_is_taken_in_time,
    a_connection_that_is_cut_comes_back,
    a_connection_that_is_cut_right_after_its_use_costs_no_command,
    a_silent_connection_is_noticed,
}

fn retry(id: &str) -> RetryRequest {
    RetryRequest { task_id: id.into(), ..RetryRequest::default() }
}

fn cancel(id: &str, terminate: bool) -> CancelRequest {
    CancelRequest { task_id: id.into(), terminate, signal: terminate.then(|| "SIGKILL".into()) }
}

async fn success_failure_and_retries_are_seen_with_their_attempts(place: &impl Place) {
    use TaskEventKind::{Failed, Received, Retry, Started, Succeeded};
    let _worker = Worker::default().start(place);
    let agent = Agent::start(place).await;
    let worker = agent.knows("w1@test").await;
    assert_eq!((worker.facts.pool.as_deref(), worker.facts.concurrency), (Some("prefork"), Some(1)));
    assert_eq!(worker.facts.queues, Some(vec!["celery".to_owned()]));

    let mut publisher = Publisher::start(place, &[]);
    let echo = publisher.send(json!({"task": "floor.echo", "args": [1, "two"], "kwargs": {"x": [null, true]}}));
    let done = agent.saw(&echo, Succeeded).await;
    assert_eq!(done.result, Some(json!({"args": [1, "two"], "kwargs": {"x": [null, true]}})));
    assert_eq!((done.name.as_deref(), done.queue.as_deref()), (Some("floor.echo"), Some("celery")));
    assert_eq!((done.worker.as_deref(), done.hostname.as_deref()), (Some("w1@test"), Some("test")));
    assert!(done.runtime_ms.is_some());
    let received = agent.saw(&echo, Received).await;
    assert_eq!((received.args, received.kwargs), (Some(json!([1, "two"])), Some(json!({"x": [null, true]}))));

    let fail = publisher.task("floor.fail", json!([]));
    let failed = agent.saw(&fail, Failed).await;
    assert_eq!(
        (failed.exception.as_deref(), failed.exception_message.as_deref()),
        (Some("ValueError"), Some("it's broken"))
    );
    assert!(failed.traceback.is_some_and(|t| t.contains("shop_floor.py")));

    let flaky = publisher.task("floor.flaky", json!([2]));
    agent.saw(&flaky, Succeeded).await;
    // The worker may receive the next attempt before it tells of the last one: the order is not the point.
    let mut seen: Vec<_> = agent.task(&flaky).iter().map(|t| (t.kind, t.retries)).collect();
    seen.retain(|(kind, _)| *kind != TaskEventKind::Sent);
    seen.sort_by_key(|(kind, attempt)| (*attempt, *kind));
    let attempt = |n, end| [(Received, Some(n)), (Started, Some(n)), (end, Some(n))];
    assert_eq!(seen, [attempt(0, Retry), attempt(1, Retry), attempt(2, Succeeded)].concat());
    let retry = agent.saw(&flaky, Retry).await;
    assert_eq!((retry.exception.as_deref(), retry.exception_message.as_deref()), (Some("KeyError"), Some("not yet")));
    assert!(retry.eta.is_some());
    agent.stop().await;
}

async fn a_worker_that_comes_later_is_seen_and_one_that_is_killed_goes_offline(place: &impl Place) {
    let agent = Agent::begin(config(place));
    let mut worker = Worker { name: "late", ..Worker::default() }.start(place);
    agent.knows("late@test").await;
    agent.is_well().await;
    let mut publisher = Publisher::start(place, &[]);
    let echo = publisher.task("floor.echo", json!([]));
    agent.saw(&echo, TaskEventKind::Started).await;
    worker.kill();
    let gone = eventually("offline", || agent.worker("late@test").filter(|w| w.sign == WorkerSign::Offline)).await;
    assert_eq!(gone.facts.pool.as_deref(), Some("prefork"));

    let _again = Worker { name: "late", ..Worker::default() }.start(place);
    eventually("back", || agent.worker("late@test").filter(|w| w.sign != WorkerSign::Offline)).await;
    // What it runs before its events are enabled again is told by results alone, where they can be read.
    something_is_seen(&agent, &mut publisher).await;
}

/// Publishes until a task is seen to its end, and gives its id: what happens while nobody listens is missed.
async fn something_is_seen(agent: &Agent, publisher: &mut Publisher) -> String {
    let mut sent = Vec::new();
    eventually("the end of a task", || {
        sent.push(publisher.task("floor.echo", json!([])));
        sent.iter().find(|id| agent.at(id, TaskEventKind::Succeeded).is_some()).cloned()
    })
    .await
}

async fn a_queue_is_measured_and_purged(place: &impl Place) {
    let mut worker = Worker::default().start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    let watched = eventually("a consumer", || agent.queue("celery").filter(|q| q.consumers == Some(1))).await;
    assert_eq!(watched.depth, Some(0));
    worker.kill();
    let mut publisher = Publisher::start(place, &[]);
    for _ in 0..7 {
        publisher.task("floor.echo", json!([]));
    }
    eventually("the depth", || agent.queue("celery").filter(|q| q.depth == Some(7))).await;
    assert_eq!(agent.engine.purge_queue("celery").await, Ok(7));
    assert_eq!(agent.engine.purge_queue("celery").await, Ok(0), "empty, but there");
    eventually("the empty queue", || agent.queue("celery").filter(|q| q.depth == Some(0))).await;
    assert_eq!(agent.engine.purge_queue("nowhere").await.expect_err("unknown").code(), "not_found");
    assert_eq!(agent.engine.purge_queue("w1@test.celery.pidbox").await.expect_err("not ours").code(), "invalid_args");
}

async fn a_failed_task_is_retried_with_its_arguments_under_a_new_id(place: &impl Place) {
    let _worker = Worker::default().start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &[]);
    let old = publisher.send(json!({"task": "floor.fail", "args": [1, "it's", null, [2.5]], "kwargs": {"k": "v"}}));
    agent.saw(&old, TaskEventKind::Failed).await;
    let again = agent.engine.retry_task(&retry(&old)).await.expect("published");
    assert_ne!(again.new_task_id, old);
    let received = agent.saw(&again.new_task_id, TaskEventKind::Received).await;
    assert_eq!((received.args, received.kwargs), (Some(json!([1, "it's", null, [2.5]])), Some(json!({"k": "v"}))));
    assert_eq!((received.root_id.as_deref(), received.queue.as_deref()), (Some(old.as_str()), Some("celery")));
    let failed = agent.saw(&again.new_task_id, TaskEventKind::Failed).await;
    assert_eq!(failed.exception.as_deref(), Some("ValueError"));
    // The worker may tell of it before the engine does.
    agent.saw(&again.new_task_id, TaskEventKind::Sent).await;
    let told = agent.task(&again.new_task_id).into_iter().filter(|t| t.kind == TaskEventKind::Sent).count();
    assert_eq!(told, 1, "what the engine publishes, it tells of once");
}

async fn a_running_task_is_terminated_and_a_waiting_one_dropped(place: &impl Place) {
    let _worker = Worker::default().start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &[]);
    let slow = publisher.task("floor.slow", json!([600]));
    agent.saw(&slow, TaskEventKind::Started).await;
    let waiting = publisher.task("floor.echo", json!([]));
    eventually("the waiting task", || (!agent.task(&waiting).is_empty()).then_some(())).await;

    let flagged = agent.engine.cancel_task(&cancel(&waiting, false)).await.expect("flagged");
    assert_eq!(flagged.state, "revoked");
    let killed = agent.engine.cancel_task(&cancel(&slow, true)).await.expect("killed");
    assert_eq!(killed.message.as_deref(), Some("terminated on w1@test with SIGKILL"));
    let revoked = agent.saw(&slow, TaskEventKind::Revoked).await;
    assert_eq!((revoked.terminated, revoked.signal.as_deref()), (Some(true), Some("SIGKILL")));

    let dropped = agent.saw(&waiting, TaskEventKind::Revoked).await;
    assert_ne!(dropped.terminated, Some(true));
    let after = publisher.task("floor.echo", json!(["after"]));
    agent.saw(&after, TaskEventKind::Succeeded).await;
    let ends = agent.task(&waiting).into_iter().filter(|t| t.kind.ends_attempt()).count();
    assert_eq!(ends, 1, "told once, though Celery writes the result twice");
}

async fn a_task_whose_process_is_killed_fails_once_with_what_killed_it(place: &impl Place) {
    let _worker = Worker::default().start(place);
    let agent = Agent::start(place).await;
    let main = agent.knows("w1@test").await.facts.pid.expect("a process");
    let mut publisher = Publisher::start(place, &[]);
    let slow = publisher.task("floor.slow", json!([600]));
    agent.saw(&slow, TaskEventKind::Started).await;
    for child in children(main) {
        std::process::Command::new("kill").args(["-9", &child]).status().expect("kill runs");
    }
    let failed = agent.saw(&slow, TaskEventKind::Failed).await;
    assert_eq!(failed.exception.as_deref(), Some("WorkerLostError"), "not what billiard wraps it in");
    assert!(failed.exception_message.is_some_and(|why| why.contains("signal 9")));
    // The pool has another process by now, and the worker is the same.
    let after = publisher.task("floor.echo", json!(["after"]));
    agent.saw(&after, TaskEventKind::Succeeded).await;
    let ends = agent.task(&slow).into_iter().filter(|seen| seen.kind.ends_attempt()).count();
    assert_eq!(ends, 1);
    agent.stop().await;
}

/// The processes that a process has started.
fn children(of: u64) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{of}/task")).expect("a process").flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

async fn what_nobody_could_carry_out_is_refused(place: &impl Place) {
    let mut worker = Worker::default().start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &[]);
    let known = publisher.task("floor.fail", json!([]));
    agent.saw(&known, TaskEventKind::Failed).await;
    for queue in ["no-such-queue", "w1@test.celery.pidbox"] {
        let elsewhere = RetryRequest { queue: Some(queue.into()), ..retry(&known) };
        assert_eq!(agent.engine.retry_task(&elsewhere).await.expect_err("undeclared").code(), "invalid_args");
    }
    assert_eq!(agent.engine.retry_task(&retry("never-seen")).await.expect_err("unknown").code(), "not_found");
    assert_eq!(agent.engine.cancel_task(&cancel("some-id", false)).await.expect_err("unknown").code(), "not_found");
    let bad = CancelRequest { signal: Some("SIGSTOP".into()), ..cancel(&known, true) };
    assert_eq!(agent.engine.cancel_task(&bad).await.expect_err("no such signal").code(), "invalid_args");

    worker.kill();
    eventually("offline", || agent.worker("w1@test").filter(|w| w.sign == WorkerSign::Offline)).await;
    let error = agent.engine.cancel_task(&cancel(&known, false)).await.expect_err("nobody there");
    assert!(matches!(&error, CommandError::Engine(why) if why.contains("no worker is running")), "{error}");
}

async fn the_more_urgent_task_is_taken_first(place: &impl Place) {
    let (urgent, later) = place.priorities();
    let env = [("TEST_QUEUE_ARGUMENTS", r#"{"x-max-priority": 10}"#)];
    let _worker = Worker { env: &env, ..Worker::default() }.start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &env);
    let go_on = place.dir().join("go on");
    let first = publisher.task("floor.wait", json!([go_on.display().to_string()]));
    agent.saw(&first, TaskEventKind::Started).await;
    // The worker holds one task beside the one that runs; what comes after waits.
    let held = publisher.send(json!({"task": "floor.echo", "args": [1], "options": {"priority": urgent}}));
    agent.saw(&held, TaskEventKind::Received).await;
    let patient = publisher.send(json!({"task": "floor.echo", "options": {"priority": later}}));
    let again = agent.engine.retry_task(&retry(&held)).await.expect("published");
    std::fs::write(&go_on, "").expect("written");
    for id in [&patient, &again.new_task_id] {
        agent.saw(id, TaskEventKind::Started).await;
    }
    let order: Vec<String> = agent
        .tasks()
        .into_iter()
        .filter(|t| t.kind == TaskEventKind::Started && [&patient, &again.new_task_id].contains(&&t.task_id))
        .map(|t| t.task_id)
        .collect();
    assert_eq!(order, [again.new_task_id, patient], "retried with the priority that it had");
}

async fn a_task_for_later_is_taken_in_time(place: &impl Place) {
    let _worker = Worker::default().start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &[]);
    let old = publisher.task("floor.fail", json!([]));
    agent.saw(&old, TaskEventKind::Failed).await;
    let soon =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_micros() + 2_000_000;
    let eta = Timestamp(i64::try_from(soon).expect("fits"));
    let again = agent.engine.retry_task(&RetryRequest { eta: Some(eta), ..retry(&old) }).await.expect("published");
    assert_eq!(agent.saw(&again.new_task_id, TaskEventKind::Sent).await.eta, Some(eta));
    agent.saw(&again.new_task_id, TaskEventKind::Failed).await;
    agent.saw(&again.new_task_id, TaskEventKind::Started).await;
    let started = agent.at(&again.new_task_id, TaskEventKind::Started).expect("started");
    assert!(started >= eta, "{started} is before {eta}");
}

/// A configuration that leads through a proxy.
fn through(proxy: &FaultProxy, place: &impl Place) -> CeleryConfig {
    let (from, to) = (format!(":{}/", place.port()), format!(":{}/", proxy.port()));
    let config = config(place);
    CeleryConfig {
        broker_url: config.broker_url.replace(&from, &to),
        result_backend_url: config.result_backend_url.map(|url| url.replace(&from, &to)),
        ..config
    }
}

async fn a_connection_that_is_cut_comes_back(place: &impl Place) {
    let proxy = FaultProxy::to(place.port()).await.expect("a proxy");
    let _worker = Worker::default().start(place);
    let agent = Agent::with(through(&proxy, place)).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &[]);
    for _ in 0..3 {
        let outages = agent.outages();
        proxy.cut();
        eventually("the outage", || (agent.outages() > outages).then_some(())).await;
        agent.is_well().await;
        // One of the connections that were cut may notice it later than another.
        let echo = something_is_seen(&agent, &mut publisher).await;
        let again = agent.engine.retry_task(&retry(&echo)).await.expect("published");
        agent.saw(&again.new_task_id, TaskEventKind::Succeeded).await;
    }
    agent.stop().await;
}

async fn a_connection_that_is_cut_right_after_its_use_costs_no_command(place: &impl Place) {
    let proxy = FaultProxy::to(place.port()).await.expect("a proxy");
    let _worker = Worker::default().start(place);
    let agent = Agent::with(through(&proxy, place)).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &[]);
    let echo = something_is_seen(&agent, &mut publisher).await;
    for _ in 0..5 {
        agent.engine.retry_task(&retry(&echo)).await.expect("published");
        proxy.cut();
        agent.engine.retry_task(&retry(&echo)).await.expect("published after the cut");
        proxy.cut();
        agent.engine.purge_queue("celery").await.expect("purged after the cut");
    }
    agent.stop().await;
}

async fn a_silent_connection_is_noticed(place: &impl Place) {
    let proxy = FaultProxy::to(place.port()).await.expect("a proxy");
    let _worker = Worker::default().start(place);
    let agent = Agent::with(through(&proxy, place)).await;
    agent.knows("w1@test").await;
    let outages = agent.outages();
    proxy.silence();
    eventually("the outage", || (agent.outages() > outages).then_some(())).await;
    let mut publisher = Publisher::start(place, &[]);
    something_is_seen(&agent, &mut publisher).await;
    agent.is_well().await;
    agent.stop().await;
}
