//! RedBeat, and its beat.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use taskplane_agent::scheduler::{ScheduleChange, ScheduleEntry, Scheduler};
use taskplane_scheduler_celery_beat::RedBeat;
use taskplane_testkit::{Authority, RedisServer, RedisSetup, Sentinels};

use crate::harness::{Process, Watched, eventually};
use crate::servers;
use crate::site::python;

fn change(name: &str, kind: &str, expression: &str) -> ScheduleChange {
    ScheduleChange {
        name: Some(name.into()),
        task: Some("shop.add".into()),
        kind: Some(kind.into()),
        expression: Some(expression.into()),
        args: Some(vec![json!(1)]),
        ..ScheduleChange::default()
    }
}

fn named<'a>(entries: &'a [ScheduleEntry], name: &str) -> Option<&'a ScheduleEntry> {
    entries.iter().find(|entry| entry.facts.id == name)
}

fn start_beat(broker: &str, folder: &std::path::Path) -> Result<Process> {
    let mut command: Command = python(&format!("sqlite://{}", folder.join("none").display()), broker)?;
    command.env("REDBEAT_STATIC", "from-code");
    command.args(["-m", "celery", "-A", "beat_site", "beat", "--loglevel", "INFO", "--pidfile", ""]);
    command.args(["--max-interval", "1", "--scheduler", "redbeat.RedBeatScheduler"]);
    Process::start(&mut command, folder, "beat")
}

#[tokio::test]
async fn schedules_of_redbeat_are_found_listed_and_changed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (redis, broker) = servers::redis(folder.path()).await?;
    let redbeat = Arc::new(RedBeat::new(&broker, "redbeat:", false)?);
    let mut watched = Watched::start(Arc::<RedBeat>::clone(&redbeat));
    let _beat = start_beat(&broker, folder.path())?;
    let log = || std::fs::read_to_string(folder.path().join("beat.log")).unwrap_or_default();
    let sent = |name: &str| log().matches(&format!("Sending due task {name} ")).count();
    let patient = async |what: &str, condition: &dyn Fn() -> bool| {
        eventually(what, async || Ok(condition().then_some(()))).await.with_context(log)
    };

    // It is found by itself, with what the application's code says.
    let found = watched.until("RedBeat", |told| named(told, "from-code").cloned()).await.with_context(log)?;
    assert_eq!((found.facts.kind.as_deref(), found.facts.expression.as_deref()), (Some("interval"), Some("1h")));
    assert!(found.facts.next_run_at.is_some(), "{found:?}");
    watched.until_health("").await?;

    let made = redbeat.create(&change("quick", "interval", "1s")).await?.entry;
    assert_eq!((made.facts.id.as_str(), made.facts.timezone.as_deref()), ("quick", None));
    patient("a run of a schedule made from here", &|| sent("quick") > 1).await?;
    let ran = |told: &[ScheduleEntry]| named(told, "quick")?.facts.total_run_count.filter(|count| *count > 0);
    watched.until("its runs", ran).await?;
    let twice = redbeat.create(&change("quick", "interval", "1s")).await.expect_err("refused");
    assert!(twice.to_string().contains("of that name already"), "{twice}");

    let paused = redbeat.pause("quick", true).await?.entry;
    assert_eq!((paused.facts.enabled, paused.facts.next_run_at), (Some(false), None));
    // Beat ticks when it sends this one. A tick that was under way may still send the paused one; those after it do not.
    redbeat.create(&change("metronome", "interval", "1s")).await?;
    let ticks = async |count: usize| {
        let before = sent("metronome");
        patient("more ticks", &|| sent("metronome") >= before + count).await
    };
    ticks(2).await?;
    let at_pause = sent("quick");
    ticks(3).await?;
    assert_eq!(sent("quick"), at_pause, "it runs while it is paused");
    redbeat.delete("metronome").await?;
    redbeat.pause("quick", false).await?;
    patient("runs after the pause", &|| sent("quick") > at_pause).await?;

    let to_crontab = ScheduleChange { kind: Some("crontab".into()), ..change("quick", "crontab", "0 3 * * mon-fri") };
    let changed = redbeat.update("quick", &to_crontab).await?.entry;
    assert_eq!(changed.facts.expression.as_deref(), Some("0 3 * * mon-fri"));
    assert!(changed.facts.last_run_at.is_some() && changed.facts.timezone.as_deref() == Some("UTC"), "{changed:?}");
    let request = redbeat.task_of("quick").await?;
    assert_eq!((request.name.as_str(), request.args), ("shop.add", vec![json!(1)]));

    let told = redbeat.pause("from-code", true).await?.message;
    assert!(told.is_some_and(|told| told.contains("application's code")));
    redbeat.delete("quick").await?;
    watched.until("one less", |told| named(told, "quick").is_none().then_some(())).await?;
    assert_eq!(redbeat.delete("quick").await.map_err(|error| error.code()), Err("not_found"));
    patient("a beat that still ticks", &|| !log().contains("Traceback")).await?;

    drop(redis);
    watched.until_health("Redis at 127.0.0.1").await
}

#[tokio::test]
async fn over_tls_redbeat_is_reached_as_the_url_says() -> Result<()> {
    let authority = Authority::new("ours")?;
    let setup = RedisSetup { authority: Some(&authority), client_certificates: true, ..RedisSetup::default() };
    let server = RedisServer::start(&setup)?;
    authority.client("a client")?.write(server.folder(), "client")?;
    let (port, folder) = (server.tls_port().context("TLS")?, server.folder().display());
    let url = format!("rediss://localhost:{port}/0?ssl_ca_certs={folder}/ca.pem");
    let mut refused = Watched::start(Arc::new(RedBeat::new(&url, "redbeat:", true)?));
    refused.until_health("ssl_certfile=/path/cert.pem").await?;

    let url = format!("{url}&ssl_certfile={folder}/client.pem&ssl_keyfile={folder}/client.key");
    let redbeat = Arc::new(RedBeat::new(&url, "redbeat:", true)?);
    let mut watched = Watched::start(Arc::<RedBeat>::clone(&redbeat));
    redbeat.create(&change("quick", "interval", "1s")).await?;
    watched.until("the schedule", |told| named(told, "quick").cloned()).await?;
    watched.until_health("").await
}

#[tokio::test]
async fn through_sentinel_the_master_is_followed() -> Result<()> {
    let master = RedisServer::start(&RedisSetup::default())?;
    let follow = [format!("replicaof 127.0.0.1 {}", master.port())];
    let replica = RedisServer::start(&RedisSetup { config: &follow, ..RedisSetup::default() })?;
    let sentinels = Sentinels::start(&master, "main", None)?;
    let hosts: Vec<String> = sentinels.ports().iter().map(|port| format!("sentinel://127.0.0.1:{port}")).collect();
    let redbeat = Arc::new(RedBeat::new(&format!("{}/0?master_name=main", hosts.join(";")), "redbeat:", true)?);
    redbeat.create(&change("quick", "interval", "1h")).await?;
    let copied = async || Ok((replica.run(&["EXISTS", "redbeat:quick"]).trim() == "1").then_some(()));
    eventually("the copy on the replica", copied).await?;

    master.crash();
    let is_master = async || Ok(replica.run(&["ROLE"]).starts_with("master").then_some(()));
    eventually("the failover", is_master).await?;
    let changed = async || Ok(redbeat.pause("quick", true).await.ok());
    let paused = eventually("a change on the new master", changed).await?;
    assert_eq!(paused.entry.facts.enabled, Some(false));
    assert!(replica.run(&["HGET", "redbeat:quick", "definition"]).contains("false"));
    Ok(())
}

#[tokio::test]
async fn where_there_is_no_redbeat_nothing_is_said_of_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_redis, broker) = servers::redis(folder.path()).await?;
    let mut looked_for = Watched::start(Arc::new(RedBeat::new(&broker, "redbeat:", false)?));
    let mut named = Watched::start(Arc::new(RedBeat::new(&broker, "redbeat:", true)?));
    named.until("an empty list", |told| told.is_empty().then_some(())).await?;
    named.until_health("").await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let said = looked_for.until("anything", |_| Some(()));
    assert!(tokio::time::timeout(std::time::Duration::from_secs(2), said).await.is_err());
    assert_eq!(looked_for.health, None);
    Ok(())
}
