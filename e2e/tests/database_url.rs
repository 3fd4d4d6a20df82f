//! A brain on PostgreSQL: what is wrong with its database is said in one sentence, and a server that goes away is waited for.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use taskplane_e2e::{Process, binary, eventually, free_port};
use taskplane_testkit::{PostgresDatabase, PostgresServer};
use tokio::process::Command;

/// Runs the binary on a database; returns its exit code and all that it said.
async fn run(url: &str, args: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(binary()?);
    let output = command.args(args).env("TASKPLANE_DATABASE_URL", url).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(taskplane_e2e::PATIENCE, output).await.context("the binary did not end")??;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

async fn refused(url: &str, code: i32, words: &[&str]) -> Result<()> {
    for args in [&["brain", "--listen", "127.0.0.1:0"][..], &["token", "create"]] {
        let (ended, said) = run(url, args).await?;
        assert_eq!(ended, Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "\"{word}\" is not in: {said}");
        }
        assert!(!said.contains("hunter2") && !said.contains("panicked"), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
    Ok(())
}

fn brain(folder: &Path, name: &str, port: u16, url: &str) -> Result<Process> {
    let mut command = Command::new(binary()?);
    command.args(["brain", "--listen", &format!("127.0.0.1:{port}")]).env("TASKPLANE_DATABASE_URL", url);
    Process::start(name, folder, command)
}

async fn readiness(port: u16) -> Result<u16> {
    Ok(reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await?.status().as_u16())
}

async fn becomes(port: u16, status: u16, process: &Process) -> Result<()> {
    let became = eventually("the brain's word", async || Ok((readiness(port).await? == status).then_some(()))).await;
    became.with_context(|| process.log())
}

#[tokio::test]
async fn what_is_wrong_with_the_database_is_said_in_one_sentence() -> Result<()> {
    refused("mysql://me:hunter2@127.0.0.1/d", 1, &["database URL", "postgres://"]).await?;
    refused("postgres://me:hunter2@127.0.0.1/d?sslmode=maybe", 1, &["sslmode"]).await?;
    let nobody = format!("postgres://me:hunter2@127.0.0.1:{}/d", free_port()?);
    refused(&nobody, 1, &["127.0.0.1", "cannot be reached", "start it"]).await?;
    let database = PostgresDatabase::create()?;
    let missing = database.url().replace("taskplane_test_", "taskplane_gone_");
    refused(&missing, 1, &["no database taskplane_gone_", "createdb"]).await?;
    let (code, said) = run(&database.url(), &["token", "create", "--data-dir", "/tmp"]).await?;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--data-dir") && said.contains("--database-url"), "{said}");
    database.sql("CREATE TABLE shopping (item text)")?;
    refused(&database.url(), 1, &["not a Taskplane database"]).await
}

#[tokio::test]
async fn two_brains_run_on_one_database() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = PostgresDatabase::create()?;
    let ports = [free_port()?, free_port()?];
    let first = brain(folder.path(), "first", ports[0], &database.url())?;
    let second = brain(folder.path(), "second", ports[1], &database.url())?;
    becomes(ports[0], 200, &first).await?;
    becomes(ports[1], 200, &second).await?;
    let (code, key) = run(&database.url(), &["api-key", "create", "--role", "viewer"]).await?;
    ensure!(code == Some(0), "{key}");
    for port in ports {
        let url = format!("http://127.0.0.1:{port}/api/v1/projects/default/agents");
        assert!(reqwest::Client::new().get(url).bearer_auth(key.trim()).send().await?.status().is_success());
    }
    let (code, link) = run(&database.url(), &["signin-link", "--public-url", "https://tasks.example.com"]).await?;
    assert_eq!((code, link.starts_with("https://tasks.example.com/")), (Some(0), true), "{link}");
    assert_eq!(second.terminate().await?, Some(0));
    assert_eq!(first.terminate().await?, Some(0));
    Ok(())
}

/// Takes a few seconds: a server of its own.
#[tokio::test]
async fn a_server_that_goes_away_is_waited_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = PostgresServer::start(None)?;
    let port = free_port()?;
    let process = brain(folder.path(), "brain", port, &server.url())?;
    becomes(port, 200, &process).await?;
    server.crash()?;
    becomes(port, 503, &process).await?;
    server.go_on()?;
    becomes(port, 200, &process).await?;
    ensure!(!process.log().contains("correct"), "the password is in the log");
    assert_eq!(process.terminate().await?, Some(0));
    Ok(())
}
