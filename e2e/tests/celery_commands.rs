//! Story 2, something failed: retry it with the same arguments, cancel it, purge a queue; and see what came of it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{Process, Stack, StackOptions, eventually, no_worker_replied};

fn task_args(task_id: &str) -> Value {
    json!({"engine": "celery", "task_id": task_id})
}

#[tokio::test]
async fn a_failed_task_is_retried_with_the_same_arguments_under_a_new_id() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    let card = json!({"card": "tok_visa_from_the_vault_4242"});
    let old = stack.producer.send("shop.charge", json!([17]), card, "emails").await?;
    stack.api.task_in_state(&old, "failed").await.with_context(|| stack.logs())?;

    let command = stack.api.command("retry_task", task_args(&old)).await?;
    assert_eq!(command["status"], "succeeded", "{command}\n{}", stack.logs());
    let new = command["result"]["new_task_id"].as_str().context("a new id")?.to_owned();
    assert_ne!(new, old);

    // The agent tells the queue, once it has sent the task; the worker may be faster.
    let has_failed = |task: &Value| task["state"] == "failed" && task["queue"] == "emails";
    let retried = stack.api.task_where(&new, "failed, of its queue", has_failed).await?;
    // The message is made from the argument: the worker got the original one, though the brain never saw it whole.
    assert_eq!(retried["exception_message"], "card declined for order 17", "{retried}");
    assert_eq!(retried["retry_of"], json!(old), "{retried}");
    let original = stack.api.get(&format!("tasks/celery/{old}")).await?;
    assert_eq!(original["retried_as"], json!(new), "{original}");
    assert!(!format!("{retried}{original}{command}").contains("tok_visa_from_the_vault"), "an argument left the host");
    Ok(())
}

#[tokio::test]
async fn a_task_whose_queue_is_not_known_goes_to_one_that_its_worker_consumes() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "default,emails" }).await?;
    let old = stack.producer.send("shop.charge", json!([17]), json!({}), "emails").await?;
    stack.api.task_in_state(&old, "failed").await.with_context(|| stack.logs())?;
    let command = stack.api.command("retry_task", task_args(&old)).await?;
    let new = command["result"]["new_task_id"].as_str().with_context(|| command.to_string())?.to_owned();
    stack.api.task_in_state(&new, "failed").await?;
    Ok(())
}

#[tokio::test]
async fn many_failed_tasks_are_retried_at_once_and_unknown_ones_are_named() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    let mut ids = Vec::new();
    for order in 0..5 {
        ids.push(stack.producer.send("shop.charge", json!([order]), json!({}), "emails").await?);
    }
    for id in &ids {
        stack.api.task_in_state(id, "failed").await?;
    }
    let nobody = "00000000-0000-4000-8000-000000000000";
    let mut asked = ids.clone();
    asked.push(nobody.to_owned());
    let command = stack.api.command("bulk_retry", json!({"engine": "celery", "task_ids": asked})).await?;
    assert_eq!(command["result"]["retried"].as_object().map(serde_json::Map::len), Some(5), "{command}");
    assert!(command["result"]["failed"][nobody].is_string(), "{command}");
    Ok(())
}

#[tokio::test]
async fn arguments_that_are_nowhere_to_be_had_are_not_made_up_and_can_be_supplied() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    // Celery cuts the representation of so long an argument, and by default nothing else keeps it once the task has run: of a message
    // that the agent sees waiting, it remembers arguments of up to 16 KiB.
    let long = "x".repeat(50_000);
    let old = stack.producer.send("shop.charge", json!([17]), json!({"card": long}), "emails").await?;
    stack.api.task_in_state(&old, "failed").await?;
    let command = stack.api.command("retry_task", task_args(&old)).await?;
    assert_eq!((&command["status"], &command["error"]), (&json!("failed"), &json!("no_original_payload")), "{command}");

    let mut args = task_args(&old);
    args["override"] = json!({"args": [18], "kwargs": {"card": "tok_new_4243"}});
    let command = stack.api.command("retry_task", args).await?;
    let new = command["result"]["new_task_id"].as_str().with_context(|| command.to_string())?.to_owned();
    let retried = stack.api.task_in_state(&new, "failed").await?;
    assert_eq!(retried["exception_message"], "card declined for order 18");
    assert!(!command.to_string().contains("tok_new"), "supplied values are not kept: {command}");
    Ok(())
}

#[tokio::test]
async fn what_only_a_killed_agent_knew_of_a_task_can_be_supplied() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    let old = stack.producer.send("shop.add", json!([17, 4]), json!({}), "emails").await?;
    stack.api.task_in_state(&old, "succeeded").await.with_context(|| stack.logs())?;
    if let Some(agent) = stack.agent.take() {
        agent.kill().await?;
    }
    stack.start_agent()?;
    let args = task_args(&old);
    let refused = eventually("the agent again", async || {
        let command = stack.api.command("retry_task", args.clone()).await?;
        // What was sent over the connection of the agent that was killed is unknown for ever.
        let is_answered = command["status"] != "unknown" && command["error"] != "agent_not_connected";
        Ok(is_answered.then_some(command))
    })
    .await?;
    assert_eq!(refused["error"], "no_original_payload", "{refused}");
    assert!(refused["message"].to_string().contains("Supply args and kwargs"), "{refused}");

    let mut args = task_args(&old);
    args["override"] = json!({"args": [20, 22], "kwargs": {}});
    let command = stack.api.command("retry_task", args).await?;
    let new = command["result"]["new_task_id"].as_str().with_context(|| command.to_string())?.to_owned();
    let has_run = |task: &Value| task["state"] == "succeeded" && task["queue"] == "emails";
    let retried = stack.api.task_where(&new, "succeeded, of its queue", has_run).await?;
    assert_eq!(retried["name"], "shop.add", "{retried}");
    Ok(())
}

#[tokio::test]
async fn a_failed_chord_goes_on_when_its_member_and_then_its_body_are_retried() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "" }).await?;
    // The agent sees their messages while they wait.
    let (members, body) = stack.producer.chord_of(json!([1, null, 4])).await?;
    for member in &members {
        eventually("a member", async || {
            let task = stack.api.get(&format!("tasks/celery/{member}")).await;
            Ok(task.ok().filter(|task| task["chord_id"] == json!(body)))
        })
        .await
        .with_context(|| stack.logs())?;
    }
    stack.start_worker("w1", "default").await?;
    stack.api.task_in_state(&body, "failed").await.with_context(|| stack.logs())?;
    // The body has failed with the first member that did; the others may still run.
    for member in [&members[0], &members[2]] {
        eventually("the other members", async || {
            let log = stack.worker.as_ref().map(Process::log).unwrap_or_default();
            Ok(log.contains(&format!("[{member}] succeeded")).then_some(()))
        })
        .await
        .with_context(|| stack.logs())?;
    }
    let refused = stack.api.command("retry_task", task_args(&body)).await?;
    assert_eq!(refused["error"], "no_original_payload", "{refused}");
    assert!(refused["message"].to_string().contains(&format!("{} failed (retry it first)", members[1])), "{refused}");

    let mut args = task_args(&members[1]);
    args["override"] = json!({"args": [3, 3], "kwargs": {}});
    let member = stack.api.command("retry_task", args).await?;
    assert!(member["message"].to_string().contains(&format!("retry the chord's body {body}")), "{member}");
    stack.api.task_in_state(member["result"]["new_task_id"].as_str().context("a new id")?, "succeeded").await?;

    let sent = stack.api.command("retry_task", task_args(&body)).await?;
    let new = sent["result"]["new_task_id"].as_str().with_context(|| sent.to_string())?.to_owned();
    let done = stack.api.task_in_state(&new, "succeeded").await?;
    assert_eq!((&done["name"], &done["result_redacted"]), (&json!("shop.total"), &json!(2 + 6 + 8)), "{done}");
    let again = stack.api.command("retry_task", task_args(&body)).await?;
    assert_eq!(again["error"], "invalid_args", "{again}");
    assert!(again["message"].to_string().contains(&format!("sent already, as {new}")), "{again}");
    Ok(())
}

#[tokio::test]
async fn a_running_task_is_cancelled_with_a_signal() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    let (id, command) = eventually("a worker's reply", async || {
        let id = stack.producer.send("shop.wait", json!([300]), json!({}), "default").await?;
        stack.api.task_in_state(&id, "started").await?;
        let mut args = task_args(&id);
        args["terminate"] = json!(true);
        args["signal"] = json!("SIGKILL");
        let command = stack.api.command("cancel_task", args).await?;
        Ok((!no_worker_replied(&command)).then_some((id, command)))
    })
    .await
    .with_context(|| stack.logs())?;
    assert_eq!(command["status"], "succeeded", "{command}\n{}", stack.logs());
    stack.api.task_in_state(&id, "revoked").await?;
    Ok(())
}

#[tokio::test]
async fn a_queue_is_purged_and_the_count_is_told() -> Result<()> {
    let mut stack = Stack::start(StackOptions::default()).await?;
    for n in 0..7 {
        // No worker consumes this queue.
        stack.producer.send("shop.add", json!([n]), json!({}), "forgotten").await?;
    }
    let depth = async || -> Result<Option<u64>> {
        let queues = stack.api.get("queues").await?;
        let queue = queues["items"].as_array().into_iter().flatten().find(|q| q["name"] == "forgotten").cloned();
        Ok(queue.and_then(|q| q["depth"].as_u64()))
    };
    eventually("seven waiting", async || Ok((depth().await? == Some(7)).then_some(())))
        .await
        .with_context(|| stack.logs())?;
    let command = stack.api.command("purge_queue", json!({"engine": "celery", "queue": "forgotten"})).await?;
    assert_eq!(command["result"]["purged"], 7, "{command}");
    eventually("nothing waiting", async || Ok((depth().await? == Some(0)).then_some(()))).await?;
    // Celery tells nobody of purged tasks; the agent that purged them does.
    eventually("the tasks cancelled", async || {
        let cancelled = stack.api.get("tasks?queue=forgotten&state=revoked").await?;
        Ok((cancelled["items"].as_array().map(Vec::len) == Some(7)).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_command_for_an_agent_that_is_away_says_so() -> Result<()> {
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    let id = stack.producer.send("shop.charge", json!([1]), json!({}), "emails").await?;
    stack.api.task_in_state(&id, "failed").await?;
    if let Some(agent) = stack.agent.take() {
        assert_eq!(agent.terminate().await?, Some(0), "the agent ends cleanly");
    }
    eventually("the agent offline", async || {
        let agents = stack.api.get("agents").await?;
        Ok((agents["items"][0]["state"] == "offline").then_some(()))
    })
    .await?;
    let command = stack.api.command("retry_task", task_args(&id)).await?;
    assert_eq!((&command["status"], &command["error"]), (&json!("failed"), &json!("agent_not_connected")), "{command}");

    stack.start_agent()?;
    eventually("a retry by the agent that came back", async || {
        let command = stack.api.command("retry_task", task_args(&id)).await?;
        Ok((command["status"] == "succeeded").then_some(()))
    })
    .await?;
    Ok(())
}
