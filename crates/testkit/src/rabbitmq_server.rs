//! A RabbitMQ server of our own, that a test may kill.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{Issued, free_port};

/// A busy machine takes half a minute to start Erlang and RabbitMQ.
const UP_WITHIN: Duration = Duration::from_secs(120);

/// A node on 127.0.0.1, with ports, data and an Erlang name of its own; killed when this is dropped. Everybody is `guest`.
pub struct RabbitMqServer {
    programs: PathBuf,
    port: u16,
    tls_port: Option<u16>,
    dist_port: u16,
    epmd_port: u16,
    process: Mutex<Option<Child>>,
    vhosts: AtomicU32,
    folder: TempDir,
}

impl RabbitMqServer {
    /// The server of this process: started for the first test that asks, killed after the last one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<RabbitMqServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start(None)?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// Makes and starts a server; with TLS on a second port if it is given a certificate.
    ///
    /// # Errors
    /// When there is no RabbitMQ on this machine, or it does not start.
    pub fn start(certificate: Option<&Issued>) -> Result<Self> {
        let server = Self {
            programs: programs()?,
            port: free_port()?,
            tls_port: certificate.map(|_| free_port()).transpose()?,
            dist_port: free_port()?,
            epmd_port: free_port()?,
            process: Mutex::default(),
            vhosts: AtomicU32::new(0),
            folder: tempfile::tempdir()?,
        };
        let folder = server.folder.path();
        fs::write(folder.join("plugins"), "[].")?;
        let mut config = "loopback_users = none\n".to_owned();
        if let (Some(certificate), Some(port)) = (certificate, server.tls_port) {
            fs::write(folder.join("cert.pem"), &certificate.cert)?;
            fs::write(folder.join("key.pem"), &certificate.key)?;
            let folder = folder.display();
            config.push_str(&format!(
                "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {folder}/cert.pem\n\
                 ssl_options.certfile = {folder}/cert.pem\nssl_options.keyfile = {folder}/key.pem\n\
                 ssl_options.verify = verify_none\n"
            ));
        }
        fs::write(folder.join("rabbitmq.conf"), config)?;
        server.go_on()?;
        Ok(server)
    }

    /// Starts it (again) on the same data and ports.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn go_on(&self) -> Result<()> {
        let log = fs::File::create(self.folder.path().join("log.txt"))?;
        let mut command = self.command("rabbitmq-server");
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        *self.lock() = Some(command.spawn().context("starting RabbitMQ")?);
        let end = Instant::now() + UP_WITHIN;
        let log = || fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default();
        while !log().contains("Server startup complete") || TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            ensure!(!ended && Instant::now() < end, "RabbitMQ does not come up: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Kills it at once, as a crash would.
    pub fn crash(&self) {
        if let Some(mut child) = self.lock().take() {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
            let _ = child.wait();
        }
    }

    /// The port for AMQP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new virtual host that `guest` may do everything in; its name.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn add_vhost(&self) -> Result<String> {
        let name = format!("v{}", self.vhosts.fetch_add(1, Ordering::Relaxed));
        self.eval(&format!(
            "rabbit_vhost:add(<<\"{name}\">>, <<\"test\">>), rabbit_auth_backend_internal:set_permissions(\
             <<\"guest\">>, <<\"{name}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"test\">>)."
        ))?;
        Ok(name)
    }

    /// The URL of a virtual host, as Celery writes it.
    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.port)
    }

    /// The URL of a virtual host over TLS, for a server that was started with a certificate.
    pub fn tls_url(&self, host: &str, vhost: &str) -> Option<String> {
        self.tls_port.map(|port| format!("amqps://guest:guest@{host}:{port}/{vhost}"))
    }

    /// Evaluates Erlang on the node; returns what that prints.
    ///
    /// # Errors
    /// When the node refuses.
    pub fn eval(&self, code: &str) -> Result<String> {
        self.control(&["eval", code])
    }

    /// Runs `rabbitmqctl`; returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn control(&self, args: &[&str]) -> Result<String> {
        let output = self.command("rabbitmqctl").arg("--quiet").args(args).stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(output.status.success(), "{args:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }

    fn command(&self, program: &str) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir(folder)
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", format!("taskplane{}@localhost", self.port))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none")
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("logs"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        command
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RabbitMqServer {
    fn drop(&mut self) {
        self.crash();
        // Erlang's name server outlives the node that started it; this one was for our node alone. It refuses until it has
        // noticed that the node is gone.
        for _ in 0..40 {
            let mut epmd = Command::new("epmd");
            epmd.args(["-port", &self.epmd_port.to_string(), "-kill"]).env("ERL_EPMD_ADDRESS", "127.0.0.1");
            match epmd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
                Ok(status) if !status.success() => std::thread::sleep(Duration::from_millis(50)),
                _ => break,
            }
        }
    }
}

/// Debian's programs on the path insist on the system's own node; those below them do not.
fn programs() -> Result<PathBuf> {
    let here = |folder: &Path| folder.join("rabbitmq-server").exists() && folder.join("rabbitmqctl").exists();
    let versions = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten();
    let mut found: Vec<PathBuf> =
        versions.filter_map(|version| Some(version.ok()?.path().join("sbin"))).filter(|folder| here(folder)).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).find(|folder| here(folder));
    found.pop().or_else(on_path).context("there is no RabbitMQ here: run `scripts/setup test` first")
}
