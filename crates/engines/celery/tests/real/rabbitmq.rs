//! What holds on RabbitMQ alone.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use taskplane_agent::engine::{CommandError, Engine as _, RetryRequest, WorkerAction, WorkerControlRequest};
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::{TaskEventKind, Timestamp};
use taskplane_testkit::{Authority, RabbitMqServer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Agent, Place as _, Publisher, Rabbit, Redis, Worker, blocking, config, eventually};

fn retry(id: &str) -> RetryRequest {
    RetryRequest { task_id: id.into(), ..RetryRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_back_is_observed_again() {
    let rabbit = Rabbit::alone().await;
    let _worker = Worker::default().start(&rabbit);
    let agent = Agent::start(&rabbit).await;
    agent.knows("w1@test").await;
    rabbit.server.crash();
    agent.says("127.0.0.1").await;
    let server = Arc::clone(&rabbit.server);
    blocking(move || server.go_on().expect("RabbitMQ comes back")).await;
    agent.is_well().await;
    let mut publisher = Publisher::start(&rabbit, &[]);
    let echo = publisher.task("floor.echo", json!([]));
    // The worker comes back in its own time, and its events with it.
    agent.saw(&echo, TaskEventKind::Succeeded).await;
    let again = agent.engine.retry_task(&retry(&echo)).await.expect("published");
    agent.saw(&again.new_task_id, TaskEventKind::Succeeded).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_commands_during_which_the_broker_is_killed_what_was_confirmed_is_done_and_the_rest_is_said() {
    let rabbit = Rabbit::alone().await;
    let _worker = Worker::default().start(&rabbit);
    let agent = Agent::start(&rabbit).await;
    agent.knows("w1@test").await;
    let marks = rabbit.dir().join("marks");
    std::fs::create_dir(&marks).expect("made");
    let mut publisher = Publisher::start(&rabbit, &[]);
    let old = publisher.task("floor.mark", json!([marks.display().to_string()]));
    agent.saw(&old, TaskEventKind::Succeeded).await;

    let (tries, orders) = (Tries::of(&agent, &old), Tries::of_control(&agent));
    eventually("some are done", || (tries.done() > 20 && orders.done() > 0).then_some(())).await;
    let server = Arc::clone(&rabbit.server);
    blocking(move || server.crash()).await;
    eventually("what fails", || (tries.failed() > 3 && orders.failed() > 0).then_some(())).await;
    let server = Arc::clone(&rabbit.server);
    blocking(move || server.go_on().expect("RabbitMQ comes back")).await;
    let before = (tries.done(), orders.done());
    eventually("what works again", || (tries.done() > before.0 && orders.done() > before.1).then_some(())).await;
    let (tried, ordered) = (tries.end().await, orders.end().await);

    let (mut sent, mut perhaps) = (BTreeSet::from([old]), BTreeSet::new());
    for outcome in tried {
        match outcome {
            Ok(id) => drop(sent.insert(id)),
            Err(why) => {
                assert!(why.starts_with("RabbitMQ at 127.0.0.1"), "{why}");
                perhaps.extend(why.split_once("may have been published, as ").map(|(_, id)| id.to_owned()));
            }
        }
    }
    assert!(ordered.iter().filter_map(|outcome| outcome.as_ref().err()).all(|why| why.starts_with("RabbitMQ at")));
    let marked = || -> BTreeSet<String> {
        let files = std::fs::read_dir(&marks).expect("lists").flatten();
        files.filter_map(|file| file.file_name().into_string().ok()).collect()
    };
    eventually("all that was confirmed has run", || marked().is_superset(&sent).then_some(())).await;
    let known: BTreeSet<String> = sent.union(&perhaps).cloned().collect();
    assert!(marked().is_subset(&known), "what was said not to be published was not");
    agent.stop().await;
}

/// A command that is given again and again, and what came of it.
struct Tries {
    outcomes: Arc<Mutex<Vec<Result<String, String>>>>,
    stop: CancellationToken,
    trying: JoinHandle<()>,
}

impl Tries {
    fn of(agent: &Agent, id: &str) -> Self {
        let (engine, request) = (Arc::clone(&agent.engine), retry(id));
        Self::begin(move || {
            let (engine, request) = (Arc::clone(&engine), request.clone());
            async move { engine.retry_task(&request).await.map(|retried| retried.new_task_id) }
        })
    }

    fn of_control(agent: &Agent) -> Self {
        let engine = Arc::clone(&agent.engine);
        let request = WorkerControlRequest { workers: vec!["w1@test".into()], action: WorkerAction::Ping };
        Self::begin(move || {
            let (engine, request) = (Arc::clone(&engine), request.clone());
            async move {
                let said = engine.worker_control(&request).await?;
                // The worker comes back in its own time.
                let silent = || CommandError::Engine("RabbitMQ at work, and the worker silent".to_owned());
                if said.silent.is_empty() { Ok("answered".to_owned()) } else { Err(silent()) }
            }
        })
    }

    fn begin<W>(work: impl Fn() -> W + Send + 'static) -> Self
    where
        W: Future<Output = Result<String, CommandError>> + Send,
    {
        let outcomes: Arc<Mutex<Vec<Result<String, String>>>> = Arc::default();
        let stop = CancellationToken::new();
        let (told, ended) = (Arc::clone(&outcomes), stop.clone());
        let trying = tokio::spawn(async move {
            while !ended.is_cancelled() {
                let outcome = work().await.map_err(|error| error.to_string());
                // A slow worker has to run all of them in the end.
                let pause = Duration::from_millis(if outcome.is_ok() { 20 } else { 50 });
                told.lock().expect("no panic").push(outcome);
                tokio::time::sleep(pause).await;
            }
        });
        Self { outcomes, stop, trying }
    }

    fn done(&self) -> usize {
        self.outcomes.lock().expect("no panic").iter().filter(|outcome| outcome.is_ok()).count()
    }

    fn failed(&self) -> usize {
        self.outcomes.lock().expect("no panic").iter().filter(|outcome| outcome.is_err()).count()
    }

    async fn end(self) -> Vec<Result<String, String>> {
        self.stop.cancel();
        self.trying.await.expect("no panic");
        std::mem::take(&mut *self.outcomes.lock().expect("no panic"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_what_to_do_and_healed_without_a_restart() {
    let rabbit = Rabbit::start().await;
    let url = rabbit.broker_url();
    let with = |url: String| CeleryConfig { broker_url: url, ..config(&rabbit) };

    let stranger = Agent::begin(with(url.replace("guest:guest", "guest:hunter2")));
    let said = stranger.says("does not accept the user or password").await;
    assert!(!said.contains("hunter2"), "{said}");

    let vhost = format!("{}-later", rabbit.vhost);
    let lost = Agent::begin(with(url.replace(&rabbit.vhost, &vhost)));
    lost.says("no such virtual host").await;
    let server = Arc::clone(&rabbit.server);
    blocking(move || {
        server.control(&["add_vhost", &vhost])?;
        server.control(&["set_permissions", "-p", &vhost, "guest", ".*", ".*", ".*"])
    })
    .await
    .expect("made");
    lost.says("no worker ever came up on this virtual host").await;

    let nobody = Agent::begin(with(url.replace(&rabbit.port().to_string(), "1")));
    nobody.says("refuses connections").await;
    let web = Redis::start().await;
    let wrong = Agent::begin(with(url.replace(&rabbit.port().to_string(), &web.port().to_string())));
    wrong.says("RabbitMQ at 127.0.0.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_virtual_host_that_is_removed_and_made_again_is_observed_again() {
    let rabbit = Rabbit::start().await;
    let mut worker = Worker::default().start(&rabbit);
    let agent = Agent::start(&rabbit).await;
    agent.knows("w1@test").await;
    let control = async |args: &[&str]| {
        let (server, args) = (Arc::clone(&rabbit.server), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        blocking(move || server.control(&args.iter().map(String::as_str).collect::<Vec<_>>())).await.expect("done")
    };
    control(&["delete_vhost", &rabbit.vhost]).await;
    agent.says("virtual host").await;
    control(&["add_vhost", &rabbit.vhost]).await;
    control(&["set_permissions", "-p", &rabbit.vhost, "guest", ".*", ".*", ".*"]).await;
    worker.kill();
    let _again = Worker { name: "w2", ..Worker::default() }.start(&rabbit);
    agent.knows("w2@test").await;
    agent.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_listen_is_told_what_is_missing() {
    let rabbit = Rabbit::start().await;
    let _worker = Worker::default().start(&rabbit);
    Agent::start(&rabbit).await.knows("w1@test").await;
    let (server, vhost) = (Arc::clone(&rabbit.server), rabbit.vhost.clone());
    let user = format!("narrow-{vhost}");
    let name = user.clone();
    blocking(move || {
        server.control(&["add_user", &name, "secret"])?;
        server.control(&["set_permissions", "-p", &vhost, &name, "^$", "^$", "^$"])
    })
    .await
    .expect("made");
    let url = rabbit.broker_url().replace("guest:guest", &format!("{user}:secret"));
    let agent = Agent::begin(CeleryConfig { broker_url: url, ..config(&rabbit) });
    agent.says("permissions that the workers' user has").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_quorum_queue_are_never_touched_and_an_eta_is_kept() {
    let rabbit = Rabbit::start().await;
    let env = [("TEST_QUEUE_ARGUMENTS", r#"{"x-queue-type": "quorum"}"#)];
    let mut worker = Worker { env: &env, ..Worker::default() }.start(&rabbit);
    let agent = Agent::start(&rabbit).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&rabbit, &env);
    let done = publisher.task("floor.fail", json!([1]));
    agent.saw(&done, TaskEventKind::Failed).await;

    let soon =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_micros() + 2_000_000;
    let eta = Timestamp(i64::try_from(soon).expect("fits"));
    let later = agent.engine.retry_task(&RetryRequest { eta: Some(eta), ..retry(&done) }).await.expect("published");
    agent.saw(&later.new_task_id, TaskEventKind::Failed).await;
    agent.saw(&later.new_task_id, TaskEventKind::Started).await;
    let started = agent.at(&later.new_task_id, TaskEventKind::Started).expect("started");
    assert!(started >= eta, "{started} is before {eta}");

    worker.kill();
    eventually("nobody", || agent.queue("celery").filter(|q| q.consumers == Some(0))).await;
    let waiting = publisher.task("floor.delivered", json!([]));
    eventually("the depth", || agent.queue("celery").filter(|q| q.depth == Some(1))).await;
    assert_eq!(agent.queue("celery").and_then(|q| q.unacked), None, "AMQP does not tell");
    // Looked for, but not at.
    assert_eq!(agent.engine.retry_task(&retry(&waiting)).await.expect_err("never seen").code(), "not_found");
    // It takes the task at once, before anybody could ask it for its events.
    let with_events = &["--pool", "prefork", "--concurrency", "1", "--task-events"];
    let _worker = Worker { name: "w2", args: with_events, env: &env }.start(&rabbit);
    let seen = agent.saw(&waiting, TaskEventKind::Succeeded).await;
    assert_eq!(seen.result, Some(json!({"redelivered": false, "deliveries": 0})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_certificate_is_checked_against_the_given_authority() {
    let authority = Authority::new("ours").expect("an authority");
    let issued = authority.server(&["localhost"]).expect("a certificate");
    let server = blocking(move || Arc::new(RabbitMqServer::start(Some(&issued)).expect("RabbitMQ"))).await;
    let rabbit = Rabbit::on(server).await;
    let _worker = Worker::default().start(&rabbit);
    let url = rabbit.server.tls_url("localhost", &rabbit.vhost).expect("TLS");

    let distrustful = Agent::begin(CeleryConfig { broker_url: url.clone(), ..config(&rabbit) });
    distrustful.says("ssl_ca_certs").await;

    let ca = rabbit.dir().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let trusted = format!("{url}?ssl_ca_certs={}", ca.display());
    let agent = Agent::with(CeleryConfig { broker_url: trusted, ..config(&rabbit) }).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&rabbit, &[]);
    let echo = publisher.task("floor.echo", json!([]));
    agent.saw(&echo, TaskEventKind::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_servers_another_is_taken_when_one_stops() {
    let (first, second) = (Rabbit::alone().await, Rabbit::start().await);
    let list = format!("{};{}", first.broker_url(), second.broker_url());
    let env = [("TEST_BROKER_URL", list.as_str())];
    let _worker = Worker { env: &env, ..Worker::default() }.start(&first);
    let agent = Agent::with(CeleryConfig { broker_url: list.clone(), ..config(&first) }).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&first, &env);
    let before = publisher.task("floor.fail", json!([1]));
    agent.saw(&before, TaskEventKind::Failed).await;

    let server = Arc::clone(&first.server);
    blocking(move || server.crash()).await;
    eventually("the outage", || (agent.outages() > 0).then_some(())).await;
    agent.is_well().await;
    let after = publisher.task("floor.echo", json!([]));
    agent.saw(&after, TaskEventKind::Succeeded).await;
    let again = agent.engine.retry_task(&retry(&before)).await.expect("published on the other server");
    agent.saw(&again.new_task_id, TaskEventKind::Failed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_on_redis_are_read_beside_it() {
    let (rabbit, redis) = (Rabbit::start().await, Redis::start().await);
    let results = redis.results_url();
    let env = [("TEST_RESULT_EXTENDED", "1"), ("TEST_RESULT_URL", results.as_str())];
    let _worker = Worker { env: &env, ..Worker::default() }.start(&rabbit);
    let agent = Agent::with(CeleryConfig { result_backend_url: Some(results.clone()), ..config(&rabbit) }).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&rabbit, &env);
    let long = "hello ".repeat(500);
    let fail = publisher.send(json!({"task": "floor.fail", "args": [long]}));
    // The event has cut them: in full they are in the result alone.
    agent.saw(&fail, TaskEventKind::Failed).await;
    let again = agent.engine.retry_task(&retry(&fail)).await.expect("published");
    assert_eq!(redis.result(&again.new_task_id).await["args"], json!([long]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_nobody_consumes_is_known_from_the_settings_of_the_workers() {
    let rabbit = Rabbit::start().await;
    let env = [("TEST_QUEUES", "celery,forgotten")];
    let args = ["--pool", "prefork", "--concurrency", "1", "--queues", "celery"];
    let _worker = Worker { args: &args, env: &env, ..Worker::default() }.start(&rabbit);
    // It is made by who sends to it.
    let mut publisher = Publisher::start(&rabbit, &env);
    publisher.send(json!({"task": "floor.echo", "options": {"queue": "forgotten"}}));
    let agent = Agent::start(&rabbit).await;
    let seen = eventually("the queue", || agent.queue("forgotten").filter(|queue| queue.depth == Some(1))).await;
    assert_eq!(seen.consumers, Some(0));
    agent.stop().await;
}
