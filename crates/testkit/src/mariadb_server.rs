//! A MariaDB server of a test's own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::free_port;

/// Password of the user `site` on every [`MariaDbServer`].
const PASSWORD: &str = "p@ss word";
/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server on 127.0.0.1 with a database `site`; stopped when this is dropped.
pub struct MariaDbServer {
    port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl MariaDbServer {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// When there is no MariaDB on this machine, or it does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut install = Command::new("mariadb-install-db");
        install.arg("--no-defaults").arg(format!("--datadir={}", data(folder.path())));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]).args(as_root());
        let status = install.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let status = status.context("there is no MariaDB here: run `scripts/setup test` first")?;
        ensure!(status.success(), "mariadb-install-db failed");
        let mut server = Self { port: free_port()?, folder, process: None };
        server.go_on()?;
        server.sql(&format!(
            "CREATE DATABASE site CHARACTER SET utf8mb4; CREATE USER 'site'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
             GRANT ALL ON site.* TO 'site'@'127.0.0.1';"
        ))?;
        Ok(server)
    }

    /// Starts it again on the same data and port.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn go_on(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut command = Command::new("mariadbd");
        command.arg("--no-defaults").arg(format!("--datadir={}", data(folder)));
        command.arg(format!("--socket={}", folder.join("socket").display())).arg(format!("--port={}", self.port));
        command.arg(format!("--pid-file={}", folder.join("pid").display()));
        command.args(["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"]);
        let log = File::create(folder.join("log"))?;
        command.args(as_root()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn()?);
        let end = Instant::now() + PATIENCE;
        while let Err(error) = self.sql("SELECT 1") {
            ensure!(Instant::now() < end, "MariaDB does not come up: {error}");
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends it at once.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
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

impl Drop for MariaDbServer {
    fn drop(&mut self) {
        self.crash();
    }
}

fn data(folder: &Path) -> String {
    folder.join("data").display().to_string()
}

/// The server refuses to run as root unless it is told to.
fn as_root() -> &'static [&'static str] {
    let id = Command::new("id").arg("-u").output();
    if id.is_ok_and(|output| output.stdout == b"0\n") { &["--user=root"] } else { &[] }
}
