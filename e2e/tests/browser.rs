//! In real Chromium: a task appears live, and is retried from the dashboard; one that waits says why.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskplane_e2e::{PATIENCE, Stack, StackOptions, repository, run_binary};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn a_failed_task_appears_live_and_is_retried_and_a_waiting_one_says_why() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "default" }).await?;
    let [flag, place] = stack.store_options();
    let link = run_binary(&["signin-link", "--public-url", &stack.url, &flag, &place]).await?;
    ensure!(link.status.success(), "{}", String::from_utf8_lossy(&link.stderr));
    let link = String::from_utf8(link.stdout)?;

    let mut browser = Command::new("node")
        .args([repository().join("dashboard/e2e/live_retry.mjs").as_os_str(), link.trim().as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting node")?;
    let mut input = browser.stdin.take().context("the script's input")?;
    let mut steps = BufReader::new(browser.stdout.take().context("the script's output")?).lines();
    let mut next = async |name: &str| -> Result<Value> {
        let line = tokio::time::timeout(PATIENCE, steps.next_line())
            .await
            .with_context(|| format!("waiting for {name}"))??;
        let step: Value = serde_json::from_str(&line.with_context(|| format!("the script ended before {name}"))?)?;
        ensure!(step["step"] == name, "expected {name}, got {step}");
        Ok(step)
    };

    next("ready").await?;
    let old = stack.producer.send("shop.charge", json!([17]), json!({}), "default").await?;
    input.write_all(format!("{}\n", json!({"task_id": old})).as_bytes()).await?;
    next("seen").await.with_context(|| stack.logs())?;
    let retried = next("retried").await.with_context(|| stack.logs())?;
    let forgotten = stack.producer.send("shop.add", json!([1, 2]), json!({}), "forgotten").await?;
    stack.api.task_in_state(&forgotten, "pending").await?;
    input.write_all(format!("{}\n", json!({"task_id": forgotten})).as_bytes()).await?;
    let explained = next("explained").await.with_context(|| stack.logs())?;
    assert_eq!(explained["problems"], json!([]), "the page had no errors");

    let original = stack.api.get(&format!("tasks/celery/{old}")).await?;
    let new = original["retried_as"].as_str().context("a new task")?;
    assert!(retried["new_task"].as_str().is_some_and(|href| href.contains(new)), "{retried}");
    stack.api.task_in_state(new, "failed").await?;
    Ok(())
}
