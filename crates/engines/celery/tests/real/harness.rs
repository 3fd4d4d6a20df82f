//! Real brokers, real Celery workers, and an engine that observes them. Everything waits on conditions with deadlines.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use taskplane_agent::engine::{
    Engine as _, Health, Observation, Observer, QueueObservation, RetryPreview, Subject, TaskObservation,
    WorkerObservation,
};
use taskplane_engine_celery::{CeleryConfig, CeleryEngine, Timings};
use taskplane_model::{TaskEventKind, Timestamp};
use taskplane_testkit::RabbitMqServer;
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Nothing that is awaited takes longer on a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// The first value a look gives, awaited.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "in vain awaited: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same where looking takes time.
pub(crate) async fn eventually_asked<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "in vain awaited: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A process of ours, killed with all its children when dropped.
pub(crate) struct Process(Child);

impl Process {
    fn spawn(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().expect("the process starts"))
    }

    /// Kills it at once, with all its children.
    pub(crate) fn kill(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A broker with all that Celery needs beside it.
pub(crate) trait Place {
    /// The application's `broker_url`.
    fn broker_url(&self) -> String;
    /// The application's `result_backend`.
    fn results_url(&self) -> String;
    /// Where logs go.
    fn dir(&self) -> &Path;
    /// An urgent priority, and one that can wait.
    fn priorities(&self) -> (u8, u8);
    /// Its port.
    fn port(&self) -> u16;

    /// The application's `broker_transport_options` and `result_backend_transport_options`, JSON.
    fn options(&self) -> (String, String) {
        ("{}".to_owned(), "{}".to_owned())
    }

    /// The broker as the agent is told of it.
    fn observed_broker(&self) -> String {
        self.broker_url()
    }

    /// The result backend as the agent is told of it.
    fn observed_results(&self) -> String {
        self.results_url()
    }
}

/// A virtual host of our own. Results go back to the caller, where nobody else can read them.
pub(crate) struct Rabbit {
    pub(crate) server: Arc<RabbitMqServer>,
    pub(crate) vhost: String,
    dir: TempDir,
}

impl Rabbit {
    /// On the server that the tests of this process share.
    pub(crate) async fn start() -> Self {
        Self::on(blocking(|| RabbitMqServer::shared().expect("RabbitMQ")).await).await
    }

    /// On a server that may be killed.
    pub(crate) async fn alone() -> Self {
        Self::on(blocking(|| Arc::new(RabbitMqServer::start(None).expect("RabbitMQ"))).await).await
    }

    pub(crate) async fn on(server: Arc<RabbitMqServer>) -> Self {
        let maker = Arc::clone(&server);
        let vhost = blocking(move || maker.add_vhost().expect("a virtual host")).await;
        Self { server, vhost, dir: tempfile::tempdir().expect("a directory") }
    }
}

impl Place for Rabbit {
    fn broker_url(&self) -> String {
        self.server.url(&self.vhost)
    }

    fn results_url(&self) -> String {
        "rpc://".to_owned()
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn priorities(&self) -> (u8, u8) {
        (9, 0)
    }

    fn port(&self) -> u16 {
        self.server.port()
    }
}

impl Place for Redis {
    fn broker_url(&self) -> String {
        self.url(0)
    }

    fn results_url(&self) -> String {
        self.url(0)
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn priorities(&self) -> (u8, u8) {
        (0, 9)
    }

    fn port(&self) -> u16 {
        self.port
    }
}

/// Waits for something slow on a thread where that harms nobody.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// A Redis server of our own, in a directory of its own.
pub(crate) struct Redis {
    pub(crate) port: u16,
    dir: TempDir,
    process: Option<Process>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let port = taskplane_testkit::free_port().expect("a free port");
        let mut redis = Self { port, dir: tempfile::tempdir().expect("a directory"), process: None };
        redis.up().await;
        redis
    }

    /// Starts it (again).
    pub(crate) async fn up(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--save", "", "--appendonly", "yes", "--dir"]);
        self.process = Some(Process::spawn(command.arg(self.dir.path()).stdout(Stdio::null())));
        eventually("Redis accepts connections", || TcpStream::connect(("127.0.0.1", self.port)).ok()).await;
        eventually("Redis answers", || self.run(&["PING"]).contains("PONG").then_some(())).await;
    }

    /// Kills it.
    pub(crate) fn down(&mut self) {
        self.process = None;
    }

    pub(crate) fn url(&self, db: u8) -> String {
        format!("redis://127.0.0.1:{}/{db}", self.port)
    }

    /// One command on database 0, with the answer of redis-cli.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output();
        String::from_utf8_lossy(&output.expect("redis-cli runs").stdout).into_owned()
    }

    /// The stored result of a task, once it is ready.
    pub(crate) async fn result(&self, task_id: &str) -> Value {
        let key = format!("celery-task-meta-{task_id}");
        eventually("a result", || {
            let meta: Value = serde_json::from_str(&self.run(&["GET", &key])).ok()?;
            ["SUCCESS", "FAILURE", "REVOKED"].contains(&meta["status"].as_str()?).then_some(meta)
        })
        .await
    }
}

fn python() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.venv");
    let venv = std::env::var_os("TASKPLANE_TEST_VENV").map_or(default, PathBuf::from);
    let python = venv.join("bin/python");
    assert!(
        python.exists(),
        "these tests need Celery: python3 -m venv .venv && .venv/bin/pip install -r demo/requirements.txt \
         (or set TASKPLANE_TEST_VENV)"
    );
    python
}

fn celery(place: &impl Place, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(python());
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real"));
    command
        .env("TEST_BROKER_URL", place.broker_url())
        .env("TEST_RESULT_URL", place.results_url())
        .env("TEST_BROKER_OPTIONS", place.options().0)
        .env("TEST_RESULT_OPTIONS", place.options().1)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("C_FORCE_ROOT", "1");
    command.envs(env.iter().copied());
    command
}

/// Makes the tables of the application's Django.
pub(crate) async fn migrate(place: &impl Place, env: &[(&str, &str)]) {
    let mut command = celery(place, env);
    let code =
        "import shop_floor; from django.core.management import call_command; call_command('migrate', verbosity=0)";
    command.args(["-c", code]);
    let status = blocking(move || command.status().expect("Python runs")).await;
    assert!(status.success(), "the tables cannot be made");
}

/// A Python process of the demo shop.
pub(crate) fn shop(redis: &Redis, args: &[&str]) -> Process {
    let mut command = Command::new(python());
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../demo"));
    command.env("SHOP_BROKER_URL", redis.url(0)).env("PYTHONDONTWRITEBYTECODE", "1");
    Process::spawn(command.args(args).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// A worker to be started.
pub(crate) struct Worker<'a> {
    pub(crate) name: &'a str,
    pub(crate) args: &'a [&'a str],
    pub(crate) env: &'a [(&'a str, &'a str)],
}

impl Default for Worker<'_> {
    fn default() -> Self {
        Self { name: "w1", args: &["--pool", "prefork", "--concurrency", "1"], env: &[] }
    }
}

impl Worker<'_> {
    /// Starts it. Its log goes to a file named after it, shown by nothing but a debugger's curiosity.
    pub(crate) fn start(&self, place: &impl Place) -> Process {
        let log = std::fs::File::create(place.dir().join(format!("{}.log", self.name))).expect("a log file");
        let errors = log.try_clone().expect("a second handle");
        let mut command = celery(place, self.env);
        command.args([
            "-m",
            "celery",
            "-A",
            "shop_floor",
            "worker",
            "-l",
            "info",
            "-n",
            &format!("{}@test", self.name),
        ]);
        Process::spawn(command.args(self.args).stdout(log).stderr(errors))
    }
}

/// A Python process that publishes tasks.
pub(crate) struct Publisher {
    _process: Process,
    orders: ChildStdin,
    ids: BufReader<ChildStdout>,
}

impl Publisher {
    pub(crate) fn start(place: &impl Place, env: &[(&str, &str)]) -> Self {
        let mut command = celery(place, env);
        command.arg("publish.py").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let orders = process.0.stdin.take().expect("a pipe");
        let ids = BufReader::new(process.0.stdout.take().expect("a pipe"));
        Self { _process: process, orders, ids }
    }

    /// Publishes, and gives the task's id.
    pub(crate) fn send(&mut self, order: Value) -> String {
        writeln!(self.orders, "{order}").expect("the publisher listens");
        let mut id = String::new();
        self.ids.read_line(&mut id).expect("the publisher answers");
        assert!(!id.trim().is_empty(), "the publisher failed on {order}");
        id.trim().to_owned()
    }

    /// Publishes a task to the default queue.
    pub(crate) fn task(&mut self, name: &str, args: Value) -> String {
        self.send(json!({"task": name, "args": args}))
    }
}

/// An engine that observes, and all that it told.
pub(crate) struct Agent {
    pub(crate) engine: Arc<CeleryEngine>,
    told: Arc<Mutex<Vec<Observation>>>,
    health: Arc<Mutex<Vec<Health>>>,
    stop: CancellationToken,
    observing: JoinHandle<()>,
}

/// A configuration with short pauses. What is waited for in vain if a worker stands still is waited for long: on a busy machine any
/// process may, for seconds.
pub(crate) fn config(place: &impl Place) -> CeleryConfig {
    let ms = Duration::from_millis;
    let timings = Timings {
        result_hold: ms(5_000),
        sample_every: ms(200),
        control_every: ms(20_000),
        results_every: ms(200),
        control_wait: ms(10_000),
        worker_silence: ms(10_000),
        reconnect: (ms(50), ms(500)),
        ..Timings::default()
    };
    let results = Some(place.observed_results());
    CeleryConfig { timings, result_backend_url: results, ..CeleryConfig::new(place.observed_broker()) }
}

impl Agent {
    /// Observes with short waits, and is ready when it says so.
    pub(crate) async fn start(place: &impl Place) -> Self {
        Self::with(config(place)).await
    }

    pub(crate) async fn with(config: CeleryConfig) -> Self {
        let agent = Self::begin(config);
        agent.is_well().await;
        agent
    }

    /// Waits until the engine says that it observes.
    pub(crate) async fn is_well(&self) {
        eventually("the engine observes", || (self.health().last() == Some(&Health::Ok)).then_some(())).await;
    }

    /// Waits until the engine says what is wrong.
    pub(crate) async fn says(&self, words: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let last = self.health().last().cloned();
            match last {
                Some(Health::Down(why)) if why.contains(words) => return why,
                last => assert!(Instant::now() < end, "in vain awaited: {words:?} in {last:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Begins to observe.
    pub(crate) fn begin(config: CeleryConfig) -> Self {
        Self::begin_on(config, Vec::new())
    }

    /// With no events, for which results would wait.
    pub(crate) async fn without_events(mut config: CeleryConfig) -> Self {
        config.timings.result_hold = Duration::from_millis(500);
        Self::with(config).await
    }

    /// Begins to observe several brokers.
    pub(crate) fn begin_on(first: CeleryConfig, others: Vec<CeleryConfig>) -> Self {
        let engine = Arc::new(CeleryEngine::on_several(first, others).expect("a good configuration"));
        let (observations, mut told_rx) = mpsc::channel(1_000);
        let (health_tx, mut health_rx) = mpsc::channel(100);
        let (told, health) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (told_in, health_in) = (Arc::clone(&told), Arc::clone(&health));
        tokio::spawn(async move {
            while let Some(observation) = told_rx.recv().await {
                told_in.lock().expect("no panic").push(observation);
            }
        });
        tokio::spawn(async move {
            while let Some((_, state)) = health_rx.recv().await {
                health_in.lock().expect("no panic").push(state);
            }
        });
        let observer = Observer::new("celery", observations, health_tx);
        let stop = CancellationToken::new();
        let (running, until) = (Arc::clone(&engine), stop.clone());
        let observing = tokio::spawn(async move { running.observe(observer, until).await });
        Self { engine, told, health, stop, observing }
    }

    /// Stops observing, and proves that it does stop.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.observing).await.expect("it stops").expect("without panic");
    }

    pub(crate) fn health(&self) -> Vec<Health> {
        self.health.lock().expect("no panic").clone()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Observation>> {
        self.told.lock().expect("no panic")
    }

    /// All that was told of tasks.
    pub(crate) fn tasks(&self) -> Vec<TaskObservation> {
        let all = self.all();
        let tasks = all.iter().filter_map(|o| match &o.subject {
            Subject::Task(task) => Some((**task).clone()),
            _ => None,
        });
        tasks.collect()
    }

    /// All that was told of a task, in order.
    pub(crate) fn task(&self, id: &str) -> Vec<TaskObservation> {
        let tasks = self.all();
        let of_task = tasks.iter().filter_map(|o| match &o.subject {
            Subject::Task(task) if task.task_id == id => Some((**task).clone()),
            _ => None,
        });
        of_task.collect()
    }

    /// When this happened to a task.
    pub(crate) fn at(&self, id: &str, kind: TaskEventKind) -> Option<Timestamp> {
        self.all().iter().find_map(|o| match &o.subject {
            Subject::Task(task) if task.task_id == id && task.kind == kind => Some(o.ts),
            _ => None,
        })
    }

    /// How often something was wrong.
    pub(crate) fn outages(&self) -> usize {
        self.health().iter().filter(|health| **health != Health::Ok).count()
    }

    /// What was told of a task when this happened to it.
    pub(crate) async fn saw(&self, id: &str, kind: TaskEventKind) -> TaskObservation {
        eventually(&format!("{kind:?} of {id}"), || self.task(id).into_iter().find(|t| t.kind == kind)).await
    }

    /// The latest word on a worker.
    pub(crate) fn worker(&self, name: &str) -> Option<WorkerObservation> {
        self.all().iter().rev().find_map(|o| match &o.subject {
            Subject::Worker(worker) if worker.worker == name => Some((**worker).clone()),
            _ => None,
        })
    }

    /// Waits until the engine has asked a worker who it is.
    pub(crate) async fn knows(&self, name: &str) -> WorkerObservation {
        eventually(name, || self.worker(name).filter(|w| w.facts.queues.is_some() && w.facts.pool.is_some())).await
    }

    /// All samples of a queue, in order.
    pub(crate) fn queues(&self, name: &str) -> Vec<QueueObservation> {
        let all = self.all();
        let of_queue = all.iter().filter_map(|o| match &o.subject {
            Subject::Queue(queue) if queue.queue == name => Some(queue.clone()),
            _ => None,
        });
        of_queue.collect()
    }

    /// The latest sample of a queue.
    pub(crate) fn queue(&self, name: &str) -> Option<QueueObservation> {
        self.all().iter().rev().find_map(|o| match &o.subject {
            Subject::Queue(queue) if queue.queue == name => Some(queue.clone()),
            _ => None,
        })
    }
}

/// The positional and the keyword arguments that a preview shows.
pub(crate) fn shown(preview: &RetryPreview) -> (&Vec<Value>, &Map<String, Value>) {
    let (args, kwargs) = preview.arguments.as_ref().expect("they are readable");
    (args, kwargs)
}
