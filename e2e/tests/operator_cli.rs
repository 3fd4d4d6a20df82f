//! The operator's commands of the binary, on the real thing: what the dashboard does, from a terminal and from scripts.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{Stack, StackOptions, binary, eventually, free_port, run_binary};
use tokio::process::Command;

/// How a command ended and what it printed.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:?}"))
    }

    /// Checks how it ended and that the sentence on standard error, and nothing else, holds `words`.
    fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        let sentence = self.err.strip_suffix('\n').unwrap_or_default();
        assert!(sentence.starts_with("taskplane: ") && !sentence.contains('\n'), "{self:?}");
        for word in words {
            assert!(sentence.contains(word), "\"{word}\" is not in: {sentence}");
        }
    }
}

/// Runs the binary with this address and key in its environment.
async fn taskplane(url: &str, key: &str, args: &[&str]) -> Result<Ended> {
    let mut command = Command::new(binary()?);
    command.args(args).env("TASKPLANE_URL", url).env("TASKPLANE_API_KEY", key).stdin(Stdio::null());
    let output = command.env_remove("TASKPLANE_PROJECT").output().await?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
}

async fn operate(stack: &Stack, args: &[&str]) -> Result<Ended> {
    taskplane(&stack.url, &stack.api_key, args).await
}

/// Runs a command that must succeed.
async fn done(stack: &Stack, args: &[&str]) -> Result<Ended> {
    let ended = operate(stack, args).await?;
    assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}\n{}", stack.logs());
    Ok(ended)
}

/// True when a worker did not reply within the second that it has: a busy one carries an order out all the same, later.
fn is_unanswered(ended: &Ended) -> bool {
    ended.code == Some(1) && ended.out.contains("did not reply")
}

/// Gives workers an order that may be given twice, until they have replied.
async fn replied(stack: &Stack, args: &[&str]) -> Result<Ended> {
    let replied = eventually("a reply", async || {
        let ended = operate(stack, args).await?;
        Ok((!is_unanswered(&ended)).then_some(ended))
    });
    replied.await.with_context(|| stack.logs())
}

/// Runs an order that may be given twice, and that must succeed.
async fn carried_out(stack: &Stack, args: &[&str]) -> Result<Ended> {
    let ended = replied(stack, args).await?;
    assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}\n{}", stack.logs());
    Ok(ended)
}

#[tokio::test]
async fn a_failed_task_is_found_shown_and_retried() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    let old = stack.producer.send("shop.charge", json!([17]), json!({}), "emails").await?;
    let fine = stack.producer.send("shop.add", json!([1, 2]), json!({}), "emails").await?;
    stack.api.task_in_state(&old, "failed").await.with_context(|| stack.logs())?;
    stack.api.task_in_state(&fine, "succeeded").await?;

    let list = done(&stack, &["tasks", "list", "--state", "failed"]).await?.out;
    assert!(list.starts_with("ID ") && list.lines().count() == 2, "{list}");
    for part in [&old, "failed", "shop.charge", "emails", "w1@test", "card declined for order 17"] {
        assert!(list.contains(part), "\"{part}\" is not in:\n{list}");
    }
    assert!(!list.contains('\u{1b}'), "colours, though this is no terminal:\n{list}");
    let list = done(&stack, &["tasks", "list", "--q", "name:shop.*", "--since", "1h", "--json"]).await?.json()?;
    let ids: Vec<_> = list.as_array().into_iter().flatten().map(|task| task["task_id"].clone()).collect();
    assert!(ids.len() == 2 && ids.contains(&json!(old)) && ids.contains(&json!(fine)), "{list}");
    let one = done(&stack, &["tasks", "list", "--limit", "1", "--json"]).await?;
    assert_eq!(one.json()?.as_array().map(Vec::len), Some(1), "{one:?}");
    assert!(one.err.contains("--limit"), "{one:?}");
    let none = done(&stack, &["tasks", "list", "--name", "no.such.*"]).await?;
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "no tasks match\n"));

    let page = done(&stack, &["tasks", "show", &old]).await?.out;
    for part in [&old, "ValueError: card declined for order 17", "[17]", "ATTEMPT", "Traceback (most recent call last)"]
    {
        assert!(page.contains(part), "\"{part}\" is not in:\n{page}");
    }
    let task = done(&stack, &["tasks", "show", &old, "--engine", "celery", "--json"]).await?.json()?;
    assert_eq!((&task["task_id"], &task["attempts"][0]["state"]), (&json!(old), &json!("failed")), "{task}");

    let new = done(&stack, &["tasks", "retry", &old]).await?.out.trim_end().to_owned();
    // The agent tells the queue, once it has sent the task; the worker may be faster.
    let has_failed = |task: &Value| task["state"] == "failed" && task["queue"] == "emails";
    let retried = stack.api.task_where(&new, "failed, of its queue", has_failed).await?;
    assert_eq!(retried["retry_of"], json!(old), "{retried}");

    let other = ["tasks", "retry", &old, "--args", "[18]", "--kwargs", "{\"card\": \"tok_9\"}", "--queue", "emails"];
    let command = done(&stack, &[&other[..], &["--json"]].concat()).await?.json()?;
    assert_eq!((&command["cmd"], &command["status"]), (&json!("retry_task"), &json!("succeeded")), "{command}");
    let new = command["result"]["new_task_id"].as_str().context("a new id")?;
    let retried = stack.api.task_in_state(new, "failed").await?;
    assert_eq!(retried["exception_message"], "card declined for order 18", "{retried}");
    Ok(())
}

#[tokio::test]
async fn a_retry_that_does_not_succeed_ends_with_1_and_says_why() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    let mut ids = Vec::new();
    for order in 0..3 {
        ids.push(stack.producer.send("shop.charge", json!([order]), json!({}), "emails").await?);
    }
    for id in &ids {
        stack.api.task_in_state(id, "failed").await.with_context(|| stack.logs())?;
    }
    let nobody = "00000000-0000-4000-8000-000000000000";
    operate(&stack, &["tasks", "retry", nobody]).await?.refused(1, &["retry_task failed"]);
    operate(&stack, &["tasks", "retry", &ids[0], &ids[1], "--queue", "q"]).await?.refused(2, &["--queue"]);

    let all = done(&stack, &["tasks", "retry", &ids[0], &ids[1]]).await?;
    let new: Vec<_> = all.out.lines().collect();
    assert_eq!(new.len(), 2, "{all:?}");
    for (old, new) in ids.iter().zip(new) {
        assert_eq!(stack.api.task_in_state(new, "failed").await?["retry_of"], json!(old));
    }
    let some = operate(&stack, &["tasks", "retry", nobody, &ids[2]]).await?;
    assert_eq!((some.code, some.out.lines().count()), (Some(1), 1), "{some:?}");
    for part in [&format!("{nobody} was not retried: "), "taskplane: 1 of 2 tasks were not retried"] {
        assert!(some.err.contains(part), "\"{part}\" is not in: {some:?}");
    }
    let some = operate(&stack, &["tasks", "retry", nobody, &ids[2], "--json"]).await?;
    assert!(some.code == Some(1) && some.json()?["result"]["failed"][nobody].is_string(), "{some:?}");
    Ok(())
}

#[tokio::test]
async fn a_running_task_is_cancelled() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let (id, ended) = eventually("a worker's reply", async || {
        let id = stack.producer.send("shop.wait", json!([300]), json!({}), "default").await?;
        stack.api.task_in_state(&id, "started").await?;
        let ended = operate(&stack, &["tasks", "cancel", &id, "--terminate", "--signal", "SIGKILL"]).await?;
        Ok((!ended.err.contains("no worker replied")).then_some((id, ended)))
    })
    .await
    .with_context(|| stack.logs())?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "revoked\n"), "{ended:?}");
    assert!(ended.err.contains("terminated on w1@test with SIGKILL"), "{ended:?}");
    stack.api.task_in_state(&id, "revoked").await?;
    let ended = operate(&stack, &["tasks", "cancel", &id, "--signal", "SIGKILL"]).await?;
    assert!(ended.code == Some(2) && ended.err.contains("--terminate"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_queue_is_purged_only_when_that_was_confirmed() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    for n in 0..7 {
        // No worker consumes this queue.
        stack.producer.send("shop.add", json!([n]), json!({}), "forgotten").await?;
    }
    eventually("seven waiting", async || {
        let queues = done(&stack, &["queues", "list", "--json"]).await?.json()?;
        let queue = queues.as_array().into_iter().flatten().find(|queue| queue["name"] == "forgotten");
        Ok(queue.is_some_and(|queue| queue["depth"] == 7).then_some(()))
    })
    .await?;
    let list = done(&stack, &["queues", "list"]).await?.out;
    assert!(list.starts_with("NAME ") && list.contains("forgotten"), "{list}");

    let purge = ["queues", "purge", "forgotten"];
    operate(&stack, &purge).await?.refused(2, &["nothing was deleted", "7 messages", "forgotten", "--yes"]);
    operate(&stack, &["queues", "purge", "forgoten"]).await?.refused(1, &["\"forgoten\"", "queues list"]);
    let ended = done(&stack, &[&purge[..], &["--yes"]].concat()).await?;
    assert_eq!(ended.out, "7 messages of the queue forgotten deleted\n", "{ended:?}");
    let command = done(&stack, &[&purge[..], &["--yes", "--json"]].concat()).await?.json()?;
    assert_eq!(command["result"]["purged"], 0, "{command}");

    let workers = done(&stack, &["workers", "list"]).await?.out;
    assert!(workers.contains("w1@test") && workers.contains("default, emails"), "{workers}");
    assert_eq!(done(&stack, &["workers", "list", "--json"]).await?.json()?[0]["name"], "w1@test");
    let agents = done(&stack, &["agents", "list"]).await?.out;
    assert!(agents.contains("sidecar") && agents.contains("online"), "{agents}");
    assert_eq!(done(&stack, &["agents", "list", "--json"]).await?.json()?[0]["engines"], json!(["celery"]));
    Ok(())
}

#[tokio::test]
async fn workers_are_given_orders_and_each_reply_is_shown() -> Result<()> {
    let stack = Stack::start(StackOptions { queues: "default" }).await?;
    let worker = async |what: &str, is: &dyn Fn(&Value) -> bool| {
        let found = eventually(what, async || {
            let workers = stack.api.get("workers").await?;
            Ok(workers["items"].as_array().into_iter().flatten().find(|worker| is(worker)).cloned())
        });
        found.await.with_context(|| stack.logs())
    };
    let before = worker("the worker", &|worker| worker["concurrency"].is_u64()).await?["concurrency"].clone();
    let pinged = carried_out(&stack, &["workers", "ping"]).await?.out;
    assert!(pinged.contains("w1@test") && pinged.contains("pong"), "{pinged}");

    let grow = operate(&stack, &["workers", "grow", "w1@test", "--by", "2"]).await?;
    assert!(grow.code == Some(0) || is_unanswered(&grow), "{grow:?}");
    let grown = before.as_u64().unwrap_or(0) + 2;
    worker("a grown pool", &|worker| worker["concurrency"] == grown).await?;
    let shrink = operate(&stack, &["workers", "shrink", "w1@test", "--by", "2"]).await?;
    assert!(shrink.code == Some(0) || is_unanswered(&shrink), "{shrink:?}");
    worker("a shrunk pool", &|worker| worker["concurrency"] == before).await?;

    carried_out(&stack, &["workers", "add-consumer", "late", "w1@test"]).await?;
    worker("one more queue", &|worker| worker["queues"] == json!(["default", "late"])).await?;
    let limited = carried_out(&stack, &["workers", "rate-limit", "shop.add", "10/s", "w1@test"]).await?.out;
    assert!(limited.contains("new rate limit set successfully"), "{limited}");
    let unknown = replied(&stack, &["workers", "rate-limit", "shop.nothing", "10/s", "w1@test"]).await?;
    assert!(unknown.code == Some(1) && unknown.out.contains("unknown task"), "{unknown:?}");
    let silent = operate(&stack, &["workers", "ping", "nobody@test"]).await?;
    assert!(silent.code == Some(1) && silent.out.contains("did not reply"), "{silent:?}");

    operate(&stack, &["workers", "shutdown", "w1@test"]).await?.refused(2, &["nothing was done", "w1@test", "--yes"]);
    // It is told only when it has answered a ping just before.
    carried_out(&stack, &["workers", "shutdown", "w1@test", "--yes"]).await?;
    worker("a worker that is gone", &|worker| worker["state"] == "offline").await?;
    // Who asked for it is on record.
    let audit = stack.api.get("audit").await?.to_string();
    assert!(audit.contains("worker_control") && audit.contains("shutdown"), "{audit}");
    Ok(())
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_a_sentence() -> Result<()> {
    let stack = Stack::start(StackOptions { queues: "" }).await?;
    let [flag, place] = stack.store_options();
    let viewer = run_binary(&["api-key", "create", "--role", "viewer", &flag, &place]).await?;
    let viewer = String::from_utf8(viewer.stdout)?.trim().to_owned();
    let (url, key) = (stack.url.as_str(), stack.api_key.as_str());
    let nowhere = format!("http://127.0.0.1:{}", free_port()?);
    let list = ["tasks", "list"];

    taskplane(&nowhere, key, &list).await?.refused(1, &[&nowhere, "cannot be reached", "refused", "--url"]);
    taskplane(&url.replace("http:", "https:"), key, &list).await?.refused(1, &["does not speak TLS", "http://"]);
    taskplane(url, "", &list).await?.refused(2, &["API key", "taskplane api-key create", "TASKPLANE_API_KEY"]);
    let wrong = taskplane(url, "tpk_nonsense", &list).await?;
    wrong.refused(1, &["refused the API key", "taskplane api-key create"]);
    assert!(!wrong.err.contains("tpk_nonsense"), "{wrong:?}");
    let viewer_may = taskplane(url, &viewer, &list).await?;
    assert_eq!(viewer_may.code, Some(0), "{viewer_may:?}");
    let viewer_may_not = taskplane(url, &viewer, &["tasks", "retry", "x"]).await?;
    viewer_may_not.refused(1, &["role operator", "role viewer", "--role operator"]);
    operate(&stack, &["tasks", "show", "no-such-task"]).await?.refused(1, &["no-such-task", "tasks list"]);
    operate(&stack, &["tasks", "show", "a/b?c"]).await?.refused(1, &["a/b?c"]);
    operate(&stack, &["tasks", "list", "--project", "nope"]).await?.refused(1, &["\"nope\"", "--project"]);
    operate(&stack, &["tasks", "list", "--state", "flying"]).await?.refused(2, &["flying"]);
    operate(&stack, &["tasks", "list", "--q", "colour:red"]).await?.refused(2, &["colour"]);
    Ok(())
}
