//! Story 4, periodic work: what an agent tells of django-celery-beat's tables and of RedBeat's keys, and what it changes
//! there.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{Process, Stack, StackOptions, eventually};
use taskplane_testkit::PostgresServer;

/// Starts everything, with django-celery-beat's tables in `database`, a beat that reads them, and an agent that knows of
/// them.
async fn stack_with_site(database: Option<&str>) -> Result<(Stack, Process)> {
    let mut stack = Stack::start(StackOptions { queues: "default,emails" }).await?;
    let url = match database {
        Some(url) => url.to_owned(),
        None => {
            let path = stack.folder().join("site.sqlite3");
            std::fs::write(&path, "")?;
            format!("sqlite://{}", path.display())
        }
    };
    let variables = [("SITE_DATABASE", url.as_str())];
    let migrate = "import beat_site; beat_site.answer({'do': 'migrate'}); print('migrated')";
    let site = stack.celery.python("migrate", &["-c", migrate], &variables, stack.folder())?;
    eventually("the tables", async || Ok(site.log().contains("migrated").then_some(())))
        .await
        .with_context(|| site.log())?;
    let args = ["-m", "celery", "-A", "beat_site", "beat", "-l", "DEBUG", "--pidfile", "", "--scheduler", "django"];
    let beat = stack.celery.python("beat", &args, &variables, stack.folder())?;
    // It notices no change that is made between its first two looks, which are behind it when it says this.
    eventually("a beat that ticks", async || Ok(beat.log().contains("beat: Ticking").then_some(())))
        .await
        .with_context(|| beat.log())?;
    stack.agent_options = vec!["--celery-beat-db".into(), url.clone()];
    stack.agent.take().context("an agent")?.kill().await?;
    stack.start_agent()?;
    eventually("an agent that knows of the tables", async || {
        let agents = stack.api.get("agents").await?;
        Ok((agents["items"][0]["schedulers"] == json!(["celery-beat"])).then_some(()))
    })
    .await
    .with_context(|| stack.logs())?;
    Ok((stack, beat))
}

async fn schedule(stack: &Stack, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let found = eventually(what, async || {
        let schedules = stack.api.get("schedules").await?;
        Ok(schedules["items"].as_array().into_iter().flatten().find(|schedule| wanted(schedule)).cloned())
    });
    found.await.with_context(|| stack.logs())
}

async fn done(stack: &Stack, cmd: &str, args: Value) -> Result<Value> {
    let command = stack.api.command(cmd, args).await?;
    anyhow::ensure!(command["status"] == "succeeded", "{command}\n{}", stack.logs());
    Ok(command["result"].clone())
}

/// Made, run now, run by beat, changed, paused and deleted: all through the brain.
async fn story(stack: &Stack, beat: &Process, scheduler: &str) -> Result<()> {
    let new = json!({
        "name": "sums", "task": "shop.add", "kind": "interval", "expression": "2h", "args": [20],
        "kwargs": {"y": 22}, "queue": "emails"});
    let made = done(stack, "schedule_create", json!({"scheduler": scheduler, "schedule": new})).await?;
    let id = made["schedule"]["id"].as_str().context("an id")?.to_owned();
    let of = |more: Value| {
        let mut args = json!({"scheduler": scheduler, "id": id});
        if let (Some(args), Some(more)) = (args.as_object_mut(), more.as_object()) {
            args.extend(more.clone());
        }
        args
    };
    let told = schedule(stack, "the new schedule", |schedule| schedule["name"] == "sums").await?;
    assert_eq!(
        (&told["scheduler"], &told["expression"], &told["enabled"]),
        (&json!(scheduler), &json!("2h"), &json!(true))
    );
    assert!(told["next_run_at"].is_string(), "{told}");

    let run = done(stack, "schedule_run_now", of(json!({}))).await?;
    let task_id = run["new_task_id"].as_str().context("a task")?.to_owned();
    // The agent tells the queue, once it has sent the task; the worker may be faster.
    let has_run = |task: &Value| task["state"] == "succeeded" && task["queue"] == "emails";
    let task =
        stack.api.task_where(&task_id, "succeeded, of its queue", has_run).await.with_context(|| stack.logs())?;
    assert_eq!(task["result_redacted"], 42, "{task}");

    let sent = || beat.log().matches("Sending due task sums ").count();
    done(stack, "schedule_update", of(json!({"schedule": {"expression": "1s"}}))).await?;
    eventually("runs by beat", async || Ok((sent() > 1).then_some(())))
        .await
        .with_context(|| format!("{}\n{}", beat.log(), stack.logs()))?;
    let paused = done(stack, "schedule_pause", of(json!({}))).await?;
    assert_eq!(paused["schedule"]["enabled"], json!(false), "{paused}");
    let is_paused = |schedule: &Value| schedule["name"] == "sums" && schedule["enabled"] == false;
    schedule(stack, "the pause", is_paused).await.with_context(|| beat.log())?;
    let at_pause = sent();
    done(stack, "schedule_pause", of(json!({"paused": false}))).await?;
    eventually("runs after the pause", async || Ok((sent() > at_pause + 1).then_some(())))
        .await
        .with_context(|| format!("{}\n{}", beat.log(), stack.logs()))?;

    // What only the scheduler knows is refused by the agent.
    let twice = json!({"scheduler": scheduler, "schedule": {
        "name": "sums", "task": "shop.add", "kind": "interval", "expression": "5m"}});
    let refused = stack.api.command("schedule_create", twice).await?;
    assert_eq!((&refused["status"], &refused["error"]), (&json!("failed"), &json!("invalid_args")), "{refused}");
    assert!(refused["message"].as_str().is_some_and(|why| why.contains("of that name already")), "{refused}");

    done(stack, "schedule_delete", of(json!({}))).await?;
    eventually("it is gone", async || {
        let schedules = stack.api.get("schedules").await?;
        let is_there = schedules["items"].as_array().into_iter().flatten().any(|schedule| schedule["name"] == "sums");
        Ok((!is_there).then_some(()))
    })
    .await
}

#[tokio::test]
async fn schedules_in_sqlite_are_changed_and_beat_does_what_they_say() -> Result<()> {
    let (stack, beat) = stack_with_site(None).await?;
    let cleanup = schedule(&stack, "what beat made", |schedule| schedule["name"] == "celery.backend_cleanup").await?;
    assert_eq!((&cleanup["kind"], &cleanup["expression"]), (&json!("crontab"), &json!("0 4 * * *")), "{cleanup}");
    story(&stack, &beat, "celery-beat").await
}

#[tokio::test]
async fn schedules_in_postgresql_are_changed_and_beat_does_what_they_say() -> Result<()> {
    let server = PostgresServer::start(None)?;
    let (stack, beat) = stack_with_site(Some(&server.url())).await?;
    story(&stack, &beat, "celery-beat").await
}

#[tokio::test]
async fn redbeat_is_found_and_changed_while_the_agent_runs() -> Result<()> {
    let stack = Stack::start(StackOptions { queues: "default,emails" }).await?;
    let agents = stack.api.get("agents").await?;
    assert_eq!(agents["items"][0]["schedulers"], json!([]), "{agents}");
    let args = [
        "-m",
        "celery",
        "-A",
        "beat_site",
        "beat",
        "-l",
        "INFO",
        "--pidfile",
        "",
        "--max-interval",
        "1",
        "--scheduler",
        "redbeat.RedBeatScheduler",
    ];
    let none = format!("sqlite://{}/none", stack.folder().display());
    let variables = [("SITE_DATABASE", none.as_str()), ("REDBEAT_STATIC", "from-code")];
    let beat = stack.celery.python("beat", &args, &variables, stack.folder())?;
    schedule(&stack, "what the code says", |schedule| schedule["name"] == "from-code")
        .await
        .with_context(|| beat.log())?;
    eventually("an agent that says so", async || {
        let agents = stack.api.get("agents").await?;
        Ok((agents["items"][0]["schedulers"] == json!(["redbeat"])).then_some(()))
    })
    .await
    .with_context(|| stack.logs())?;
    story(&stack, &beat, "redbeat").await
}
