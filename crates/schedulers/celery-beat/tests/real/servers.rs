//! Servers of a test's own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use taskplane_testkit::free_port;
use tempfile::TempDir;

use crate::harness::{Process, eventually};

/// Password of the user `site` on a [`MariaDb`].
pub(crate) const PASSWORD: &str = "p@ss word";

/// A MariaDB on 127.0.0.1 with a database `site`.
pub(crate) struct MariaDb {
    port: u16,
    folder: TempDir,
    process: Option<Process>,
}

impl MariaDb {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let mut install = Command::new("mariadb-install-db");
        install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]).args(as_root());
        let status = install.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let status = status.context("there is no MariaDB here: run `scripts/setup test` first")?;
        ensure!(status.success(), "mariadb-install-db failed");
        let mut server = Self { port: free_port()?, folder, process: None };
        server.go_on().await?;
        server.sql(&format!(
            "CREATE DATABASE site CHARACTER SET utf8mb4; CREATE USER 'site'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
             GRANT ALL ON site.* TO 'site'@'127.0.0.1';"
        ))?;
        Ok(server)
    }

    pub(crate) async fn go_on(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut command = Command::new("mariadbd");
        command.arg("--no-defaults").arg(format!("--datadir={}", folder.join("data").display()));
        command.arg(format!("--socket={}", folder.join("socket").display())).arg(format!("--port={}", self.port));
        command.arg(format!("--pid-file={}", folder.join("pid").display()));
        command
            .args(["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"])
            .args(as_root());
        self.process = Some(Process::start(&mut command, folder, "mariadb")?);
        eventually("MariaDB", async || Ok(self.sql("SELECT 1").ok())).await
    }

    /// Ends it at once.
    pub(crate) fn crash(&mut self) {
        self.process = None;
    }

    pub(crate) fn url(&self) -> String {
        format!("mysql://site:{}@127.0.0.1:{}/site", PASSWORD.replace('@', "%40").replace(' ', "%20"), self.port)
    }

    fn sql(&self, sql: &str) -> Result<()> {
        let mut client = Command::new("mariadb");
        client.arg("--no-defaults").arg(format!("--socket={}", self.folder.path().join("socket").display()));
        let output = client.args(["--user=root", "--execute", sql]).stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// The server refuses to run as root unless it is told to.
fn as_root() -> &'static [&'static str] {
    let id = Command::new("id").arg("-u").output();
    if id.is_ok_and(|output| output.stdout == b"0\n") { &["--user=root"] } else { &[] }
}

/// A Redis of its own; its URL.
pub(crate) async fn redis(folder: &Path) -> Result<(Process, String)> {
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let process = Process::start(command.arg("--dir").arg(folder), folder, "redis")?;
    let reached = async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok());
    eventually("Redis", reached).await?;
    Ok((process, format!("redis://127.0.0.1:{port}/0")))
}
