//! A backup that is made while the brain takes in what agents send, and a brain that goes on from it elsewhere.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use taskplane_e2e::{Api, BrainStore, Process, ScriptedAgent, all_tasks, binary, eventually, free_port, run_binary};
use tokio::process::Command;

/// Runs the binary on a store; returns what it printed.
async fn run(store: &BrainStore, args: &[&str]) -> Result<String> {
    let [flag, place] = store.options();
    let output = run_binary(&[args, &[&flag, &place]].concat()).await?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{args:?}: {out}{err}");
    Ok(out.trim().to_owned())
}

async fn start(folder: &Path, name: &str, port: u16, store: &BrainStore) -> Result<Process> {
    let mut command = Command::new(binary()?);
    command.args(["brain", "--listen", &format!("127.0.0.1:{port}")]).args(store.options());
    let brain = Process::start(name, folder, command)?;
    let ready = format!("http://127.0.0.1:{port}/readyz");
    eventually("the brain", async || Ok(reqwest::get(&ready).await?.status().is_success().then_some(())))
        .await
        .with_context(|| brain.log())?;
    Ok(brain)
}

fn task_id(seq: u64) -> String {
    format!("00000000-0000-4000-8000-{seq:012x}")
}

/// Sends batches until the brain is gone; notes what was acked.
async fn tell_until_killed(mut agent: ScriptedAgent, acked: &AtomicU64) {
    for seq in agent.last_seq + 1.. {
        if agent.tell(seq, "task_sent", &task_id(seq)).await.is_err() {
            return;
        }
        acked.store(seq, Ordering::SeqCst);
    }
}

/// The checks of a doctor that are not as they should be. The disk of whoever runs the tests may be full or fast.
async fn unwell(store: &BrainStore) -> Result<Vec<Value>> {
    let found: Vec<Value> = serde_json::from_str(&run(store, &["doctor", "--deep", "--json"]).await?)?;
    let of_the_machine = ["free-space", "disk-sync", "connections"];
    let unwell = found.into_iter().filter(|finding| finding["health"] != "ok");
    Ok(unwell.filter(|finding| !of_the_machine.iter().any(|check| finding["check"] == *check)).collect())
}

#[tokio::test]
async fn a_brain_that_was_killed_goes_on_elsewhere_from_a_backup_made_under_load() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (first, second) =
        (BrainStore::new(&folder.path().join("first"))?, BrainStore::new(&folder.path().join("second"))?);
    let token = run(&first, &["token", "create"]).await?;
    let key = run(&first, &["api-key", "create", "--role", "viewer"]).await?;
    let port = free_port()?;
    let brain = start(folder.path(), "first-brain", port, &first).await?;
    let agent = ScriptedAgent::connect(port, &token, "script").await?;
    let acked = AtomicU64::new(0);
    let backup = folder.path().join("backup");
    let (from, to) = (backup.to_str().context("UTF-8")?, ["backup", "--to", backup.to_str().context("UTF-8")?]);
    let story = async {
        eventually("some acks", async || Ok((acked.load(Ordering::SeqCst) >= 50).then_some(()))).await?;
        let before = acked.load(Ordering::SeqCst);
        let line = run(&first, &to).await?;
        ensure!(line.contains(" bytes, ") && line.contains(" tasks, "), "{line}");
        ensure!(run(&first, &to).await.is_err(), "a backup is not overwritten");
        ensure!(unwell(&first).await?.is_empty(), "{:?}", unwell(&first).await?);
        let after = acked.load(Ordering::SeqCst);
        eventually("more acks", async || Ok((acked.load(Ordering::SeqCst) >= after + 20).then_some(()))).await?;
        brain.kill().await?;
        anyhow::Ok(before)
    };
    let ((), before) = tokio::join!(tell_until_killed(agent, &acked), story);
    let (before, acked) = (before?, acked.load(Ordering::SeqCst));

    run(&second, &["restore", "--from", from]).await?;
    ensure!(run(&second, &["restore", "--from", from]).await.is_err(), "a store with data is not overwritten");
    ensure!(unwell(&second).await?.is_empty(), "{:?}", unwell(&second).await?);
    let port = free_port()?;
    let brain = start(folder.path(), "second-brain", port, &second).await?;
    let api = Api::new(&format!("http://127.0.0.1:{port}"), &key);
    let mut agent = ScriptedAgent::connect(port, &token, "script").await?;
    let stands = agent.last_seq;
    ensure!((before..acked).contains(&stands), "{stands} is not between {before} and {acked}");
    let ids: Vec<String> =
        all_tasks(&api).await?.iter().filter_map(|task| task["task_id"].as_str().map(str::to_owned)).collect();
    ensure!(ids.len() as u64 == stands, "{} tasks of {stands} batches", ids.len());
    ensure!((1..=stands).all(|seq| ids.contains(&task_id(seq))), "what was acked before the backup began is there");

    // The agent has forgotten what was acked, and goes on behind it: the brain takes it, and counts what never came.
    agent.tell(acked + 1, "task_sent", &task_id(acked + 1)).await.with_context(|| brain.log())?;
    let agents = eventually("the loss being told", async || {
        let agents = api.get("agents").await?;
        Ok((agents["items"][0]["lost_batches"] != 0).then_some(agents))
    })
    .await?;
    assert_eq!(agents["items"][0]["lost_batches"], acked - stands);
    // A late event of a task from the backup changes that task, and makes no second one.
    agent.tell(acked + 2, "task_started", &task_id(1)).await?;
    assert_eq!(api.task_in_state(&task_id(1), "started").await?["task_id"], task_id(1));
    assert_eq!(all_tasks(&api).await?.len() as u64, stands + 1);
    brain.terminate().await?;
    Ok(())
}
