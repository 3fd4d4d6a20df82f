//! Stories 1 and 2 on RabbitMQ, by an agent that observes a Redis deployment too.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskplane_e2e::{CeleryApp, Process, Stack, StackOptions, binary, eventually, no_worker_replied, run_binary};
use taskplane_testkit::RabbitMqServer;
use tokio::process::Command;

fn task_args(task_id: &str) -> Value {
    json!({"engine": "celery", "task_id": task_id})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_agent_observes_two_brokers_and_acts_on_the_one_that_a_task_went_through() -> Result<()> {
    let rabbit = tokio::task::spawn_blocking(RabbitMqServer::shared).await??;
    let vhost = rabbit.add_vhost()?;
    let mut stack = Stack::start(StackOptions { queues: "emails" }).await?;
    let folder = tempfile::tempdir()?;
    let celery = CeleryApp::new(&rabbit.url(&vhost))?;
    let _worker = celery.worker("rabbit", "default", folder.path())?;
    let mut producer = celery.producer().await?;

    if let Some(agent) = stack.agent.take() {
        assert_eq!(agent.terminate().await?, Some(0));
    }
    let token = {
        let [flag, place] = stack.store_options();
        let output = run_binary(&["token", "create", "--project", "default", &flag, &place]).await?;
        String::from_utf8(output.stdout)?.trim().to_owned()
    };
    let mut command = Command::new(binary()?);
    command.args(["agent", "--brain", &stack.url.replace("http:", "ws:"), "--name", "both", "--data-dir"]);
    command.arg(folder.path().join("agent")).env("TASKPLANE_TOKEN", token);
    command.args(["--celery", &stack.broker, "--celery", &rabbit.url(&vhost)]);
    let agent = Process::start("both", folder.path(), command)?;
    eventually("both workers", async || {
        let workers = stack.api.get("workers").await?;
        let known = |name: &str| {
            workers["items"].as_array().into_iter().flatten().any(|worker| {
                worker["name"] == name && worker["queues"].as_array().is_some_and(|queues| !queues.is_empty())
            })
        };
        Ok((known("w1@test") && known("rabbit@test")).then_some(()))
    })
    .await
    .with_context(|| agent.log())?;

    let secret = json!({"card": "tok_visa_from_the_vault_4242"});
    let here = producer.send("shop.charge", json!([17]), secret.clone(), "default").await?;
    let there = stack.producer.send("shop.charge", json!([18]), secret, "emails").await?;
    for (id, worker, message) in
        [(&here, "rabbit@test", "card declined for order 17"), (&there, "w1@test", "card declined for order 18")]
    {
        let failed = stack.api.task_in_state(id, "failed").await.with_context(|| agent.log())?;
        assert_eq!((&failed["worker"], &failed["exception_message"]), (&json!(worker), &json!(message)), "{failed}");
        let command = stack.api.command("retry_task", task_args(id)).await?;
        let new = command["result"]["new_task_id"].as_str().with_context(|| command.to_string())?.to_owned();
        let retried = stack.api.task_in_state(&new, "failed").await?;
        assert_eq!((&retried["worker"], &retried["exception_message"]), (&json!(worker), &json!(message)), "{retried}");
        assert!(
            !format!("{failed}{retried}{command}").contains("tok_visa_from_the_vault"),
            "an argument left the host"
        );
    }

    let (slow, command) = eventually("a worker's reply", async || {
        let slow = producer.send("shop.wait", json!([300]), json!({}), "default").await?;
        stack.api.task_in_state(&slow, "started").await?;
        let mut args = task_args(&slow);
        args["terminate"] = json!(true);
        let command = stack.api.command("cancel_task", args).await?;
        Ok((!no_worker_replied(&command)).then_some((slow, command)))
    })
    .await
    .with_context(|| agent.log())?;
    assert_eq!(command["status"], "succeeded", "{command}");
    stack.api.task_in_state(&slow, "revoked").await?;

    // Both deployments get a queue of one name: nobody can say which of them is meant.
    for producer in [&mut producer, &mut stack.producer] {
        producer.send("shop.add", json!([1]), json!({}), "doubled").await?;
    }
    let command = stack.api.command("purge_queue", json!({"engine": "celery", "queue": "doubled"})).await?;
    assert_eq!((&command["status"], &command["error"]), (&json!("failed"), &json!("invalid_args")), "{command}");
    for _ in 0..3 {
        producer.send("shop.add", json!([1]), json!({}), "forgotten").await?;
    }
    // RabbitMQ confirms nothing to this producer: the messages may still be on their way.
    eventually("three waiting", async || {
        let queues = rabbit.control(&["list_queues", "--vhost", &vhost, "name", "messages"])?;
        Ok(queues.lines().any(|queue| queue == "forgotten\t3").then_some(()))
    })
    .await?;
    let command = stack.api.command("purge_queue", json!({"engine": "celery", "queue": "forgotten"})).await?;
    assert_eq!(command["result"]["purged"], 3, "{command}");
    Ok(())
}
