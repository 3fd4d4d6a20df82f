//! django-celery-beat, on each database that Django keeps it in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_agent::engine::CommandError;
use taskplane_agent::scheduler::{ScheduleChange, ScheduleEntry, Scheduler};
use taskplane_model::Timestamp;
use taskplane_scheduler_celery_beat::DjangoBeat;
use taskplane_testkit::{MariaDbServer, PostgresServer};

use crate::harness::{Watched, eventually};
use crate::servers;
use crate::site::Site;

#[tokio::test]
async fn schedules_on_sqlite_are_listed_and_changed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("site.sqlite3").display());
    std::fs::write(folder.path().join("site.sqlite3"), "")?;
    story(&url).await
}

#[tokio::test]
async fn schedules_on_postgresql_are_listed_and_changed() -> Result<()> {
    let server = PostgresServer::start(None)?;
    let mut refused = Watched::start(Arc::new(DjangoBeat::new(&server.url_as("wrong", "postgres"))?));
    refused.until_health("refuses the user").await?;
    story(&server.url()).await?;

    let mut watched = Watched::start(Arc::new(DjangoBeat::new(&server.url())?));
    watched.until_health("").await?;
    server.crash()?;
    watched.until_health("PostgreSQL at 127.0.0.1").await?;
    server.go_on()?;
    watched.until_health("").await
}

#[tokio::test]
async fn schedules_on_mariadb_are_listed_and_changed() -> Result<()> {
    let mut server = MariaDbServer::start()?;
    let wrong = server.url().replace("word", "wrong");
    let mut refused = Watched::start(Arc::new(DjangoBeat::new(&wrong)?));
    refused.until_health("refuses the user").await?;
    story(&server.url()).await?;

    let mut watched = Watched::start(Arc::new(DjangoBeat::new(&server.url())?));
    watched.until_health("").await?;
    server.crash();
    watched.until_health("MySQL at 127.0.0.1").await?;
    server.go_on()?;
    watched.until_health("").await
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("wrong.sqlite3");
    let mut watched = Watched::start(Arc::new(DjangoBeat::new(&format!("sqlite://{}", path.display()))?));
    watched.until_health("there is no file").await?;
    assert!(!path.exists());
    Ok(())
}

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
    entries.iter().find(|entry| entry.facts.name.as_deref() == Some(name))
}

fn of_name<'a>(list: &'a Value, name: &str) -> Result<&'a Value> {
    let found = list.as_array().and_then(|list| list.iter().find(|task| task["name"] == name));
    found.with_context(|| format!("{name} in {list}"))
}

async fn story(url: &str) -> Result<()> {
    let beat = Arc::new(DjangoBeat::new(url)?);
    let mut watched = Watched::start(Arc::<DjangoBeat>::clone(&beat));
    watched.until_health("does not have django-celery-beat's tables").await?;
    let mut site = Site::start(url)?;
    site.ask(json!({"do": "migrate"}))?;

    watched.until("an empty list", |told| told.is_empty().then_some(())).await?;
    watched.until_health("").await?;

    // All four kinds, and everything that can be set.
    let zoned = ScheduleChange {
        timezone: Some(Some("Europe/Berlin".into())),
        queue: Some(Some("emails".into())),
        kwargs: json!({"y": "ü"}).as_object().cloned(),
        priority: Some(Some(3)),
        expire_seconds: Some(Some(90)),
        description: Some("every night".into()),
        ..change("nightly", "crontab", "30  2 * jan-mar mon-fri")
    };
    let nightly = beat.create(&zoned).await?;
    assert_eq!(nightly.entry.facts.expression.as_deref(), Some("30 2 * jan-mar mon-fri"));
    let every = beat.create(&change("every", "interval", "90s")).await?;
    let once = beat.create(&change("once", "clocked", "2027-05-01T10:00:00.5+02:00")).await?;
    assert_eq!(once.entry.facts.one_off, Some(true));
    beat.create(&change("evening", "solar", "sunset 52.52 -13.4")).await?;
    let list = site.ask(json!({"do": "list"}))?;
    assert_eq!(list.as_array().map(Vec::len), Some(4), "{list}");
    let told = watched.until("four schedules", |told| (told.len() == 4).then(|| told.to_vec())).await?;
    for task in list.as_array().into_iter().flatten() {
        assert_eq!(task["refused"], Value::Null, "Django accepts {task}");
        let entry = named(&told, task["name"].as_str().unwrap_or_default()).context("told")?;
        assert_eq!(entry.facts.id, task["id"].to_string());
        let next = task["next"].as_str().and_then(Timestamp::parse_rfc3339).context("a time")?;
        let ours = entry.facts.next_run_at.with_context(|| format!("a next run of {entry:?}"))?;
        // Celery was asked a moment later, and has its own way to the sun.
        assert!((next.0 - ours.0).abs() < 100_000_000, "{task}: we say {ours}");
    }
    let made = of_name(&list, "nightly")?;
    assert_eq!((&made["kwargs"], &made["queue"], &made["priority"]), (&json!({"y": "ü"}), &json!("emails"), &json!(3)));
    assert_eq!((&made["expire_seconds"], &made["description"]), (&json!(90), &json!("every night")));

    refusals(beat.as_ref(), &every.entry).await?;

    // Rows of times are reused, and the rest of a schedule stays as it is.
    let id = nightly.entry.facts.id.as_str();
    let rows = site.ask(json!({"do": "rows"}))?;
    beat.create(&change("every too", "interval", "90s")).await?;
    assert_eq!(site.ask(json!({"do": "rows"}))?, rows);
    let later =
        ScheduleChange { expression: Some("45 3 * * *".into()), queue: Some(None), ..ScheduleChange::default() };
    let changed = beat.update(id, &later).await?.entry;
    assert_eq!((changed.facts.timezone.as_deref(), changed.facts.queue), (Some("Europe/Berlin"), None));
    assert_eq!((changed.args, changed.kwargs), (Some(json!([1])), Some(json!({"y": "ü"}))));
    let to_interval = ScheduleChange { kind: Some("interval".into()), ..later.clone() };
    assert!(beat.update(id, &ScheduleChange { expression: None, ..to_interval.clone() }).await.is_err());
    beat.update(id, &ScheduleChange { expression: Some("2h".into()), ..to_interval }).await?;
    let list = site.ask(json!({"do": "list"}))?;
    assert_eq!(of_name(&list, "nightly")?["schedule"], json!("every 2 hours"), "{list}");
    assert_eq!(of_name(&list, "nightly")?["refused"], Value::Null, "{list}");

    let paused = beat.pause(id, true).await?;
    assert_eq!((paused.entry.facts.enabled, paused.entry.facts.next_run_at), (Some(false), None));
    assert_eq!(beat.pause(id, true).await?.message.as_deref(), Some("it was paused already"));
    watched.until("a pause", |told| (named(told, "nightly")?.facts.enabled == Some(false)).then_some(())).await?;
    assert_eq!(beat.pause(id, false).await?.entry.facts.enabled, Some(true));

    let request = beat.task_of(&every.entry.facts.id).await?;
    assert_eq!((request.name.as_str(), request.args), ("shop.add", vec![json!(1)]));
    assert_eq!(request.headers["periodic_task_name"], "every");

    what_beat_undoes_is_done_again(&beat, &mut watched, &mut site).await?;

    // What the application changes is told as well.
    site.ask(json!({"do": "rename", "name": "every too", "to": "renamed"}))?;
    watched.until("a new name", |told| named(told, "renamed").map(drop)).await?;
    beat.delete(id).await?;
    watched.until("one less", |told| (named(told, "nightly").is_none() && told.len() == 4).then_some(())).await?;
    assert_eq!(beat.delete(id).await.map_err(|error| error.code()), Err("not_found"));

    beat_notices(beat.as_ref(), &mut site).await
}

/// The change is looked at again after so long: beat's writing has to come before, which a slow machine does not always manage.
const LOOKED_AT_AFTER: Duration = Duration::from_millis(450);

/// Beat reads a row, and writes all of it back once somebody has changed it.
async fn what_beat_undoes_is_done_again(beat: &Arc<DjangoBeat>, watched: &mut Watched, site: &mut Site) -> Result<()> {
    let made = beat.create(&change("overtaken", "interval", "1h")).await?.entry.facts;
    let enabled = |told: &[ScheduleEntry]| named(told, "overtaken").map(|entry| entry.facts.enabled);
    for attempt in 1.. {
        watched.until("it enabled", |told| (enabled(told)? == Some(true)).then_some(())).await?;
        site.ask(json!({"do": "read", "name": "overtaken"}))?;
        let (pausing, id, began) = (Arc::clone(beat), made.id.clone(), Instant::now());
        let pausing = tokio::spawn(async move { pausing.pause(&id, true).await });
        watched.until("the pause", |told| (enabled(told)? == Some(false)).then_some(())).await?;
        site.ask(json!({"do": "write back", "name": "overtaken"}))?;
        let is_in_time = began.elapsed() < LOOKED_AT_AFTER;
        assert_eq!(pausing.await??.entry.facts.enabled, Some(false));
        let list = site.ask(json!({"do": "list"}))?;
        let row = of_name(&list, "overtaken")?;
        assert_eq!(row["total_run_count"], json!(attempt));
        if row["enabled"] == json!(false) {
            break;
        }
        anyhow::ensure!(!is_in_time && attempt < 20, "the pause was undone: {row}");
    }

    for attempt in 1.. {
        watched.until("it there", |told| named(told, "overtaken").map(drop)).await?;
        site.ask(json!({"do": "read", "name": "overtaken"}))?;
        let (deleting, id, began) = (Arc::clone(beat), made.id.clone(), Instant::now());
        let deleting = tokio::spawn(async move { deleting.delete(&id).await });
        watched.until("the end of it", |told| named(told, "overtaken").is_none().then_some(())).await?;
        site.ask(json!({"do": "write back", "name": "overtaken"}))?;
        let is_in_time = began.elapsed() < LOOKED_AT_AFTER;
        deleting.await??;
        let list = site.ask(json!({"do": "list"}))?;
        if of_name(&list, "overtaken").is_err() {
            break;
        }
        anyhow::ensure!(!is_in_time && attempt < 20, "the deletion was undone: {list}");
    }
    Ok(())
}

async fn refusals(beat: &DjangoBeat, entry: &ScheduleEntry) -> Result<()> {
    let refused = async |change: ScheduleChange| -> Result<String> {
        match beat.create(&change).await {
            Err(CommandError::InvalidArgs(why)) => Ok(why),
            other => anyhow::bail!("{change:?} led to {other:?}"),
        }
    };
    assert!(refused(change("every", "interval", "5m")).await?.contains("of that name already"));
    assert!(refused(change("new", "crontab", "61 * * * *")).await?.contains("minute"));
    assert!(refused(change("new", "crontab", "0 0 * * 5-1")).await?.contains("ranges go upwards"));
    let rename = ScheduleChange { name: Some("evening".into()), ..ScheduleChange::default() };
    assert_eq!(beat.update(&entry.facts.id, &rename).await.map_err(|error| error.code()), Err("invalid_args"));
    for id in ["99999", "x", ""] {
        assert_eq!(beat.pause(id, true).await.map_err(|error| error.code()), Err("not_found"), "{id}");
    }
    Ok(())
}

/// A running beat does what is changed from here, within its loop of five seconds.
async fn beat_notices(beat: &DjangoBeat, site: &mut Site) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_redis, broker) = servers::redis(folder.path()).await?;
    let _beat = site.beat(&broker, folder.path())?;
    let log = || std::fs::read_to_string(folder.path().join("beat.log")).unwrap_or_default();
    let sent = |name: &str| log().matches(&format!("Sending due task {name} ")).count();
    let patient = async |what: &str, condition: &dyn Fn() -> bool| {
        eventually(what, async || Ok(condition().then_some(()))).await.with_context(log)
    };
    // On SQLite, what it adds by itself when it starts would fail if somebody else wrote just then.
    eventually("beat", async || {
        Ok(of_name(&site.ask(json!({"do": "list"}))?, "celery.backend_cleanup").is_ok().then_some(()))
    })
    .await
    .with_context(log)?;
    let quick = beat.create(&change("quick", "interval", "1s")).await?.entry;
    patient("a run of a schedule made from here", &|| sent("quick") > 1).await?;
    let slower =
        ScheduleChange { expression: Some("2h".into()), name: Some("slow".into()), ..ScheduleChange::default() };
    let changes = || log().matches("Schedule changed").count();
    let before = changes();
    beat.update(&quick.facts.id, &slower).await?;
    patient("the change", &|| changes() > before || sent("slow") > 0).await?;
    beat.update(&quick.facts.id, &change("quick again", "interval", "1s")).await?;
    patient("runs under the new name", &|| sent("quick again") > 1).await?;
    let before = changes();
    beat.pause(&quick.facts.id, true).await?;
    patient("the pause", &|| changes() > before).await?;
    let at_pause = sent("quick again");
    beat.pause(&quick.facts.id, false).await?;
    patient("runs after the pause", &|| sent("quick again") > at_pause).await?;
    Ok(())
}
