//! Bad input gets one clear sentence saying what, where, and what to do next, and loses nothing.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use taskplane_e2e::{Process, Stack, StackOptions, binary, eventually, run_binary};
use tokio::process::Command;

async fn failure(args: &[&str]) -> Result<(Option<i32>, String)> {
    let output = run_binary(args).await?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[tokio::test]
async fn a_port_in_use_is_named() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let folder = tempfile::tempdir()?;
    let data_dir = folder.path().to_str().context("UTF-8")?;
    let (code, text) = failure(&["brain", "--listen", &address, "--data-dir", data_dir]).await?;
    assert_eq!(code, Some(1));
    assert_says(&text, &[&address, "--listen"]);
    Ok(())
}

#[tokio::test]
async fn a_second_brain_on_one_folder_is_refused_and_a_link_leads_to_the_first() -> Result<()> {
    let stack = Stack::start_on_folder(StackOptions { queues: "" }).await?;
    let [_, data_dir] = stack.store_options();
    let data_dir = data_dir.as_str();
    let (code, text) = failure(&["brain", "--listen", "127.0.0.1:0", "--data-dir", data_dir]).await?;
    assert_eq!(code, Some(1));
    assert_says(&text, &["another brain", data_dir, &stack.url]);
    let link = run_binary(&["signin-link", "--data-dir", data_dir]).await?;
    assert!(String::from_utf8(link.stdout)?.starts_with(&stack.url));
    let (code, text) = failure(&["signin-link", "--data-dir", "/nowhere/at-all"]).await?;
    assert_eq!(code, Some(1));
    assert_says(&text, &["/nowhere/at-all", "--data-dir"]);
    Ok(())
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_made_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a-file");
    std::fs::write(&file, "in the way")?;
    let data_dir = file.join("data");
    let data_dir = data_dir.to_str().context("UTF-8")?;
    let (code, text) = failure(&["brain", "--listen", "127.0.0.1:0", "--data-dir", data_dir]).await?;
    assert_eq!(code, Some(1));
    assert_says(&text, &[data_dir]);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("taskplane.db");
    let garbage = vec![b'x'; 8_192];
    std::fs::write(&file, &garbage)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let data_dir = folder.path().to_str().context("UTF-8")?;
    let (code, text) = failure(&["brain", "--listen", "127.0.0.1:0", "--data-dir", data_dir]).await?;
    assert_eq!(code, Some(1));
    assert_says(&text, &["taskplane.db"]);
    assert_eq!(std::fs::read(&file)?, garbage);
    Ok(())
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_secrets_are_not_repeated() -> Result<()> {
    let (code, _) = failure(&["brain", "--no-such-flag"]).await?;
    assert_eq!(code, Some(2));
    let (code, text) = failure(&["brain", "--listen", "0.0.0.0:0"]).await?;
    assert_eq!(code, Some(1));
    assert_says(&text, &["--insecure-bind"]);
    let url = "postgres://user:hunter2@127.0.0.1/db";
    let (code, text) = failure(&["agent", "--brain", "ws://127.0.0.1:1", "--token", "t", "--celery", url]).await?;
    assert_ne!(code, Some(0));
    assert_says(&text, &["redis://"]);
    assert!(!text.contains("hunter2"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_is_explained_and_the_agent_goes_on() -> Result<()> {
    let stack = Stack::start(StackOptions { queues: "" }).await?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(binary()?);
    let brain = stack.url.replace("http", "ws");
    command.args(["agent", "--brain", &brain, "--token", "tpa_wrong", "--celery", &stack.broker, "--data-dir"]);
    command.arg(folder.path().join("agent"));
    let mut agent = Some(Process::start("agent", folder.path(), command)?);
    eventually("the refusal in the log", async || {
        let log = agent.as_ref().map(Process::log).unwrap_or_default();
        Ok((log.contains("token") && log.contains("refused")).then_some(()))
    })
    .await?;
    let agent = agent.take().context("the agent")?;
    assert!(!agent.log().contains("tpa_wrong"), "the token is in the log");
    assert_eq!(agent.terminate().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn the_brain_ends_cleanly_on_sigterm_and_starts_again_without_a_new_claim() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "" }).await?;
    let brain = stack.brain.take().context("the brain")?;
    assert_eq!(brain.terminate().await?, Some(0));
    stack.start_brain().await?;
    let log = stack.brain.as_ref().map(Process::log).unwrap_or_default();
    assert!(!log.contains("First start"), "keys exist already: {log}");
    Ok(())
}
