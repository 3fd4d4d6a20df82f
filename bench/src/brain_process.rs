//! A real brain in a process of its own, and what it uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use taskplane_model::Timestamp;
use tokio::process::{Child, Command};

/// Where the brain's data is.
pub(crate) enum BrainStore {
    /// In a folder, on SQLite.
    Folder(PathBuf),
    /// On PostgreSQL.
    Database(String),
}

impl BrainStore {
    /// Bytes of all its files; `None` when they are not ours to count.
    pub(crate) fn bytes_on_disk(&self) -> Result<Option<u64>> {
        match self {
            Self::Folder(folder) => folder_bytes(folder).map(Some),
            Self::Database(_) => Ok(None),
        }
    }

    /// Says it to the binary.
    fn tell(&self, command: &mut Command) {
        match self {
            Self::Folder(folder) => command.arg("--data-dir").arg(folder),
            // Not as an argument, which everybody on the machine can read.
            Self::Database(url) => command.env("TASKPLANE_DATABASE_URL", url),
        };
    }
}

/// A running brain.
pub(crate) struct BrainProcess {
    child: Child,
    port: u16,
    spawned: Instant,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU seconds, user and system.
    pub(crate) cpu_seconds: f64,
    /// Resident memory now.
    pub(crate) rss_mib: f64,
    /// Most resident memory ever.
    pub(crate) peak_rss_mib: f64,
}

impl BrainProcess {
    /// Starts a brain on a free port and waits until it is ready.
    pub(crate) async fn start(binary: &Path, store: &BrainStore) -> Result<Self> {
        Self::start_with(binary, store, &[]).await
    }

    /// Starts a brain that is told `args` besides, on a free port, and waits until it is ready.
    pub(crate) async fn start_with(binary: &Path, store: &BrainStore, args: &[String]) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Self::spawn(port, binary, store, args).await
    }

    /// Starts a brain where another one was, and waits until it is ready.
    pub(crate) async fn start_on(port: u16, binary: &Path, store: &BrainStore) -> Result<Self> {
        Self::spawn(port, binary, store, &[]).await
    }

    async fn spawn(port: u16, binary: &Path, store: &BrainStore, args: &[String]) -> Result<Self> {
        let mut command = Command::new(binary);
        store.tell(command.args(["brain", "--listen", &format!("127.0.0.1:{port}")]).args(args));
        if std::env::var_os("TASKPLANE_LOG").is_none() {
            // Thousands of agents that connect would hide what went wrong.
            command.env("TASKPLANE_LOG", "warn");
        }
        let spawned = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {} (build it with `make build`)", binary.display()))?;
        let brain = Self { child, port, spawned };
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let ready = reqwest::get(format!("{}/readyz", brain.api_url())).await;
            if ready.is_ok_and(|response| response.status().is_success()) {
                return Ok(brain);
            }
            ensure!(Instant::now() < until, "the brain was not ready within 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// When its process was started.
    pub(crate) fn spawned(&self) -> Instant {
        self.spawned
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn websocket_url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.port)
    }

    /// What it has used so far (Linux `/proc`).
    pub(crate) fn usage(&self) -> Result<Usage> {
        /// Clock ticks per second in `/proc/<pid>/stat`; 100 on every Linux that Rust runs on.
        const TICKS: f64 = 100.0;
        let pid = self.child.id().context("the brain has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field).and_then(|f| f.parse::<f64>().ok()).context("reading /proc stat");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
        };
        Ok(Usage {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS,
            rss_mib: mib("VmRSS:"),
            peak_rss_mib: mib("VmHWM:"),
        })
    }

    /// Kills it with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("killing the brain")
    }

    /// Ends it.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.kill().await
    }
}

/// Runs the binary for a secret that it prints.
pub(crate) async fn secret(binary: &Path, store: &BrainStore, args: &[&str]) -> Result<String> {
    let mut command = Command::new(binary);
    store.tell(command.args(args));
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("starting {} (build it with `make build`)", binary.display()))?;
    ensure!(output.status.success(), "{args:?} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Bytes of all files in a folder and below.
fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}
