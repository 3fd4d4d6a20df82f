//! Processes that end with their test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::PATIENCE;

/// What was asked to end has ended by then: ten seconds are promised, on a machine that has nothing else to do.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap_or_else(|_| PathBuf::from(".."))
}

/// The `taskplane` binary: `TASKPLANE_BINARY`, or the one built beside this test.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TASKPLANE_BINARY") {
        return Ok(PathBuf::from(path));
    }
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test's own folder")?;
    let path = folder.join("taskplane");
    anyhow::ensure!(path.exists(), "{} is missing: run `cargo build -p taskplane` first", path.display());
    Ok(path)
}

/// Runs the binary to its end.
///
/// # Errors
/// When it cannot be started.
pub async fn run_binary(args: &[&str]) -> Result<Output> {
    let output = Command::new(binary()?).args(args).stdin(Stdio::null()).output();
    Ok(tokio::time::timeout(PATIENCE, output).await.context("the binary did not end")??)
}

/// A running process, killed when it is dropped. What it prints goes to a file in its folder.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, logging to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, folder: &Path, mut command: Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // Its own group, so that a worker's children can be ended with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { child, log })
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it ends by itself; returns its exit code.
    ///
    /// # Errors
    /// When it has not ended within a minute.
    pub async fn wait(mut self) -> Result<Option<i32>> {
        let status = tokio::time::timeout(ENDS_WITHIN, self.child.wait()).await;
        Ok(status.context("the process did not end within a minute")??.code())
    }

    /// Asks it to end with SIGTERM and waits; returns its exit code.
    ///
    /// # Errors
    /// When it has not ended within a minute.
    pub async fn terminate(mut self) -> Result<Option<i32>> {
        if let Some(pid) = self.child.id() {
            std::process::Command::new("kill").arg(pid.to_string()).status()?;
        }
        let status = tokio::time::timeout(ENDS_WITHIN, self.child.wait()).await;
        Ok(status.context("the process did not end within a minute of SIGTERM")??.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            // The whole group: a Celery worker's children must not outlive the test.
            let _ = std::process::Command::new("kill")
                .args(["-9", "--", &format!("-{pid}")])
                .stderr(Stdio::null())
                .status();
        }
    }
}
