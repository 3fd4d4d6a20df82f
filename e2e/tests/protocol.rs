//! The published protocol: the brain keeps every rule that the conformance program knows, and an agent that was written
//! from the document alone loses nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskplane_e2e::{Api, BrainStore, Process, all_tasks, binary, eventually, free_port, repository, run_binary};
use taskplane_testkit::Authority;
use tempfile::TempDir;
use tokio::process::Command;

/// A brain and its keys.
struct Brain {
    process: Option<Process>,
    port: u16,
    token: String,
    key: String,
    store: BrainStore,
    folder: TempDir,
}

impl Brain {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = BrainStore::new(&folder.path().join("brain"))?;
        let secret = async |args: &[&str]| -> Result<String> {
            let [flag, place] = store.options();
            let output = run_binary(&[args, &[&flag, &place]].concat()).await?;
            ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        let token = secret(&["token", "create"]).await?;
        let key = secret(&["api-key", "create", "--role", "admin"]).await?;
        let mut brain = Self { process: None, port: free_port()?, token, key, store, folder };
        brain.run().await?;
        Ok(brain)
    }

    /// Starts the process, on the same folder and port as before.
    async fn run(&mut self) -> Result<()> {
        let mut command = Command::new(binary()?);
        command.args(["brain", "--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(self.store.options());
        let process = Process::start("brain", self.folder.path(), command)?;
        let ready = format!("http://127.0.0.1:{}/readyz", self.port);
        eventually("the brain", async || Ok(reqwest::get(&ready).await?.status().is_success().then_some(())))
            .await
            .with_context(|| process.log())?;
        self.process = Some(process);
        Ok(())
    }

    async fn crash(&mut self) -> Result<()> {
        self.process.take().context("the brain")?.kill().await
    }

    fn websocket(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    fn api(&self) -> Api {
        Api::new(&format!("http://127.0.0.1:{}", self.port), &self.key)
    }

    fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}

/// Takes 20 s: it waits for a ping.
#[tokio::test]
async fn the_brain_keeps_every_rule() -> Result<()> {
    let brain = Brain::start().await?;
    let (url, token, key) = (brain.websocket(), &brain.token, &brain.key);
    let args = ["conformance", "--brain", &url, "--token", token, "--api-key", key, "--format", "json"];
    let output = run_binary(&args).await?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no report: {}", String::from_utf8_lossy(&output.stderr)))?;
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{}", brain.log());
    let rules = report["rules"].as_array().context("rules")?;
    let slow = ["heartbeat.timeout", "heartbeat.keeps-alive", "longpoll.expiry"];
    for rule in rules {
        let id = rule["id"].as_str().context("an id")?;
        let expected = if slow.contains(&id) { "untested" } else { "kept" };
        assert_eq!(rule["verdict"], expected, "{rule}");
    }
    assert!(rules.len() > 60);
    Ok(())
}

#[tokio::test]
async fn rules_can_be_chosen_and_listed_and_mistakes_are_named() -> Result<()> {
    let list = run_binary(&["conformance", "--list"]).await?;
    let list = String::from_utf8(list.stdout)?;
    assert!(list.lines().any(|line| line.starts_with("ack.first ")), "{list}");

    let brain = Brain::start().await?;
    let (url, token) = (brain.websocket(), &brain.token);
    let output = run_binary(&["conformance", "--brain", &url, "--token", token, "--only", "ack.first"]).await?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("✓ ack.first") && text.contains("1 rules kept, 0 broken"), "{text}");

    let nobody = format!("ws://127.0.0.1:{}", free_port()?);
    for (args, code, words) in [
        (vec!["conformance"], 2, "--brain"),
        (vec!["conformance", "--brain", "nowhere", "--token", "t"], 2, "ws://127.0.0.1:7440"),
        (vec!["conformance", "--brain", &url, "--token", token, "--only", "no.such"], 2, "no.such"),
        (vec!["conformance", "--brain", &nobody, "--token", "t"], 1, "cannot be reached"),
        (vec!["conformance", "--brain", &url, "--token", "tpa_wrong"], 1, "refuses the token"),
    ] {
        let output = run_binary(&args).await?;
        let error = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn rules_are_checked_over_tls_with_a_certificate_of_ones_own() -> Result<()> {
    let mut brain = Brain::start().await?;
    brain.crash().await?;
    let (authority, agents) = (Authority::new("brains")?, Authority::new("agents")?);
    let folder = brain.folder.path();
    let (cert, key) = authority.server(&["127.0.0.1"])?.write(folder, "brain")?;
    let (client_cert, client_key) = agents.client("conformance")?.write(folder, "client")?;
    let (ca, client_ca) = (folder.join("ca.pem"), folder.join("client-ca.pem"));
    std::fs::write(&ca, authority.pem())?;
    std::fs::write(&client_ca, agents.pem())?;
    let mut command = Command::new(binary()?);
    command.args(["brain", "--listen", &format!("127.0.0.1:{}", brain.port)]).args(brain.store.options());
    command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key).arg("--tls-client-ca").arg(&client_ca);
    brain.process = Some(Process::start("brain", folder, command)?);

    let path = |path: &Path| path.to_str().context("a path in UTF-8").map(str::to_owned);
    let (url, ca) = (format!("wss://127.0.0.1:{}", brain.port), path(&ca)?);
    let (client_cert, client_key) = (path(&client_cert)?, path(&client_key)?);
    let mut args = vec!["conformance", "--brain", &url, "--token", &brain.token, "--only", "ack.first"];
    args.extend(["--only", "longpoll.session", "--only", "handshake.no-token"]);
    args.extend(["--client-cert", &client_cert, "--client-key", &client_key]);
    let trusting = [args.clone(), vec!["--ca-cert", &ca]].concat();
    eventually("the rules kept", async || {
        let output = run_binary(&trusting).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.contains("3 rules kept, 0 broken"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(Some(()))
    })
    .await
    .with_context(|| brain.log())?;
    let strangers = run_binary(&args).await?;
    assert_eq!(strangers.status.code(), Some(1));
    let error = String::from_utf8(strangers.stderr)?;
    assert!(error.contains("cannot be reached") && error.contains("certificate"), "{error}");
    Ok(())
}

/// The example agent, and the file that it watches.
struct Example {
    process: Option<Process>,
    events: PathBuf,
    folder: PathBuf,
    brain: String,
    token: String,
}

impl Example {
    fn new(brain: &Brain) -> Self {
        let folder = brain.folder.path().to_owned();
        let events = folder.join("events.jsonl");
        Self { process: None, events, folder, brain: brain.websocket(), token: brain.token.clone() }
    }

    fn run(&mut self) -> Result<()> {
        let venv = std::env::var_os("TASKPLANE_TEST_VENV").map_or_else(|| repository().join(".venv"), PathBuf::from);
        let mut command = Command::new(venv.join("bin/python"));
        command.arg(repository().join("examples/minimal_agent.py"));
        command.args(["--brain", &self.brain, "--name", "lines-01"]).arg(&self.events);
        command.env("TASKPLANE_TOKEN", &self.token);
        self.process = Some(Process::start("example", &self.folder, command)?);
        Ok(())
    }

    async fn crash(&mut self) -> Result<()> {
        self.process.take().context("the agent")?.kill().await
    }

    fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}

/// The application: appends the two events of each of these tasks.
fn work(events: &Path, tasks: std::ops::Range<u32>) -> Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(events)?;
    for task in tasks {
        for (event_type, second) in [("task_sent", 0), ("task_succeeded", 1)] {
            let event = json!({
                "event_type": event_type, "task_id": format!("line-{task}"), "engine": "lines", "name": "lines.task",
                "ts": format!("2026-11-22T{:02}:{:02}:{second:02}Z", task / 60 % 24, task % 60),
            });
            writeln!(file, "{event}")?;
        }
    }
    Ok(())
}

async fn known(api: &Api) -> Result<usize> {
    Ok(all_tasks(api).await?.len())
}

#[tokio::test]
async fn the_example_agent_delivers_everything_once_through_crashes_on_both_sides() -> Result<()> {
    const ROUNDS: u32 = 4;
    const TASKS: u32 = 150;
    let mut brain = Brain::start().await?;
    let api = brain.api();
    let mut agent = Example::new(&brain);
    for round in 0..ROUNDS {
        agent.run()?;
        work(&agent.events, round * TASKS..round * TASKS + TASKS / 2)?;
        eventually("the agent at work", async || {
            // Something of this round has come; more is on its way.
            Ok((known(&api).await? > (round * TASKS) as usize).then_some(()))
        })
        .await
        .with_context(|| agent.log())?;
        work(&agent.events, round * TASKS + TASKS / 2..(round + 1) * TASKS)?;
        if round % 2 == 0 {
            agent.crash().await?;
            brain.crash().await?;
        } else {
            brain.crash().await?;
            agent.crash().await?;
        }
        brain.run().await?;
    }
    agent.run()?;
    let total = (ROUNDS * TASKS) as usize;
    let tasks = eventually("all tasks", async || {
        let tasks = all_tasks(&api).await?;
        let done = tasks.iter().filter(|task| task["state"] == "succeeded").count();
        Ok((done >= total).then_some(tasks))
    })
    .await
    .with_context(|| format!("{}\n{}", agent.log(), brain.log()))?;
    assert_eq!(tasks.len(), total);
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for task in 0..total {
        let events = api.get(&format!("tasks/lines/line-{task}/events")).await?;
        *counts.entry(events["items"].as_array().context("events")?.len()).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from([(2, total)]), "tasks by their number of stored events");
    let agents = api.get("agents").await?;
    let known = &agents["items"][0];
    assert_eq!(
        (&known["name"], &known["lost_batches"], &known["problem"]),
        (&json!("lines-01"), &json!(0), &Value::Null)
    );

    let refused = api.command("purge_queue", json!({"engine": "lines", "queue": "default"})).await?;
    assert_eq!((&refused["status"], &refused["error"]), (&json!("failed"), &json!("unsupported_command")), "{refused}");
    let (status, command) =
        api.post("commands", &json!({"cmd": "restart_agent", "args": {}, "agent": "lines-01"})).await?;
    ensure!(status == 202, "{status} {command}");
    let path = format!("commands/{}?wait=10", command["id"].as_str().context("an id")?);
    eventually("the restart", async || Ok((api.get(&path).await?["status"] == "succeeded").then_some(()))).await?;
    Ok(())
}

#[tokio::test]
async fn the_example_agent_stops_where_the_protocol_says_so() -> Result<()> {
    let brain = Brain::start().await?;
    let mut agent = Example::new(&brain);
    agent.token = "tpa_wrong".to_owned();
    agent.run()?;
    let process = agent.process.take().context("the agent")?;
    let log = eventually("the agent stopped", async || {
        let log = process.log();
        Ok(log.contains("stopped").then_some(log))
    })
    .await?;
    assert!(log.contains("give this agent another token"), "{log}");
    assert_eq!(process.wait().await?, Some(1));
    Ok(())
}
