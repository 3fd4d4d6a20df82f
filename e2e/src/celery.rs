//! A real Celery worker, and a process that sends tasks to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::process::{Process, repository};

/// The Celery application of `e2e/app`.
#[derive(Clone)]
pub struct CeleryApp {
    python: PathBuf,
    broker: String,
    visibility_timeout: Option<u32>,
    tells_from_start: bool,
}

impl CeleryApp {
    /// The application on `broker`. Its Python environment is `TASKPLANE_TEST_VENV`, or `.venv` in the repository.
    ///
    /// # Errors
    /// When the environment is missing.
    pub fn new(broker: &str) -> Result<Self> {
        let venv = std::env::var_os("TASKPLANE_TEST_VENV").map_or_else(|| repository().join(".venv"), PathBuf::from);
        let python = venv.join("bin/python");
        anyhow::ensure!(python.exists(), "{} is missing: run `scripts/setup test` first", python.display());
        Ok(Self { python, broker: broker.to_owned(), visibility_timeout: None, tells_from_start: false })
    }

    /// Workers that are started from now on deliver again what is not acknowledged for so many seconds.
    pub fn deliver_again_after(&mut self, seconds: u32) {
        self.visibility_timeout = Some(seconds);
    }

    /// Workers that are started from now on send task events from the first, before an agent turns them on.
    pub fn tell_from_start(&mut self) {
        self.tells_from_start = true;
    }

    /// Starts a worker called `name` on `queues`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn worker(&self, name: &str, queues: &str, folder: &Path) -> Result<Process> {
        let mut command = self.command();
        let node = format!("{name}@test");
        command.args(["-m", "celery", "-A", "shop", "worker", "--loglevel", "INFO", "--concurrency", "2"]);
        command.args(["--hostname", &node, "--queues", queues]).args(self.tells_from_start.then_some("--task-events"));
        Process::start(&format!("worker-{name}"), folder, command)
    }

    /// Runs Python in the application's folder, with variables of the environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn python(&self, name: &str, args: &[&str], variables: &[(&str, &str)], folder: &Path) -> Result<Process> {
        let mut command = self.command();
        command.args(args).envs(variables.iter().copied());
        Process::start(name, folder, command)
    }

    /// Starts a process that sends tasks.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn producer(&self) -> Result<Producer> {
        let mut command = self.command();
        command.args(["-m", "producer"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("starting the producer")?;
        let stdin = child.stdin.take().context("the producer's input")?;
        let stdout = BufReader::new(child.stdout.take().context("the producer's output")?).lines();
        Ok(Producer { _child: child, stdin, stdout })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.current_dir(repository().join("e2e/app")).env("BROKER_URL", &self.broker);
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command.envs(self.visibility_timeout.map(|seconds| ("VISIBILITY_TIMEOUT", seconds.to_string())));
        command
    }
}

/// Sends tasks, one JSON line each, and reads their ids.
pub struct Producer {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Producer {
    /// Sends `task` to `queue` and returns its id.
    ///
    /// # Errors
    /// When the producer has ended.
    pub async fn send(&mut self, task: &str, args: Value, kwargs: Value, queue: &str) -> Result<String> {
        let sent = self.ask(json!({"task": task, "args": args, "kwargs": kwargs, "queue": queue})).await?;
        sent["id"].as_str().map(str::to_owned).context("a task id")
    }

    /// Sends `task` to `queue`, to be run in so many seconds, and returns its id.
    ///
    /// # Errors
    /// When the producer has ended.
    pub async fn send_later(&mut self, task: &str, args: Value, queue: &str, seconds: u32) -> Result<String> {
        let request = json!({"task": task, "args": args, "kwargs": {}, "queue": queue, "countdown": seconds});
        self.ask(request).await?["id"].as_str().map(str::to_owned).context("a task id")
    }

    /// Sends a chord that adds up squares of `numbers`; returns the ids of its members and of its body.
    ///
    /// # Errors
    /// When the producer has ended.
    pub async fn chord(&mut self, numbers: &[i64]) -> Result<(Vec<String>, String)> {
        self.chord_of(json!(numbers)).await
    }

    /// As [`Self::chord`], of numbers and what is none, for which its member fails.
    ///
    /// # Errors
    /// When the producer has ended.
    pub async fn chord_of(&mut self, numbers: Value) -> Result<(Vec<String>, String)> {
        let sent = self.ask(json!({"chord": numbers})).await?;
        let members = sent["members"].as_array().into_iter().flatten();
        let members = members.filter_map(|id| id.as_str().map(str::to_owned)).collect();
        Ok((members, sent["id"].as_str().context("a task id")?.to_owned()))
    }

    async fn ask(&mut self, request: Value) -> Result<Value> {
        self.stdin.write_all(format!("{request}\n").as_bytes()).await?;
        let line = self.stdout.next_line().await?.context("the producer has ended")?;
        Ok(serde_json::from_str(&line)?)
    }
}
