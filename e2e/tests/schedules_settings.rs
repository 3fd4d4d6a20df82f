//! Story 4, periodic work that stands in the application's own settings: shown as its workers tell it, run now, changed never.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{Stack, StackOptions, eventually};

async fn schedule(stack: &Stack, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let found = eventually(name, async || {
        let schedules = stack.api.get("schedules").await?;
        let mut all = schedules["items"].as_array().into_iter().flatten();
        Ok(all.find(|schedule| schedule["name"] == name && wanted(schedule)).cloned())
    });
    found.await.with_context(|| stack.logs())
}

#[tokio::test]
async fn schedules_in_the_settings_are_shown_and_run_and_not_changed() -> Result<()> {
    let stack = Stack::start(StackOptions { queues: "default" }).await?;
    let worker =
        ["-m", "celery", "-A", "beat_settings", "worker", "-n", "settings@%h", "-Q", "other", "-c", "1", "-l", "INFO"];
    let _worker = stack.celery.python("settings", &worker, &[], stack.folder())?;
    let nightly = schedule(&stack, "nightly", |_| true).await?;
    assert_eq!((&nightly["scheduler"], &nightly["read_only"]), (&json!("beat-settings"), &json!(true)), "{nightly}");
    assert_eq!(
        (&nightly["expression"], &nightly["timezone"]),
        (&json!("0 3 * * *"), &json!("Europe/Berlin")),
        "{nightly}"
    );
    assert!(nightly["next_run_at"].is_string(), "{nightly}");

    let of = |name: &str| json!({"scheduler": "beat-settings", "id": name});
    let run = stack.api.command("schedule_run_now", of("sums")).await?;
    let task_id = run["result"]["new_task_id"].as_str().with_context(|| run.to_string())?.to_owned();
    let task = stack.api.task_in_state(&task_id, "succeeded").await.with_context(|| stack.logs())?;
    assert_eq!(task["result_redacted"], 42, "{task}");
    let untold = stack.api.command("schedule_run_now", of("secret")).await?;
    assert_eq!((&untold["status"], &untold["error"]), (&json!("failed"), &json!("invalid_args")), "{untold}");
    let pause = stack.api.command("schedule_pause", of("sums")).await?;
    assert_eq!((&pause["status"], &pause["error"]), (&json!("failed"), &json!("read_only")), "{pause}");

    // Beat keeps its last runs to itself: they are seen by their tasks.
    let file = stack.folder().join("beat").display().to_string();
    let beat = ["-m", "celery", "-A", "beat_settings", "beat", "-l", "INFO", "--pidfile", "", "-s", &file];
    let _beat = stack.celery.python("beat", &beat, &[], stack.folder())?;
    let is_run = |schedule: &Value| {
        schedule["last_runs"].as_array().into_iter().flatten().any(|run| run["task_id"].is_string())
            || schedule["last_run_at"].is_string()
    };
    schedule(&stack, "sums", is_run).await?;
    Ok(())
}
