//! Results in databases: those of Celery's own backend, and those of django-celery-results.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use taskplane_agent::engine::{
    ArgumentSource, CancelRequest, Engine as _, FoundIn, FoundState, FoundTask, KnownBy, RetryRequest,
};
use taskplane_engine_celery::{CeleryConfig, CeleryEngine};
use taskplane_model::TaskEventKind;
use taskplane_testkit::{MariaDbServer, POSTGRES_PASSWORD, PostgresServer};

use crate::chords::{self, Failed};
use crate::harness::{Agent, Place, Publisher, Redis, Worker, blocking, config, eventually, eventually_asked, migrate};

/// A broker on Redis, and results in a database.
struct Databased {
    redis: Redis,
    /// As the application has it.
    results: String,
    /// As the agent is told.
    observed: String,
    /// What Django has in its settings.
    django: Option<String>,
}

impl Databased {
    async fn celery(results: String) -> Self {
        Self { redis: Redis::start().await, observed: results.clone(), results, django: None }
    }

    async fn django(observed: String, settings: Value) -> Self {
        let redis = Redis::start().await;
        Self { redis, results: "django-db".to_owned(), observed, django: Some(settings.to_string()) }
    }

    fn env(&self) -> Vec<(&str, &str)> {
        let django = self.django.iter().map(|settings| ("TEST_DJANGO_DATABASE", settings.as_str()));
        [("TEST_RESULT_EXTENDED", "1")].into_iter().chain(django).collect()
    }

    /// Without events, so that nothing but the table tells.
    fn silent(&self, results_every: Duration) -> CeleryConfig {
        let mut config = CeleryConfig { task_events: false, ..config(self) };
        // Neither are messages that wait looked at.
        config.timings.sample_every = Duration::from_secs(3_600);
        config.timings.results_every = results_every;
        // Nor do results wait for what no event tells.
        config.timings.result_hold = Duration::from_millis(500);
        config
    }
}

impl Place for Databased {
    fn broker_url(&self) -> String {
        self.redis.broker_url()
    }

    fn results_url(&self) -> String {
        self.results.clone()
    }

    fn observed_results(&self) -> String {
        self.observed.clone()
    }

    fn dir(&self) -> &Path {
        self.redis.dir()
    }

    fn priorities(&self) -> (u8, u8) {
        self.redis.priorities()
    }

    fn port(&self) -> u16 {
        self.redis.port()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    let server = blocking(|| PostgresServer::start(None).expect("PostgreSQL")).await;
    let url = server.url();
    let celery = Databased::celery(url.replace("postgres://", "db+postgresql+psycopg://")).await;
    let wrong = server.url_as("wrong", "postgres").replace("postgres://", "db+postgresql://");
    let nowhere = format!("django-db+{}", server.url_as(POSTGRES_PASSWORD, "nowhere"));
    says(&celery, wrong, "refuses the user", "correct user and password").await;
    says(&celery, nowhere, "nowhere does not exist", "correct the database's name").await;
    let (address, _) = url.rsplit_once('/').expect("a database");
    let (_, port) = address.rsplit_once(':').expect("a port");
    let settings = json!({"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
        "PASSWORD": POSTGRES_PASSWORD, "HOST": "127.0.0.1", "PORT": port});
    let django = Databased::django(format!("django-db+{url}"), settings).await;
    tokio::join!(story(&celery), story(&django));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb() {
    let server = blocking(|| MariaDbServer::start().expect("MariaDB")).await;
    let celery = Databased::celery(server.url().replace("mysql://", "db+mysql+pymysql://")).await;
    let wrong = celery.observed.replace("word", "wrong");
    says(&celery, wrong, "refuses the user", "correct user and password").await;
    story(&celery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| {
        let path = folder.path().join(name);
        // An agent makes no database.
        std::fs::write(&path, "").expect("a file");
        path.display().to_string()
    };
    let (results, site) = (file("results.db"), file("site.db"));
    let celery = Databased::celery(format!("db+sqlite:///{results}?timeout=20")).await;
    says(&celery, format!("db+sqlite:////{results}.wrong"), "there is no file", "correct the path").await;
    let settings = json!({"ENGINE": "django.db.backends.sqlite3", "NAME": site, "OPTIONS": {"timeout": 20}});
    let django = Databased::django(format!("django-db+sqlite://{site}"), settings).await;
    tokio::join!(story(&celery), story(&django));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_failed_chord_is_refused_in_words_that_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("results.db"), "").expect("a file");
    let results = format!("db+sqlite:///{}/results.db?timeout=20", folder.path().display());
    let place = Databased::celery(results).await;
    // Whoever publishes makes the table.
    Publisher::start(&place, &[]).task("floor.echo", json!([]));
    let Failed { body, agent, members, _worker } = chords::failed(&place, chords::chord(&chords::file(&place))).await;
    let request = RetryRequest { task_id: body, ..RetryRequest::default() };
    let refused = agent.engine.retry_task(&request).await.expect_err("refused");
    assert_eq!(refused.code(), "no_original_payload");
    assert!(refused.to_string().contains("only on Redis") && refused.to_string().contains("Supply args"), "{refused}");
    let member = RetryRequest { task_id: members[1].clone(), ..RetryRequest::default() };
    agent.engine.retry_task(&member).await.expect("published");
    agent.stop().await;
}

/// What is wrong with such an address, and what to do about it.
async fn says(place: &Databased, results: String, what: &str, to_do: &str) {
    let config = CeleryConfig { result_backend_url: Some(results), ..place.silent(Duration::from_millis(100)) };
    let agent = Agent::begin(config);
    let said = agent.says(what).await;
    assert!(said.contains(to_do) && !said.contains("wrong@"), "{said}");
    agent.stop().await;
}

async fn ask(engine: &CeleryEngine, id: &str) -> FoundTask {
    let mut found = engine.query_state(&[id.to_owned()]).await.expect("an answer");
    found.tasks.remove(id).expect("each that was asked for")
}

async fn story(place: &Databased) {
    let agent = Agent::begin(place.silent(Duration::from_millis(100)));
    let said = agent.says("does not have the table").await;
    assert!(said.contains(if place.django.is_some() { "migrations" } else { "when they start" }), "{said}");
    let env = place.env();
    if place.django.is_some() {
        migrate(place, &env).await;
    }
    let args = ["--pool", "solo", "--without-gossip", "--without-mingle"];
    let _worker = Worker { args: &args, env: &env, ..Worker::default() }.start(place);
    let mut publisher = Publisher::start(place, &env);
    agent.is_well().await;

    // What comes is told, though no event tells of it.
    let done = publisher.send(json!({"task": "floor.echo", "args": [1, "ü"], "kwargs": {"k": [null]}}));
    let failed = publisher.send(json!({"task": "floor.fail", "args": ["it's", 2.5], "kwargs": {"k": true}}));
    let told = agent.saw(&done, TaskEventKind::Succeeded).await;
    let result = json!({"args": [1, "ü"], "kwargs": {"k": [null]}});
    assert_eq!((told.known_by, told.result), (Some(KnownBy::ResultBackend), Some(result.clone())));
    assert_eq!((told.name.as_deref(), told.worker.as_deref()), (Some("floor.echo"), Some("w1@test")));
    assert_eq!((told.args, told.kwargs), (Some(json!([1, "ü"])), Some(json!({"k": [null]}))));
    let told = agent.saw(&failed, TaskEventKind::Failed).await;
    assert_eq!(
        (told.exception.as_deref(), told.exception_message.as_deref()),
        (Some("ValueError"), Some("it's broken"))
    );
    assert!(told.traceback.is_some_and(|text| text.contains("shop_floor.py")));
    let flaky = publisher.task("floor.flaky", json!([1]));
    agent.saw(&flaky, TaskEventKind::Succeeded).await;
    // Long enough for a slow machine to tell the worker before it runs.
    let revoked = publisher.send(json!({"task": "floor.echo", "options": {"countdown": 15}}));
    let cancel = CancelRequest { task_id: revoked.clone(), terminate: false, signal: None };
    // A busy worker may answer too late: told again, it does the same.
    let mut told = agent.engine.cancel_task(&cancel).await;
    for _ in 0..10 {
        if told.is_err() {
            told = agent.engine.cancel_task(&cancel).await;
        }
    }
    told.expect("told to the worker");
    agent.saw(&revoked, TaskEventKind::Revoked).await;
    // Until its time has come, the worker holds it.
    let log = place.dir().join("w1.log");
    let dropped = format!("Discarding revoked task: floor.echo[{revoked}]");
    eventually("it is dropped", || std::fs::read_to_string(&log).ok()?.contains(&dropped).then_some(())).await;
    // Zones differ by half an hour at least.
    let near = |id: &str, kind| agent.at(id, kind).map(|at| (at.0 - now()).abs() < 900_000_000);
    assert_eq!(near(&done, TaskEventKind::Succeeded), Some(true), "in the right zone");
    assert_eq!(agent.task(&done).len(), 1, "told once");
    agent.stop().await;

    from_the_table_alone(place, &failed, &done).await;
    first_connect(place, &mut publisher, [&done, &failed, &revoked]).await;
}

/// An engine that looks into nothing by itself and hears nothing.
async fn from_the_table_alone(place: &Databased, failed: &str, done: &str) {
    let engine = CeleryEngine::new(config(place)).expect("a good configuration");
    let task = ask(&engine, failed).await;
    assert_eq!((task.state, task.found_in), (FoundState::Failed, Some(FoundIn::ResultBackend)));
    assert_eq!((task.exception.as_deref(), task.finished_at.is_some()), (Some("ValueError"), true));
    assert_eq!(ask(&engine, done).await.state, FoundState::Succeeded);
    let task = ask(&engine, "never-seen").await;
    assert_eq!((task.state, task.found_in, task.unseen), (FoundState::Unknown, None, Vec::new()));

    let request = RetryRequest { task_id: failed.to_owned(), ..RetryRequest::default() };
    let request = RetryRequest { queue: Some("celery".into()), ..request };
    let shown = engine.preview_retry(std::slice::from_ref(&request)).await.expect("an answer").remove(0);
    let shown = shown.expect("a preview");
    // Django is given but the text form.
    let source = if place.django.is_some() { ArgumentSource::Events } else { ArgumentSource::Result };
    assert_eq!((shown.name.as_str(), shown.source), ("floor.fail", source));
    let again = engine.retry_task(&request).await.expect("published").new_task_id;
    let task = eventually_ended(&engine, &again).await;
    assert_eq!((task.state, task.exception_message.as_deref()), (FoundState::Failed, Some("it's broken")));
}

async fn eventually_ended(engine: &CeleryEngine, id: &str) -> FoundTask {
    eventually_asked(&format!("the end of {id}"), async || {
        Some(ask(engine, id).await).filter(|task| task.found_in == Some(FoundIn::ResultBackend))
    })
    .await
}

/// What is there is told at once, and a result that is not looked for is told when it is asked for.
async fn first_connect(place: &Databased, publisher: &mut Publisher, ids: [&String; 3]) {
    let agent = Agent::with(place.silent(Duration::from_secs(3_600))).await;
    for (id, kind) in ids.into_iter().zip([TaskEventKind::Succeeded, TaskEventKind::Failed, TaskEventKind::Revoked]) {
        assert_eq!(agent.saw(id, kind).await.known_by, Some(KnownBy::ResultBackend));
    }
    let unheard = publisher.task("floor.echo", json!([2]));
    let task = eventually_ended(&agent.engine, &unheard).await;
    assert_eq!(task.result, Some(json!({"args": [2], "kwargs": {}})));
    agent.saw(&unheard, TaskEventKind::Succeeded).await;
    eventually("it is told once", || (agent.task(&unheard).len() == 1).then_some(())).await;
    agent.stop().await;
}

/// In microseconds.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    i64::try_from(since.as_micros()).expect("fits")
}
