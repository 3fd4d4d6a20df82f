//! Workers die, and events get lost: tasks of which nothing more is heard are completed, watched, or called lost with the evidence.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use taskplane_e2e::{Process, Stack, StackOptions, eventually, patient_redis};

/// A deployment whose brain asks about tasks that are under way for two seconds.
async fn impatient_stack() -> Result<Stack> {
    let mut stack = Stack::start(StackOptions { queues: "default" }).await?;
    stack.brain_options = vec!["--ask-after=2s".to_owned()];
    if let Some(brain) = stack.brain.take() {
        brain.terminate().await?;
    }
    stack.start_brain().await?;
    Ok(stack)
}

/// Kills the worker and its children at once, as the loss of its machine would.
fn lose_worker(stack: &mut Stack) {
    // Dropping it kills its whole group.
    drop(stack.worker.take());
}

/// How many questions about tasks came to `outcome` so far.
async fn questions(stack: &Stack, outcome: &str) -> Result<u64> {
    let metrics = reqwest::get(format!("{}/metrics", stack.url)).await?.text().await?;
    let line = format!("taskplane_task_inquiries_total{{outcome=\"{outcome}\"}} ");
    Ok(metrics.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0))
}

async fn came_to(stack: &Stack, outcome: &str, count: u64) -> Result<()> {
    let come = async || Ok((questions(stack, outcome).await? >= count).then_some(()));
    eventually(&format!("{count} questions that came to {outcome}"), come).await.with_context(|| stack.logs())
}

async fn in_state(stack: &Stack, task_id: &str, state: &str) -> Result<Value> {
    stack.api.task_in_state(task_id, state).await.with_context(|| stack.logs())
}

/// Sends a task that ends when it is told to by [`end`], and waits until it has begun.
async fn begun(stack: &mut Stack, task: &str) -> Result<String> {
    let id = stack.producer.send(task, json!([sign(stack)]), json!({}), "default").await?;
    in_state(stack, &id, "started").await?;
    Ok(id)
}

/// What tells the task to end.
fn sign(stack: &Stack) -> PathBuf {
    stack.folder().join("end")
}

/// Tells the task to end, and waits until the worker itself says that it has.
async fn end(stack: &Stack, task_id: &str) -> Result<()> {
    std::fs::write(sign(stack), "")?;
    eventually("it ends", async || {
        let log = stack.worker.as_ref().map(Process::log).unwrap_or_default();
        Ok(log.contains(&format!("[{task_id}] succeeded")).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_task_whose_worker_was_killed_is_lost_and_the_evidence_names_the_worker() -> Result<()> {
    let mut stack = impatient_stack().await?;
    let id = stack.producer.send("shop.wait", json!([300]), json!({}), "default").await?;
    in_state(&stack, &id, "started").await?;
    lose_worker(&mut stack);
    let task = in_state(&stack, &id, "lost").await?;
    let evidence: Vec<String> = serde_json::from_value(task["lost"]["evidence"].clone())?;
    let says = |what: &str| evidence.iter().any(|clause| clause.contains(what));
    ensure!(says("w1@test") && says("is gone"), "{evidence:?}");
    ensure!(says("no result is stored") && says("neither waits in a known queue nor is with a worker"), "{evidence:?}");
    assert_eq!((&task["lost"]["worker"], &task["exception_message"]), (&json!("w1@test"), &Value::Null));

    // Nobody gave a command, and nothing was retried.
    assert_eq!(stack.api.get("commands").await?["items"], json!([]));
    assert_eq!(stack.api.get("tasks").await?["items"].as_array().map(Vec::len), Some(1));
    let asked = stack.api.get("commands?inquiries=true").await?;
    ensure!(asked["items"].as_array().is_some_and(|asked| asked.len() >= 2), "it was asked twice at least: {asked}");
    Ok(())
}

#[tokio::test]
async fn a_task_that_ended_while_nobody_listened_is_completed_from_its_result() -> Result<()> {
    let mut stack = impatient_stack().await?;
    let id = begun(&mut stack, "shop.wait_for").await?;
    if let Some(agent) = stack.agent.take() {
        agent.kill().await?;
    }
    end(&stack, &id).await?;
    assert_eq!(stack.api.get(&format!("tasks/celery/{id}")).await?["state"], "started");
    stack.start_agent()?;
    let task = in_state(&stack, &id, "succeeded").await?;
    ensure!(task["finished_at"].is_string() && task["lost"].is_null(), "{task}");
    Ok(())
}

#[tokio::test]
async fn a_task_that_runs_for_long_stays_started_and_is_asked_about_again() -> Result<()> {
    let mut stack = impatient_stack().await?;
    let id = stack.producer.send("shop.wait", json!([300]), json!({}), "default").await?;
    in_state(&stack, &id, "started").await?;
    came_to(&stack, "Alive", 2).await?;
    let task = stack.api.get(&format!("tasks/celery/{id}")).await?;
    assert_eq!((&task["state"], &task["started_twice"]), (&json!("started"), &json!(false)), "{task}");
    assert_eq!(task["attempts"][0]["starts"].as_array().map(Vec::len), Some(1), "{task}");
    assert_eq!([questions(&stack, "Missing").await?, questions(&stack, "Lost").await?], [0, 0]);
    Ok(())
}

#[tokio::test]
async fn a_task_whose_end_made_no_sound_and_left_no_result_is_not_lost() -> Result<()> {
    let mut stack = impatient_stack().await?;
    let id = begun(&mut stack, "shop.wait_for_unkept").await?;
    stack.agent.take().context("an agent")?.terminate().await?;
    stack.agent_options = vec!["--events=off".to_owned()];
    end(&stack, &id).await?;
    stack.start_agent()?;
    came_to(&stack, "Unclear", 2).await?;
    let task = stack.api.get(&format!("tasks/celery/{id}")).await?;
    assert_eq!((&task["state"], &task["lost"]), (&json!("started"), &Value::Null), "{task}");
    assert_eq!([questions(&stack, "Missing").await?, questions(&stack, "Lost").await?], [0, 0]);
    Ok(())
}

/// Waits until the one message that is with a worker was delivered more than so many seconds ago.
async fn delivered_before(stack: &Stack, seconds: f64) -> Result<()> {
    let mut redis = patient_redis(&stack.broker).await?;
    eventually("the message is overdue", async || {
        let mut query = redis::cmd("ZRANGE");
        query.arg("unacked_index").arg(0).arg(-1).arg("WITHSCORES");
        let delivered: Vec<(String, f64)> = query.query_async(&mut redis).await?;
        let [(_, at)] = delivered.as_slice() else { bail!("one message should be with a worker: {delivered:?}") };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        Ok((now - at > seconds).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_message_that_is_delivered_again_is_not_lost_and_shows_both_starts() -> Result<()> {
    let mut stack = impatient_stack().await?;
    let id = stack.producer.send("shop.wait_late", json!([300]), json!({}), "default").await?;
    in_state(&stack, &id, "started").await?;
    lose_worker(&mut stack);
    // Its message is delivered and not acknowledged: it is not lost, though nobody runs it.
    let alive = questions(&stack, "Alive").await?;
    came_to(&stack, "Alive", alive + 2).await?;
    assert_eq!(stack.api.get(&format!("tasks/celery/{id}")).await?["state"], "started");

    // A worker looks for overdue messages in its first ten seconds, and then not for long: it has to be overdue by then.
    stack.celery.deliver_again_after(3);
    delivered_before(&stack, 3.0).await?;
    stack.celery.tell_from_start();
    stack.start_worker("w2", "default").await?;
    let task = eventually("the second start", async || {
        let task = stack.api.get(&format!("tasks/celery/{id}")).await?;
        Ok((task["started_twice"] == true).then_some(task))
    })
    .await
    .with_context(|| stack.logs())?;
    let starts = task["attempts"][0]["starts"].as_array().context("starts")?;
    let workers: Vec<&Value> = starts.iter().map(|start| &start["worker"]).collect();
    assert_eq!(workers, [&json!("w1@test"), &json!("w2@test")], "{task}");
    assert_eq!((&task["state"], &task["worker"]), (&json!("started"), &json!("w2@test")), "{task}");
    assert_eq!(questions(&stack, "Lost").await?, 0);
    Ok(())
}
