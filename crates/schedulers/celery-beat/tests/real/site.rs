//! The Django site of `e2e/app`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::harness::Process;

/// A site that can be asked.
pub(crate) struct Site {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    database: String,
}

impl Site {
    /// Starts the site; `database` is a URL.
    pub(crate) fn start(database: &str) -> Result<Self> {
        // It never reaches its broker.
        let mut command = python(database, "redis://127.0.0.1:1/0")?;
        command.args(["-m", "beat_site"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("the site's input")?;
        let stdout = BufReader::new(child.stdout.take().context("the site's output")?);
        Ok(Self { child, stdin, stdout, database: database.to_owned() })
    }

    /// Asks it, and returns its answer.
    pub(crate) fn ask(&mut self, question: Value) -> Result<Value> {
        writeln!(self.stdin, "{question}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the site's answer to {question}"))
    }

    /// Its beat, which enqueues on `broker`.
    pub(crate) fn beat(&self, broker: &str, folder: &Path) -> Result<Process> {
        let mut command = python(&self.database, broker)?;
        command.args(["-m", "celery", "-A", "beat_site", "beat", "--loglevel", "INFO", "--pidfile", ""]);
        Process::start(command.args(["--scheduler", "django"]), folder, "beat")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Python with the tests' packages, in the folder of the site.
pub(crate) fn python(database: &str, broker: &str) -> Result<Command> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let venv = std::env::var_os("TASKPLANE_TEST_VENV").map_or_else(|| repository.join(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    anyhow::ensure!(python.exists(), "{} is missing: run `scripts/setup test` first", python.display());
    let mut command = Command::new(python);
    command.current_dir(repository.join("e2e/app")).env("SITE_DATABASE", database).env("BROKER_URL", broker);
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}
