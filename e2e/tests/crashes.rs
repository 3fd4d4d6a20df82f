//! Story 5, trust: brain and agent are killed at random moments under load, and every event is accounted for.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{
    Dice, Pipeline, PipelineOptions, Stack, StackOptions, account, all_tasks, check_agents, eventually, say, statistics,
};

/// How often each side is killed.
const KILLS_PER_SIDE: usize = 12;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Brain,
    Agent,
}

#[tokio::test]
async fn brain_and_agent_are_killed_at_random_under_load_and_every_event_is_there_once() -> Result<()> {
    let dice = Dice::new()?;
    let origin = dice.origin();
    run(dice).await.context(origin)
}

async fn run(mut dice: Dice) -> Result<()> {
    let mut pipeline = Pipeline::start(PipelineOptions::default()).await?;
    pipeline.start_agent()?;
    let mut feed = pipeline.feed(0, &dice).await?;
    let mut victims = [[Victim::Brain; KILLS_PER_SIDE], [Victim::Agent; KILLS_PER_SIDE]].concat();
    dice.shuffle(&mut victims);
    for victim in victims {
        for _ in 0..dice.below(40) {
            feed.publish(50).await?;
            tokio::time::sleep(dice.millis(5, 25)).await;
        }
        // Load, up to the very moment of the kill.
        feed.publish(300).await?;
        match victim {
            Victim::Brain => {
                pipeline.kill_brain().await?;
                for _ in 0..dice.below(10) {
                    feed.publish(50).await?;
                    tokio::time::sleep(dice.millis(5, 30)).await;
                }
                // Not waited for: the next kill may come while it starts.
                pipeline.spawn_brain()?;
            }
            Victim::Agent => {
                pipeline.kill_agent(&mut feed).await?;
                pipeline.start_agent()?;
                pipeline.is_heard(&mut feed).await?;
            }
        }
    }
    // The last agent has no reason to wait long before it connects.
    pipeline.is_ready().await?;
    pipeline.kill_agent(&mut feed).await?;
    pipeline.start_agent()?;
    pipeline.is_heard(&mut feed).await?;
    feed.publish(50).await?;
    pipeline.drain(&mut feed).await?;
    let account = account(&pipeline.api, &feed.epochs(), &mut dice).await.with_context(|| pipeline.logs())?;
    say(&format!("{} kills, {account:?}, {}", 2 * KILLS_PER_SIDE + 1, dice.origin()));
    anyhow::ensure!(account.events > 5_000, "there was hardly any load: {account:?}");
    Ok(())
}

/// Real tasks of a real Celery: half succeed, some fail, some succeed at the second attempt.
fn real_task(n: usize) -> (&'static str, serde_json::Value) {
    match n % 6 {
        2 => ("shop.charge", json!([n])),
        4 => ("shop.flaky", json!([1])),
        _ => ("shop.add", json!([n])),
    }
}

/// What a real task has come to: its state, and its attempt.
fn real_end(n: usize) -> (&'static str, u64) {
    match n % 6 {
        2 => ("failed", 0),
        4 => ("succeeded", 1),
        _ => ("succeeded", 0),
    }
}

#[tokio::test]
async fn a_brain_that_is_killed_again_and_again_has_every_task_that_a_real_celery_ran() -> Result<()> {
    let dice = Dice::new()?;
    let origin = dice.origin();
    real_tasks_and_brain_kills(dice).await.context(origin)
}

async fn real_tasks_and_brain_kills(mut dice: Dice) -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let mut ids = Vec::new();
    for _ in 0..10 {
        for _ in 0..6 + dice.below(12) {
            let (task, args) = real_task(ids.len());
            ids.push(stack.producer.send(task, args, json!({}), "default").await?);
        }
        tokio::time::sleep(dice.millis(0, 300)).await;
        stack.brain.take().context("the brain")?.kill().await?;
        tokio::time::sleep(dice.millis(0, 200)).await;
        stack.start_brain().await?;
    }
    for (n, id) in ids.iter().enumerate() {
        let (state, attempt) = real_end(n);
        let task = stack.api.task_in_state(id, state).await.with_context(|| stack.logs())?;
        let events = stack.api.get(&format!("tasks/celery/{id}/events")).await?;
        assert_eq!(task["attempt"], attempt, "{task}, {events}");
    }
    let tasks = all_tasks(&stack.api).await?;
    assert_eq!(tasks.len(), ids.len(), "each task is there once");
    let ends = |wanted: &str| (0..ids.len()).filter(|n| real_end(*n).0 == wanted).count() as u64;
    assert_eq!(statistics(&stack.api, "succeeded").await?, ends("succeeded"));
    assert_eq!(statistics(&stack.api, "failed").await?, ends("failed"));
    let retried = (0..ids.len()).filter(|n| real_end(*n).1 == 1).count() as u64;
    assert_eq!(statistics(&stack.api, "retried").await?, retried);
    check_agents(&stack.api).await
}

/// What Celery publishes while no agent listens is seen by nobody. What is seen must be true all the same.
#[tokio::test]
async fn an_agent_that_is_killed_again_and_again_beside_a_real_celery_tells_nothing_twice_and_nothing_wrong()
-> Result<()> {
    let dice = Dice::new()?;
    let origin = dice.origin();
    real_tasks_and_agent_kills(dice).await.context(origin)
}

async fn real_tasks_and_agent_kills(mut dice: Dice) -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let mut ids = Vec::new();
    for _ in 0..8 {
        for _ in 0..6 + dice.below(12) {
            let (task, args) = real_task(ids.len());
            ids.push(stack.producer.send(task, args, json!({}), "default").await?);
        }
        tokio::time::sleep(dice.millis(0, 1_500)).await;
        stack.agent.take().context("the agent")?.kill().await?;
        stack.start_agent()?;
    }
    // Tasks that begin and end while the last agent listens are known in full.
    let until_known = eventually("a task that is known in full", async || {
        let id = stack.producer.send("shop.add", json!([1]), json!({}), "default").await?;
        tokio::time::sleep(dice.millis(200, 300)).await;
        let task = stack.api.get(&format!("tasks/celery/{id}")).await?;
        Ok((task["state"] == "succeeded" && !task["started_at"].is_null()).then_some(id))
    });
    let last = until_known.await.with_context(|| stack.logs())?;
    let worker = stack.worker.as_ref().context("the worker")?;
    eventually("the worker done", async || {
        let log = worker.log();
        Ok(ids.iter().enumerate().all(|(n, id)| log.contains(&worker_line(n, id))).then_some(()))
    })
    .await?;
    // What the worker has done is on its way for a moment.
    let tasks = eventually("all has come in", async || {
        let tasks = all_tasks(&stack.api).await?;
        let ended = |state: &str| tasks.iter().filter(|task| task["state"] == state).count() as u64;
        let told = [statistics(&stack.api, "succeeded").await?, statistics(&stack.api, "failed").await?];
        Ok((told == [ended("succeeded"), ended("failed")]).then_some(tasks))
    })
    .await
    .context("the statistics are not what the tasks are, counted one by one")?;
    let known: HashMap<&str, &Value> =
        tasks.iter().filter_map(|task| Some((task["task_id"].as_str()?, task))).collect();
    assert_eq!(known.len(), tasks.len(), "each task is there once");
    assert!(known.contains_key(last.as_str()));
    let (mut in_full, mut ended) = (0, [0, 0]);
    for (n, id) in ids.iter().enumerate() {
        let Some(task) = known.get(id.as_str()) else { continue };
        let (end, attempt) = real_end(n);
        let state = task["state"].as_str().context("a state")?;
        let is_on_the_way = matches!(state, "pending" | "received" | "started") || state == "retrying" && attempt == 1;
        let is_true = (state == end || is_on_the_way) && task["attempt"].as_u64().is_some_and(|told| told <= attempt);
        if !is_true {
            let events = stack.api.get(&format!("tasks/celery/{id}/events")).await?;
            panic!("{} ended as {end}, attempt {attempt}, and not so: {task}, {events}", real_task(n).0);
        }
        in_full += usize::from(state == end);
        ended[usize::from(end == "failed")] += u64::from(state == end);
    }
    let others = (known.len() - ids.iter().filter(|id| known.contains_key(id.as_str())).count()) as u64;
    let counted = |state: &str| tasks.iter().filter(|task| task["state"] == state).count() as u64;
    assert!(counted("succeeded") <= ended[0] + others);
    assert_eq!(counted("failed"), ended[1]);
    say(&format!("{in_full} of {} tasks are known to their ends, {}", ids.len(), dice.origin()));
    check_agents(&stack.api).await
}

/// What a worker prints when a task has ended.
fn worker_line(n: usize, id: &str) -> String {
    match real_end(n).0 {
        "failed" => format!("[{id}] raised unexpected"),
        _ => format!("[{id}] succeeded"),
    }
}
