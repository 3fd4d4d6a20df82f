//! Story 2 for many tasks: everything that failed is retried as a job, through a death of the brain and of the agent, and no task
//! twice.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskplane_e2e::{Stack, StackOptions, eventually};

/// Failed tasks of the first test.
const TASKS: usize = 300;

fn number(job: &Value, key: &str) -> u64 {
    job["counts"][key].as_u64().unwrap_or(0)
}

async fn failed_tasks(stack: &mut Stack, count: usize) -> Result<()> {
    for order in 0..count {
        stack.producer.send("shop.charge", json!([order]), json!({}), "emails").await?;
    }
    eventually("all of them failed", async || {
        let counts = stack.api.get("task-counts").await?;
        Ok((counts["counts"]["failed"]["count"] == count).then_some(()))
    })
    .await
    .with_context(|| stack.logs())
}

async fn bulk(stack: &Stack, body: Value, expected: u16) -> Result<Value> {
    let (status, answer) = stack.api.post("bulk", &body).await?;
    ensure!(status == expected, "{status}: {answer}\n{}", stack.logs());
    Ok(answer)
}

async fn job_where(stack: &Stack, job: &Value, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
    let path = format!("bulk/{}", job["id"].as_str().context("an id")?);
    let mut last = Value::Null;
    let found = eventually(what, async || {
        // The brain may just be away.
        last = stack.api.get(&path).await?;
        Ok(is(&last).then(|| last.clone()))
    })
    .await;
    found.with_context(|| format!("the job was last seen as {last}\n{}", stack.logs()))
}

/// How often each order was charged, by the worker's own log.
fn executions(stack: &Stack) -> BTreeMap<String, usize> {
    let log = stack.worker.as_ref().map(taskplane_e2e::Process::log).unwrap_or_default();
    let mut times = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("] raised unexpected:")) {
        let order = line.rsplit("for order ").next().unwrap_or_default();
        let order: String = order.chars().take_while(char::is_ascii_digit).collect();
        *times.entry(order).or_default() += 1;
    }
    times
}

#[tokio::test]
async fn many_failed_tasks_are_retried_once_each_whoever_dies_meanwhile() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    failed_tasks(&mut stack, TASKS).await?;
    let filter = json!({"state": "failed", "name": "shop.charge"});

    let dry_run = bulk(&stack, json!({"cmd": "retry", "filter": filter, "dry_run": true}), 200).await?;
    assert_eq!((&dry_run["total"], &dry_run["retryable"]), (&json!(TASKS), &json!(TASKS)), "{dry_run}");
    assert_eq!(dry_run["by_name"], json!([{"value": "shop.charge", "count": TASKS}]));
    assert_eq!(stack.api.get("bulk").await?["items"], json!([]));

    let body = json!({
        "cmd": "retry", "filter": filter, "expected_count": TASKS,
        "canary": 5, "rate_per_minute": 1_200, "stop_above_percent": 100,
    });
    let job = bulk(&stack, body, 202).await?;
    assert_eq!(number(&job, "total"), TASKS as u64, "{job}");

    job_where(&stack, &job, "a third of it sent", |job| number(job, "accepted") >= 100).await?;
    if let Some(brain) = stack.brain.take() {
        brain.kill().await?;
    }
    stack.start_brain().await?;
    let before = job_where(&stack, &job, "more of it sent", |job| number(job, "accepted") >= 160).await?;
    if let Some(agent) = stack.agent.take() {
        agent.kill().await?;
    }
    job_where(&stack, &job, "it waits", |job| job["waits_for"] == "agents" || job["state"] == "paused").await?;
    stack.start_agent()?;
    job_where(&stack, &job, "it goes on", |job| number(job, "accepted") > number(&before, "accepted")).await?;

    let done = job_where(&stack, &job, "it finished", |job| job["state"] == "finished").await?;
    let (accepted, unknown, refused) = (number(&done, "accepted"), number(&done, "unknown"), number(&done, "refused"));
    // An agent that was killed may have forgotten tasks whose arguments nothing but its memory had: it says so.
    let reasons: Vec<_> = done["refused_by"].as_object().into_iter().flatten().map(|(code, _)| code.as_str()).collect();
    assert!(reasons.iter().all(|code| matches!(*code, "not_found" | "no_original_payload")), "{done}");
    assert_eq!((accepted + unknown + refused, number(&done, "waiting")), (TASKS as u64, 0), "{done}");
    assert!(accepted >= 160, "{done}");
    // Each death leaves at most what was on its way open: a second's worth when all goes well, three when an agent was slow to answer.
    assert!(unknown <= 120, "{done}");
    assert_eq!(number(&done, "failed"), accepted, "they all fail again: {done}");

    let times = executions(&stack);
    assert_eq!(times.len(), TASKS, "each was executed at first");
    assert!(times.values().all(|times| *times <= 2), "retried more than once: {times:?}");
    let retried = times.values().filter(|times| **times == 2).count() as u64;
    assert!((accepted..=accepted + unknown).contains(&retried), "{retried} executed again: {done}");

    // What it retried failed again, and is new; what was refused can be tried again; what it may have retried is left alone.
    let again = bulk(&stack, json!({"cmd": "retry", "filter": filter, "dry_run": true}), 200).await?;
    assert!(again["retryable"].as_u64().is_some_and(|count| count <= retried + refused), "{again}");
    Ok(())
}

#[tokio::test]
async fn a_job_whose_tasks_fail_again_stops() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    failed_tasks(&mut stack, 40).await?;
    let body = json!({"cmd": "retry", "filter": {"state": "failed"}, "canary": 3});
    let job = bulk(&stack, body, 202).await?;
    let stopped = job_where(&stack, &job, "it stopped", |job| job["state"] == "stopped").await?;
    assert_eq!((number(&stopped, "accepted"), number(&stopped, "waiting")), (3, 37), "{stopped}");
    let items = stack.api.get(&format!("bulk/{}/items?state=accepted", job["id"].as_str().context("an id")?)).await?;
    let failed = items["items"].as_array().context("items")?.iter().filter(|item| item["outcome"] == "failed");
    assert_eq!(failed.count(), 3, "{items}");
    Ok(())
}
