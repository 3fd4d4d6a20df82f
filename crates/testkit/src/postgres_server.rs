//! A PostgreSQL server that a test may stop, for what a shared one must not be put through.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{Issued, free_port};

/// Seconds that it may take to come up or to end on a busy machine.
const PATIENCE: &str = "180";

/// Password of the user `postgres` on every [`PostgresServer`].
pub const POSTGRES_PASSWORD: &str = "correct horse";

/// A server on 127.0.0.1 that asks for a password; stopped when this is dropped.
pub struct PostgresServer {
    binaries: PathBuf,
    port: u16,
    folder: TempDir,
}

impl PostgresServer {
    /// Makes and starts a server, with TLS if it is given a certificate.
    ///
    /// # Errors
    /// When there is no PostgreSQL on this machine, or it does not start.
    pub fn start(certificate: Option<&Issued>) -> Result<Self> {
        let server = Self { binaries: binaries()?, port: free_port()?, folder: tempfile::tempdir()? };
        let folder = server.folder.path();
        let password = folder.join("password");
        fs::write(&password, POSTGRES_PASSWORD)?;
        server.give(folder)?;
        server.give(&password)?;
        let mut init = server.command("initdb");
        init.args(["--username", "postgres", "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"]);
        run(init.arg("--pwfile").arg(&password))?;
        if let Some(certificate) = certificate {
            for (name, text) in [("server.crt", &certificate.cert), ("server.key", &certificate.key)] {
                let file = server.data().join(name);
                fs::write(&file, text)?;
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
                server.give(&file)?;
            }
            fs::OpenOptions::new()
                .append(true)
                .open(server.data().join("postgresql.conf"))
                .and_then(|mut file| std::io::Write::write_all(&mut file, b"\nssl = on\n"))?;
        }
        server.go_on()?;
        Ok(server)
    }

    /// Starts it again on the same data and port.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn go_on(&self) -> Result<()> {
        let folder = self.folder.path().display();
        let options =
            format!("-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='{folder}'", self.port);
        let mut start = self.command("pg_ctl");
        start
            .args(["start", "--wait", "--timeout", PATIENCE, "--options", &options, "--log"])
            .arg(self.folder.path().join("log"));
        run(&mut start)
    }

    /// Ends it as a crash would: nobody is told, and the next start has to recover.
    ///
    /// # Errors
    /// When it does not end.
    pub fn crash(&self) -> Result<()> {
        run(self.command("pg_ctl").args(["stop", "--mode", "immediate", "--timeout", PATIENCE]))
    }

    /// The URL of its database `postgres`, with the right password.
    pub fn url(&self) -> String {
        self.url_as(POSTGRES_PASSWORD, "postgres")
    }

    /// A URL with any password and database.
    pub fn url_as(&self, password: &str, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", password.replace(' ', "%20"), self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        // The server refuses to run as root.
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/").arg("--pgdata").arg(self.data());
        command
    }

    /// Gives a file to the user that the server runs as.
    fn give(&self, path: &Path) -> Result<()> {
        if is_root() { run(Command::new("chown").arg("postgres").arg(path)) } else { Ok(()) }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = self.crash();
    }
}

/// Debian keeps the server's programs out of the way.
fn binaries() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    found.pop().or_else(on_path).context("there is no PostgreSQL server here: run `scripts/setup test` first")
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

fn run(command: &mut Command) -> Result<()> {
    // The server inherits what it starts with: a pipe would never end.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
