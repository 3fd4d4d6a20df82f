//! A Redis server of our own, that a test may kill, and sentinels that watch one.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{Authority, free_port};

/// A busy machine takes seconds to start anything, and sentinels ask for replicas every ten.
const UP_WITHIN: Duration = Duration::from_secs(90);

/// A server on 127.0.0.1, with a port and a folder of its own; killed when this is dropped.
pub struct RedisServer {
    port: u16,
    tls_port: Option<u16>,
    /// The user that `redis-cli` is, as `user:password`.
    admin: Option<String>,
    process: Mutex<Option<Child>>,
    folder: TempDir,
}

/// How a server is set up.
#[derive(Default)]
pub struct RedisSetup<'s> {
    /// Signs its certificate for `localhost` and 127.0.0.1: it then speaks TLS on a second port, and keeps the authority's
    /// certificate as `ca.pem` in its folder.
    pub authority: Option<&'s Authority>,
    /// Wants clients' certificates of the same authority.
    pub client_certificates: bool,
    /// Further lines of its configuration.
    pub config: &'s [String],
    /// Its password: for `redis-cli` as well.
    pub password: Option<&'s str>,
}

impl RedisServer {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// When there is no Redis on this machine, or it does not start.
    pub fn start(setup: &RedisSetup<'_>) -> Result<Self> {
        let server = Self {
            port: free_port()?,
            tls_port: setup.authority.map(|_| free_port()).transpose()?,
            admin: setup.password.map(str::to_owned),
            process: Mutex::default(),
            folder: tempfile::tempdir()?,
        };
        let folder = server.folder.path();
        let mut config = format!(
            "bind 127.0.0.1\nport {}\nsave \"\"\nappendonly yes\ndir {}\nrepl-diskless-sync-delay 0\n",
            server.port,
            folder.display()
        );
        if let (Some(authority), Some(port)) = (setup.authority, server.tls_port) {
            authority.server(&["localhost", "127.0.0.1"])?.write(folder, "server")?;
            fs::write(folder.join("ca.pem"), authority.pem())?;
            let (folder, clients) = (folder.display(), if setup.client_certificates { "yes" } else { "no" });
            config.push_str(&format!(
                "tls-port {port}\ntls-ca-cert-file {folder}/ca.pem\ntls-cert-file {folder}/server.pem\n\
                 tls-key-file {folder}/server.key\ntls-auth-clients {clients}\n"
            ));
        }
        if let Some(password) = setup.password {
            config.push_str(&format!("requirepass {password}\nmasterauth {password}\n"));
        }
        config.extend(setup.config.iter().map(|line| format!("{line}\n")));
        fs::write(folder.join("redis.conf"), config)?;
        server.go_on()?;
        Ok(server)
    }

    /// Starts it (again) on the same data and ports.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn go_on(&self) -> Result<()> {
        *lock(&self.process) = Some(start(self.folder.path(), "redis.conf", &[])?);
        up(|| self.run(&["PING"]).contains("PONG"), self.folder.path())
    }

    /// Kills it at once, as a crash would.
    pub fn crash(&self) {
        end(&self.process);
    }

    /// The plain port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for TLS, of a server that was started with an authority.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One command on database 0, on the plain port, with the answer of `redis-cli`; empty when it cannot be reached.
    pub fn run(&self, command: &[&str]) -> String {
        cli(self.port, self.admin.as_deref(), command)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Three sentinels that watch one server; killed when this is dropped.
pub struct Sentinels {
    ports: Vec<u16>,
    tls_ports: Vec<u16>,
    password: Option<String>,
    processes: Vec<Mutex<Option<Child>>>,
    folder: TempDir,
}

impl Sentinels {
    /// Starts them; they know `master` as `name`, and fail over three seconds after it is gone: a busy machine leaves a server
    /// that is there without a processor for shorter than that. `password` is their own. Of a
    /// master that speaks TLS they tell the port for it, and speak it themselves on ports of their own, with its certificate.
    ///
    /// # Errors
    /// When they do not come up.
    pub fn start(master: &RedisServer, name: &str, password: Option<&str>) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, master.tls_port.unwrap_or(master.port));
        let three = || -> Result<Vec<u16>> { (0..3).map(|_| free_port()).collect() };
        let (ports, tls_ports) = (three()?, if master.tls_port.is_some() { three()? } else { Vec::new() });
        let password_of_all = password.map(str::to_owned);
        let mut sentinels = Self { ports, tls_ports, password: password_of_all, processes: Vec::new(), folder };
        for (number, own) in sentinels.ports.iter().enumerate() {
            let folder = sentinels.folder.path().join(own.to_string());
            fs::create_dir(&folder)?;
            let mut config = format!(
                "bind 127.0.0.1\nport {own}\ndir {}\nsentinel monitor {name} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {name} 3000\nsentinel failover-timeout {name} 10000\n",
                folder.display()
            );
            if let Some(own) = sentinels.tls_ports.get(number) {
                let shared = master.folder().display();
                config.push_str(&format!(
                    "tls-port {own}\ntls-replication yes\ntls-auth-clients no\ntls-ca-cert-file {shared}/ca.pem\n\
                     tls-cert-file {shared}/server.pem\ntls-key-file {shared}/server.key\n"
                ));
            }
            if let Some(password) = &master.admin {
                config.push_str(&format!("sentinel auth-pass {name} {password}\n"));
            }
            if let Some(password) = password {
                config.push_str(&format!("requirepass {password}\nsentinel sentinel-pass {password}\n"));
            }
            fs::write(folder.join("redis.conf"), config)?;
            sentinels.processes.push(Mutex::new(Some(start(&folder, "redis.conf", &["--sentinel"])?)));
        }
        // They have found each other, and the replica.
        let known = |port: u16| cli(port, sentinels.password.as_deref(), &["SENTINEL", "MASTER", name]);
        let knows = |port: u16| {
            let told = known(port);
            let lines: Vec<&str> = told.lines().collect();
            let value = |field: &str| lines.iter().position(|line| *line == field).and_then(|at| lines.get(at + 1));
            value("num-other-sentinels") == Some(&"2") && value("num-slaves").is_some_and(|count| *count != "0")
        };
        up(|| sentinels.ports.iter().all(|port| knows(*port)), sentinels.folder.path())?;
        Ok(sentinels)
    }

    /// Their plain ports.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Their ports for TLS; none unless the master speaks it.
    pub fn tls_ports(&self) -> &[u16] {
        &self.tls_ports
    }

    /// One command to one of them, with the answer of `redis-cli`.
    pub fn run(&self, number: usize, command: &[&str]) -> String {
        let port = self.ports.get(number).copied().unwrap_or_default();
        cli(port, self.password.as_deref(), command)
    }

    /// Kills one of them.
    pub fn crash(&self, number: usize) {
        if let Some(process) = self.processes.get(number) {
            end(process);
        }
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        self.processes.iter().for_each(end);
    }
}

fn start(folder: &Path, config: &str, args: &[&str]) -> Result<Child> {
    let log = fs::File::options().create(true).append(true).open(folder.join("log.txt"))?;
    let mut command = Command::new("redis-server");
    command.arg(folder.join(config)).args(args).process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log);
    command.spawn().context("there is no Redis here: run `scripts/setup test` first")
}

fn up(mut is_up: impl FnMut() -> bool, folder: &Path) -> Result<()> {
    let end = Instant::now() + UP_WITHIN;
    while !is_up() {
        let log = || fs::read_to_string(folder.join("log.txt")).unwrap_or_default();
        ensure!(Instant::now() < end, "Redis does not come up: {}", log());
        std::thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

fn end(process: &Mutex<Option<Child>>) {
    if let Some(mut child) = lock(process).take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn cli(port: u16, password: Option<&str>, command: &[&str]) -> String {
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &port.to_string()]);
    if let Some(password) = password {
        cli.args(["--no-auth-warning", "-a", password]);
    }
    let output = cli.args(command).stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
