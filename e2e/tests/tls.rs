//! The real binaries over TLS, below a base path: configuration from a file, an agent with a CA of its own, the operator's
//! commands, a renewed certificate; and a browser behind a reverse proxy.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskplane_e2e::{
    BrainStore, CeleryApp, PATIENCE, Process, Producer, binary, eventually, free_port, repository, run_binary,
};
use taskplane_testkit::Authority;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// A Redis with a worker, and room for a brain and an agent.
struct Ground {
    folder: TempDir,
    store: BrainStore,
    broker: String,
    celery: CeleryApp,
    producer: Producer,
    port: u16,
    _redis: Process,
}

impl Ground {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (port, redis_port) = (free_port()?, free_port()?);
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &redis_port.to_string()]);
        command.arg("--dir").arg(folder.path());
        let redis = Process::start("redis", folder.path(), command)?;
        eventually("Redis", async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", redis_port)).await.ok())).await?;
        let broker = format!("redis://127.0.0.1:{redis_port}/0");
        let celery = CeleryApp::new(&broker)?;
        let producer = celery.producer().await?;
        let store = BrainStore::new(&folder.path().join("brain"))?;
        Ok(Self { folder, store, broker, celery, producer, port, _redis: redis })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the binary on the brain's data.
    async fn make(&self, args: &[&str]) -> Result<String> {
        let [flag, place] = self.store.options();
        let output = run_binary(&[args, &[&flag, &place]].concat()).await?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn brain(&self, args: &[&str]) -> Result<Process> {
        let mut command = Command::new(binary()?);
        command.args(["brain", "--listen", &format!("127.0.0.1:{}", self.port)]).args(self.store.options()).args(args);
        Process::start("brain", self.folder.path(), command)
    }

    async fn agent(&self, args: &[&str]) -> Result<Process> {
        let mut command = Command::new(binary()?);
        command.args(["agent", "--name", "sidecar", "--celery", &self.broker, "--data-dir"]).arg(self.path("agent"));
        command.args(args).env("TASKPLANE_TOKEN", self.make(&["token", "create", "--project", "default"]).await?);
        Process::start("agent", self.folder.path(), command)
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The operator's commands, with a CA if there is one.
struct Operator {
    url: String,
    key: String,
    ca: Option<PathBuf>,
}

impl Operator {
    async fn run(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary()?);
        command.args(args).env("TASKPLANE_URL", &self.url).env("TASKPLANE_API_KEY", &self.key);
        if let Some(ca) = &self.ca {
            command.env("TASKPLANE_CA_CERT", ca);
        }
        Ok(command.stdin(Stdio::null()).output().await?)
    }

    /// Waits until a worker and its queues are known: from then on the agent hears of all that it does.
    async fn knows_a_worker(&self) -> Result<()> {
        eventually("a worker", async || {
            let output = self.run(&["workers", "list", "--json"]).await?;
            ensure!(output.status.success(), "{}", text(&output));
            let workers: Value = serde_json::from_slice(&output.stdout)?;
            Ok(workers[0]["queues"].as_array().is_some_and(|queues| !queues.is_empty()).then_some(()))
        })
        .await
    }

    async fn sees(&self, task_id: &str, state: &str) -> Result<()> {
        eventually(&format!("{task_id} {state}"), async || {
            let output = self.run(&["tasks", "show", task_id, "--json"]).await?;
            ensure!(output.status.success(), "{}", text(&output));
            let task: Value = serde_json::from_slice(&output.stdout)?;
            Ok((task["state"] == state).then_some(()))
        })
        .await
    }
}

#[tokio::test]
async fn over_tls_and_below_a_base_path_everybody_sees_a_task_and_a_renewed_certificate_disturbs_nobody() -> Result<()>
{
    let mut ground = Ground::new().await?;
    let authority = Authority::new("the first")?;
    let (cert, key) = authority.server(&["localhost"])?.write(ground.folder.path(), "brain")?;
    let ca = ground.path("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let agents = Authority::new("of agents")?;
    let agents_ca = ground.path("agents-ca.pem");
    std::fs::write(&agents_ca, agents.pem())?;
    let (client_cert, client_key) = agents.client("sidecar")?.write(ground.folder.path(), "agent")?;
    let config = ground.path("brain.toml");
    std::fs::write(
        &config,
        format!(
            "[brain]\ntls-cert = {cert:?}\ntls-key = {key:?}\ntls-client-ca = {agents_ca:?}\nbase-path = \"/ops/tasks\"\ntrusted-proxy = [\"10.0.0.0/8\"]\n"
        ),
    )?;
    let brain = ground.brain(&["--config", config.to_str().context("UTF-8")?])?;
    let url = format!("https://localhost:{}/ops/tasks", ground.port);
    let api_key = ground.make(&["api-key", "create", "--project", "default", "--role", "operator"]).await?;
    let operator = Operator { url: url.clone(), key: api_key.clone(), ca: Some(ca.clone()) };
    let ready =
        eventually("the brain", async || Ok(operator.run(&["agents", "list"]).await?.status.success().then_some(())));
    ready.await.with_context(|| brain.log())?;
    let at = format!("is at https://127.0.0.1:{}/ops/tasks\n", ground.port);
    assert!(brain.log().contains(&at), "{}", brain.log());

    let text_of = |path: &PathBuf| path.to_str().map(str::to_owned).context("UTF-8");
    let (ca_text, cert_text, key_text) = (text_of(&ca)?, text_of(&client_cert)?, text_of(&client_key)?);
    let with_certificate = ["--ca-cert", &ca_text, "--client-cert", &cert_text, "--client-key", &key_text];
    let agent = ground.agent(&[&["--brain", url.as_str()], &with_certificate[..]].concat()).await?;
    let listed = operator.run(&[&["agents", "list"], &with_certificate[..]].concat()).await?;
    assert!(listed.status.success(), "a command may show a certificate, too: {}", text(&listed));
    let _worker = ground.celery.worker("w1", "default", ground.folder.path())?;
    let logs = || format!("{}\n{}", brain.log(), agent.log());
    operator.knows_a_worker().await.with_context(logs)?;
    let first = ground.producer.send("shop.add", json!([1, 2]), json!({}), "default").await?;
    operator.sees(&first, "succeeded").await.with_context(logs)?;

    let as_operator = |url: String, ca: Option<PathBuf>| Operator { url, key: api_key.clone(), ca };
    for (operator, says) in [
        (as_operator(url.clone(), None), "--ca-cert"),
        (as_operator(url.replace("https", "http"), None), "speaks TLS: begin --url with https://"),
        (as_operator(url.replace("localhost", "127.0.0.1"), Some(ca.clone())), "use a name in --url"),
    ] {
        let refused = operator.run(&["agents", "list"]).await?;
        assert!(!refused.status.success() && text(&refused).contains(says), "{}", text(&refused));
    }

    // From another authority, which the agent does not trust: were its connection ended, it could not come back.
    let other = Authority::new("the second")?;
    other.server(&["localhost"])?.write(ground.folder.path(), "brain")?;
    let other_ca = ground.path("other-ca.pem");
    std::fs::write(&other_ca, other.pem())?;
    let pid = brain.pid().context("a running brain")?.to_string();
    ensure!(Command::new("kill").args(["-HUP", &pid]).status().await?.success(), "SIGHUP");
    let operator = Operator { url, key: api_key, ca: Some(other_ca) };
    eventually("the new certificate", async || {
        Ok(operator.run(&["agents", "list"]).await?.status.success().then_some(()))
    })
    .await
    .with_context(logs)?;
    let second = ground.producer.send("shop.add", json!([3, 4]), json!({}), "default").await?;
    operator.sees(&second, "succeeded").await.with_context(logs)?;
    assert_eq!(agent.log().matches("disconnected").count(), 0, "{}", agent.log());
    Ok(())
}

#[tokio::test]
async fn a_brain_without_tls_does_not_listen_on_the_network() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().to_str().context("UTF-8")?;
    let refused = run_binary(&["brain", "--listen", "0.0.0.0:0", "--data-dir", data]).await?;
    assert!(!refused.status.success() && text(&refused).contains("--tls-cert and --tls-key"), "{}", text(&refused));
    let half = run_binary(&["brain", "--tls-cert", "cert.pem", "--data-dir", data]).await?;
    assert_eq!(half.status.code(), Some(2), "{}", text(&half));
    assert!(text(&half).contains("belong together"), "{}", text(&half));
    Ok(())
}

/// Signs in and watches a task appear, with everything below `prefix` of a proxy that has TLS and, if `strips`, takes the
/// prefix off.
async fn browse(prefix: &str, strips: bool) -> Result<()> {
    let mut ground = Ground::new().await?;
    let (cert, key) = Authority::new("the proxy's")?.server(&["127.0.0.1"])?.write(ground.folder.path(), "proxy")?;
    let proxy_port = free_port()?;
    let public_url = format!("https://127.0.0.1:{proxy_port}{prefix}");
    // Where the proxy tells its prefix, the brain need not know it.
    let known: &[&str] = if strips { &[] } else { &["--public-url", &public_url] };
    let brain = ground.brain(&[&["--trusted-proxy", "127.0.0.1"], known].concat())?;
    let ready = format!("http://127.0.0.1:{}/readyz", ground.port);
    let answered =
        eventually("the brain", async || Ok(reqwest::get(&ready).await?.status().is_success().then_some(())));
    answered.await.with_context(|| brain.log())?;
    let _agent = ground.agent(&["--brain", &format!("ws://127.0.0.1:{}", ground.port)]).await?;
    let _worker = ground.celery.worker("w1", "default", ground.folder.path())?;
    let viewer = ground.make(&["api-key", "create", "--project", "default", "--role", "viewer"]).await?;
    let operator = Operator { url: format!("http://127.0.0.1:{}", ground.port), key: viewer, ca: None };
    operator.knows_a_worker().await.with_context(|| brain.log())?;
    let link = ground.make(&["signin-link", "--public-url", &public_url]).await?;

    let setting = json!({
        "link": link, "prefix": prefix, "strips": strips, "port": proxy_port, "brain": ground.port, "cert": cert, "key": key,
    });
    let mut browser = Command::new("node")
        .arg(repository().join("dashboard/e2e/below_prefix.mjs"))
        .arg(setting.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting node")?;
    let mut input = browser.stdin.take().context("the script's input")?;
    let mut steps = BufReader::new(browser.stdout.take().context("the script's output")?).lines();
    let mut next = async |name: &str| -> Result<Value> {
        let line = tokio::time::timeout(PATIENCE, steps.next_line()).await;
        let line = line.with_context(|| format!("waiting for {name}"))??;
        let step: Value = serde_json::from_str(&line.with_context(|| format!("the script ended before {name}"))?)?;
        ensure!(step["step"] == name, "expected {name}, got {step}");
        Ok(step)
    };
    next("live").await.with_context(|| brain.log())?;
    let task = ground.producer.send("shop.charge", json!([17]), json!({}), "default").await?;
    input.write_all(format!("{}\n", json!({"task_id": task})).as_bytes()).await?;
    let seen = next("seen").await.with_context(|| brain.log())?;
    assert_eq!(seen["problems"], json!([]), "the page had no errors");
    assert_eq!(seen["strays"], json!([]), "everything was asked for below the prefix");
    assert_eq!(seen["cookie"], json!({"path": format!("{prefix}/"), "secure": true}));
    Ok(())
}

#[tokio::test]
async fn the_dashboard_works_below_a_path_that_a_proxy_leaves_on() -> Result<()> {
    browse("/ops/tasks", false).await
}

#[tokio::test]
async fn the_dashboard_works_below_a_path_that_a_proxy_takes_off_and_tells() -> Result<()> {
    browse("/queues", true).await
}
