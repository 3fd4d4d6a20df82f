//! "Why is this not running?" and what needs someone, on the real thing: from a terminal, as a person on call asks.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskplane_e2e::{Process, Stack, StackOptions, binary, eventually, eventually_within, pause, say};
use tokio::process::Command;

/// A worker is idle after a minute, and far ETAs are looked for every minute.
const MINUTES: Duration = Duration::from_secs(300);

/// Runs a command of the operator's, which must succeed; what it printed.
async fn taskplane(stack: &Stack, args: &[&str]) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(args).env("TASKPLANE_URL", &stack.url).env("TASKPLANE_API_KEY", &stack.api_key).stdin(Stdio::null());
    let output = command.output().await?;
    ensure!(output.status.success(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stdout)?;
    if !args.contains(&"--json") {
        say(&format!("$ taskplane {}\n{text}", args.join(" ")));
    }
    Ok(text)
}

/// The answer for a task, once its first reason has this code.
async fn why(stack: &Stack, task_id: &str, code: &str) -> Result<Value> {
    why_where(stack, task_id, code, |why| why["reasons"][0]["code"] == code).await
}

/// The answer for a task, once its reasons have these codes and no others: what each is known by comes in by a way of its own.
async fn why_all(stack: &Stack, task_id: &str, all: &[&str]) -> Result<Value> {
    why_where(stack, task_id, &all.join(", "), |why| codes(why) == all).await
}

async fn why_where(stack: &Stack, task_id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = String::new();
    let found = eventually_within(MINUTES, &format!("{what} of {task_id}"), async || {
        last = taskplane(stack, &["tasks", "why", task_id, "--json"]).await?;
        let why: Value = serde_json::from_str(&last)?;
        Ok(wanted(&why).then_some(why))
    })
    .await;
    found.with_context(|| format!("the last answer was {last}\n{}", stack.logs()))
}

/// What a command prints, once all of this is in it.
async fn told(stack: &Stack, args: &[&str], parts: &[&str]) -> Result<String> {
    let mut last = String::new();
    let found = eventually(&format!("{parts:?} of {args:?}"), async || {
        last = taskplane(stack, args).await?;
        Ok(parts.iter().all(|part| last.contains(part)).then(|| last.clone()))
    })
    .await;
    found.with_context(|| format!("what was printed last is\n{last}\n{}", stack.logs()))
}

/// The problem of a kind, once there is one.
async fn problem(stack: &Stack, kind: &str) -> Result<Value> {
    let mut last = String::new();
    let found = eventually_within(MINUTES, kind, async || {
        last = taskplane(stack, &["problems", "--json"]).await?;
        let problems: Value = serde_json::from_str(&last)?;
        Ok(problems.as_array().into_iter().flatten().find(|problem| problem["kind"] == kind).cloned())
    })
    .await;
    found.with_context(|| format!("the last problems were {last}\n{}", stack.logs()))
}

fn codes(why: &Value) -> Vec<&str> {
    why["reasons"].as_array().into_iter().flatten().filter_map(|reason| reason["code"].as_str()).collect()
}

/// A worker that runs one task at a time.
async fn narrow_worker(stack: &Stack, name: &str, queue: &str) -> Result<Process> {
    let node = format!("{name}@test");
    let args = ["-m", "celery", "-A", "shop", "worker", "--concurrency", "1", "--hostname", &node, "--queues", queue];
    let worker = stack.celery.python(&format!("worker-{name}"), &args, &[], stack.folder())?;
    let known = eventually("the narrow worker", async || {
        let workers = stack.api.get("workers").await?;
        let mut workers = workers["items"].as_array().into_iter().flatten();
        Ok(workers.any(|worker| worker["name"] == *node && worker["queues"] == json!([queue])).then_some(()))
    });
    known.await.with_context(|| worker.log())?;
    Ok(worker)
}

#[tokio::test]
async fn a_queue_that_nobody_consumes_is_the_answer_and_a_problem() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let forgotten = stack.producer.send("shop.add", json!([1]), json!({}), "forgotten").await?;
    stack.api.task_in_state(&forgotten, "pending").await.with_context(|| stack.logs())?;
    let answer = why(&stack, &forgotten, "queue_unconsumed").await?;
    assert_eq!(answer["summary"], "It does not run because no worker consumes its queue forgotten.", "{answer}");
    let reason = &answer["reasons"][0];
    assert_eq!((&reason["role"], &reason["known_by"]), (&json!("blocks"), &json!("queue_sample")), "{reason}");

    let parts = [
        "no worker consumes its queue forgotten",
        "blocks",
        "Found in  queue",
        "its message waits in the queue forgotten",
    ];
    // An agent that is slow to answer is not waited for.
    told(&stack, &["tasks", "why", &forgotten, "--ask"], &parts).await?;
    let problems = told(&stack, &["problems"], &["No worker consumes forgotten"]).await?;
    assert!(problems.starts_with("SEVERITY"), "{problems}");

    // The worker lives on, and takes nothing from this queue any more. It has a second to reply, and can be told again.
    let cancel = ["workers", "cancel-consumer", "emails", "w1@test"];
    eventually("the worker's reply", async || taskplane(&stack, &cancel).await.map(Some)).await?;
    let left = stack.producer.send("shop.add", json!([1]), json!({}), "emails").await?;
    why(&stack, &left, "queue_unconsumed").await?;
    told(&stack, &["problems"], &["No worker consumes emails"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_task_waits_for_its_eta_and_one_beyond_the_visibility_timeout_is_a_problem() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "" }).await?;
    stack.celery.deliver_again_after(900);
    stack.start_worker("w1", "default").await?;
    let soon = stack.producer.send_later("shop.add", json!([1]), "default", 600).await?;
    let late = stack.producer.send_later("shop.add", json!([2]), "default", 7_200).await?;
    for id in [&soon, &late] {
        stack.api.task_in_state(id, "received").await.with_context(|| stack.logs())?;
    }
    let answer = why_all(&stack, &soon, &["eta", "held_by_worker"]).await?;
    assert!(answer["summary"].as_str().is_some_and(|text| text.contains("it is not to run before")), "{answer}");

    let found = problem(&stack, "eta_beyond_visibility").await?;
    assert_eq!(found["subject"]["name"], "w1@test", "{found}");
    let cause = found["cause"].as_str().context("a cause")?;
    assert!(cause.contains("15 min") && cause.contains(&late) && !cause.contains(&soon), "{cause}");
    why_all(&stack, &late, &["eta", "eta_beyond_visibility", "held_by_worker"]).await?;
    taskplane(&stack, &["tasks", "why", &late, "--ask"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_without_task_events_is_named() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "" }).await?;
    stack.agent.take().context("an agent")?.kill().await?;
    stack.agent_options = vec!["--events".to_owned(), "off".to_owned()];
    stack.start_agent()?;
    stack.start_worker("w1", "default").await?;
    // A worker does not tell; that it goes on running tasks of which no event comes shows it.
    let off = eventually("the worker is named", async || {
        stack.producer.send("shop.add", json!([1]), json!({}), "default").await?;
        let problems = stack.api.get("problems").await?;
        let mut problems = problems["items"].as_array().into_iter().flatten();
        Ok(problems.find(|problem| problem["kind"] == "events_off").cloned())
    });
    let off = off.await?;
    assert_eq!((&off["subject"]["name"], &off["severity"]), (&json!("w1@test"), &json!("warning")), "{off}");
    assert!(
        off["cause"].as_str().is_some_and(|cause| cause.contains("Its agent was told not to turn them on")),
        "{off}"
    );
    assert!(off["remedy"].as_str().is_some_and(|remedy| remedy.contains("-E")), "{off}");
    Ok(())
}

#[tokio::test]
async fn a_task_behind_a_busy_worker_is_told_what_it_runs() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "" }).await?;
    let _worker = narrow_worker(&stack, "narrow", "slow").await?;
    let running = stack.producer.send("shop.wait", json!([300]), json!({}), "slow").await?;
    stack.api.task_in_state(&running, "started").await.with_context(|| stack.logs())?;
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(stack.producer.send("shop.add", json!([n]), json!({}), "slow").await?);
    }
    // It takes the first ones ahead, and leaves the last ones in the queue.
    let (first, last) = (&ids[0], &ids[11]);
    stack.api.task_in_state(first, "received").await.with_context(|| stack.logs())?;
    let held = why_all(&stack, first, &["workers_busy", "held_by_worker"]).await?;
    let text = held["reasons"][0]["text"].as_str().context("a text")?;
    assert!(text.contains("narrow@test runs 1 of 1 task") && text.contains("shop.wait since"), "{held}");

    stack.api.task_in_state(last, "pending").await.with_context(|| stack.logs())?;
    let behind = why_all(&stack, last, &["workers_busy", "behind"]).await?;
    assert!(
        behind["reasons"][1]["text"].as_str().is_some_and(|text| text.contains("wait in the queue slow")),
        "{behind}"
    );

    let runs = why(&stack, &running, "running").await?;
    assert_eq!(
        (&runs["summary"], runs["reasons"].as_array().map(Vec::len)),
        (&json!("It is running."), Some(1)),
        "{runs}"
    );
    Ok(())
}

#[tokio::test]
async fn a_worker_whose_heartbeats_come_and_that_takes_nothing_is_named() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "" }).await?;
    let worker = narrow_worker(&stack, "ghost", "slow").await?;
    let before = stack.producer.send("shop.add", json!([1]), json!({}), "slow").await?;
    stack.api.task_in_state(&before, "succeeded").await.with_context(|| stack.logs())?;
    // Its pool hangs; the worker itself lives, sends heartbeats and answers.
    let child = child_of(&worker).await?;
    signal("-STOP", &child).await?;
    let mut last = String::new();
    for n in 0..20 {
        last = stack.producer.send("shop.add", json!([n]), json!({}), "slow").await?;
    }
    let idle = problem(&stack, "worker_idle").await?;
    assert_eq!((&idle["subject"]["name"], &idle["severity"]), (&json!("ghost@test"), &json!("error")), "{idle}");
    assert!(idle["cause"].as_str().is_some_and(|cause| cause.contains("wait in slow")), "{idle}");
    let answer = why(&stack, &last, "worker_idle").await?;
    assert_eq!(answer["summary"], "It does not run because ghost@test takes no tasks of its queue slow.", "{answer}");

    taskplane(&stack, &["problems"]).await?;
    taskplane(&stack, &["tasks", "why", &last]).await?;

    signal("-CONT", &child).await?;
    stack.api.task_in_state(&last, "succeeded").await?;
    eventually("no problem is left", async || {
        let problems = stack.api.get("problems").await?;
        Ok((problems["items"] == json!([])).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_task_whose_worker_is_silent_is_told_that_it_is_gone() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "" }).await?;
    let worker = narrow_worker(&stack, "frozen", "slow").await?;
    let running = stack.producer.send("shop.wait", json!([300]), json!({}), "slow").await?;
    let held = stack.producer.send("shop.add", json!([1]), json!({}), "slow").await?;
    stack.api.task_in_state(&running, "started").await.with_context(|| stack.logs())?;
    stack.api.task_in_state(&held, "received").await?;
    pause(&worker)?;
    let offline = problem(&stack, "worker_offline").await?;
    assert_eq!(offline["subject"]["name"], "frozen@test", "{offline}");
    for id in [&running, &held] {
        let answer = why(&stack, id, "worker_gone").await?;
        taskplane(&stack, &["tasks", "why", id, "--ask"]).await?;
        assert!(answer["summary"].as_str().is_some_and(|text| text.contains("the worker frozen@test")), "{answer}");
    }
    Ok(())
}

/// The process of a worker's pool.
async fn child_of(worker: &Process) -> Result<String> {
    let pid = worker.pid().context("the worker has ended")?.to_string();
    let found = Command::new("pgrep").args(["-P", &pid]).output().await?;
    let children = String::from_utf8(found.stdout)?;
    let mut children = children.lines();
    let child = children.next().context("the worker has no pool")?.to_owned();
    ensure!(children.next().is_none(), "the pool has one process");
    Ok(child)
}

async fn signal(signal: &str, pid: &str) -> Result<()> {
    let sent = Command::new("kill").args([signal, pid]).status().await?;
    ensure!(sent.success(), "kill {signal} {pid}");
    Ok(())
}
