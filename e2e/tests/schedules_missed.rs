//! A real beat that is stopped: what it should have run is overdue, then missed, until it is back.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskplane_e2e::{Process, Stack, StackOptions, binary, eventually, eventually_within, repository, run_binary};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// What is due every ten seconds is overdue after thirty, and missed after seventy once the scheduler has shown that it writes
/// its record at once.
const LONG: Duration = Duration::from_secs(300);

/// A Django site with django-celery-beat on SQLite.
struct Site {
    database: PathBuf,
    broker: String,
}

impl Site {
    async fn make(folder: &Path, broker: &str) -> Result<Self> {
        let site = Self { database: folder.join("site.db"), broker: broker.to_owned() };
        ensure!(site.ask(&json!({"do": "migrate"})).await? == json!(true));
        Ok(site)
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.database.display())
    }

    fn python(&self) -> Command {
        let venv = std::env::var_os("TASKPLANE_TEST_VENV").map_or_else(|| repository().join(".venv"), PathBuf::from);
        let mut command = Command::new(venv.join("bin/python"));
        command.current_dir(repository().join("e2e/app")).env("BROKER_URL", &self.broker);
        command.env("SITE_DATABASE", self.url()).env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// One question to the site, in a process of its own.
    async fn ask(&self, question: &Value) -> Result<Value> {
        let mut command = self.python();
        command.args(["-m", "beat_site"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("starting the site")?;
        let mut input = child.stdin.take().context("its input")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        input.write_all(format!("{question}\n").as_bytes()).await?;
        let answer = lines.next_line().await?.context("the site has ended")?;
        Ok(serde_json::from_str(&answer)?)
    }

    fn beat(&self, folder: &Path) -> Result<Process> {
        let mut command = self.python();
        command.args(["-m", "celery", "-A", "beat_site", "beat", "--pidfile=", "--max-interval", "1"]);
        command.args(["--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"]);
        Process::start("beat", folder, command)
    }
}

/// An agent that sees the broker and the site's tables.
async fn agent(stack: &Stack, site: &Site, folder: &Path) -> Result<Process> {
    let [flag, place] = stack.store_options();
    let output = run_binary(&["token", "create", "--project", "default", &flag, &place]).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = Command::new(binary()?);
    command.args(["agent", "--brain", &format!("ws://127.0.0.1:{}", stack.brain_port()), "--name", "beat-side"]);
    command
        .args(["--celery", &stack.broker, "--celery-beat-db", &site.url(), "--data-dir"])
        .arg(folder.join("beat-side"));
    command.env("TASKPLANE_TOKEN", String::from_utf8(output.stdout)?.trim());
    Process::start("beat-side", folder, command)
}

/// The schedule, once it is as wanted.
async fn until(stack: &Stack, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    let found = eventually_within(LONG, what, async || {
        let schedules = stack.api.get("schedules").await?;
        let mut all = schedules["items"].as_array().into_iter().flatten();
        last = all.find(|schedule| schedule["name"] == "tick").cloned().unwrap_or_default();
        Ok(wanted(&last).then(|| last.clone()))
    })
    .await;
    found.with_context(|| format!("the schedule was last seen as {last:#}\n{}", stack.logs()))
}

/// How many of its latest runs are in `state`.
fn runs(schedule: &Value, state: &str) -> usize {
    schedule["last_runs"].as_array().into_iter().flatten().filter(|run| run["state"] == state).count()
}

/// The task of one of its latest runs.
fn task_of_a_run(schedule: &Value) -> Option<&str> {
    schedule["last_runs"].as_array().into_iter().flatten().find_map(|run| run["task_id"].as_str())
}

async fn taskplane(stack: &Stack, args: &[&str]) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(args).env("TASKPLANE_URL", &stack.url).env("TASKPLANE_API_KEY", &stack.api_key).stdin(Stdio::null());
    let output = command.output().await?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_beat_that_is_killed_is_told_of_and_what_it_missed_and_that_it_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(StackOptions { queues: "default" }).await?;
    let site = Site::make(folder.path(), &stack.broker).await?;
    let _agent = agent(&stack, &site, folder.path()).await?;
    let beat = site.beat(folder.path())?;
    let scheduler = eventually("a scheduler", async || {
        let agents = stack.api.get("agents").await?;
        let side = agents["items"].as_array().into_iter().flatten().find(|agent| agent["name"] == "beat-side").cloned();
        Ok(side.and_then(|side| side["schedulers"][0].as_str().map(str::to_owned)))
    })
    .await?;

    let every = ["schedules", "create", "tick", "--task", "shop.add", "--every", "10s", "--args", "[1, 2]", "--queue"];
    taskplane(&stack, &[&every[..], &["default", "--scheduler", &scheduler]].concat()).await?;
    // On a machine that stood still for half a minute a run was overdue; it is forgiven with the next one.
    let is_well = |schedule: &Value| {
        runs(schedule, "seen") >= 6 && schedule["problem"].is_null() && task_of_a_run(schedule).is_some()
    };
    let seen =
        until(&stack, "six runs, one with its task, and no problem", is_well).await.with_context(|| beat.log())?;
    assert_eq!(seen["words"], "Every 10 seconds", "{seen:#}");
    let task_id = task_of_a_run(&seen).context("a run whose task was found")?;
    assert_eq!(stack.api.get(&format!("tasks/celery/{task_id}")).await?["name"], "shop.add");

    beat.kill().await?;
    let overdue = until(&stack, "a run overdue", |schedule| schedule["last_runs"][0]["state"] == "overdue").await?;
    assert_eq!(overdue["problem"]["kind"], "scheduler_silent", "{overdue:#}");
    let silent = stack.api.get("schedulers").await?;
    let named =
        |all: &Value| all["items"].as_array().into_iter().flatten().find(|one| one["name"] == *scheduler).cloned();
    assert_eq!(named(&silent).context("the scheduler")?["silent"], true, "{silent:#}");
    let missed = until(&stack, "two runs missed", |schedule| runs(schedule, "missed") >= 2).await?;
    assert_eq!(missed["problem"]["kind"], "scheduler_silent", "{missed:#}");
    let listed = taskplane(&stack, &["schedules", "list"]).await?;
    assert!(listed.lines().any(|line| line.starts_with("tick") && line.contains("scheduler silent")), "{listed}");

    let _beat = site.beat(folder.path())?;
    let back = until(&stack, "it is back", |schedule| {
        let latest = &schedule["last_runs"][0]["state"];
        schedule["problem"].is_null() && (latest == "seen" || latest == "late")
    })
    .await?;
    assert!(runs(&back, "missed") >= 2, "what was missed stays missed: {back:#}");
    assert_eq!(named(&stack.api.get("schedulers").await?).context("the scheduler")?["silent"], false);

    taskplane(&stack, &["schedules", "pause", "tick"]).await?;
    let paused = until(&stack, "paused", |schedule| schedule["enabled"] == false).await?;
    assert_eq!((&paused["problem"], &paused["next_runs"]), (&json!(null), &json!([])));
    let rows = site.ask(&json!({"do": "list"})).await?;
    let row = rows.as_array().into_iter().flatten().find(|row| row["name"] == "tick").context("its row")?;
    assert_eq!((&row["enabled"], &row["refused"]), (&json!(false), &json!(null)), "{row}");
    Ok(())
}
