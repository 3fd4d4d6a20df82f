//! The brain's API, as a script would use it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::eventually;

/// A caller with an API key.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    /// Calls the brain at `base` with `key`.
    pub fn new(base: &str, key: &str) -> Self {
        Self { client: reqwest::Client::new(), base: base.to_owned(), key: key.to_owned() }
    }

    /// `GET` of a path under the project; fails unless the answer is a success.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}/api/v1/projects/default/{path}", self.base);
        let response = self.client.get(&url).bearer_auth(&self.key).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "GET {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
    }

    /// `POST` of JSON; returns the status and the answer.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let url = format!("{}/api/v1/projects/default/{path}", self.base);
        let request = self.client.post(&url).bearer_auth(&self.key);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_str(&response.text().await?).unwrap_or(Value::Null)))
    }

    /// `DELETE` of a path under the project; returns the status.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn delete(&self, path: &str) -> Result<u16> {
        let url = format!("{}/api/v1/projects/default/{path}", self.base);
        Ok(self.client.delete(&url).bearer_auth(&self.key).send().await?.status().as_u16())
    }

    /// Gives a command and waits for its end.
    ///
    /// # Errors
    /// When it is not accepted, or does not end.
    pub async fn command(&self, cmd: &str, args: Value) -> Result<Value> {
        let (status, command) = self.post("commands", &json!({"cmd": cmd, "args": args})).await?;
        ensure!(status == 202, "{cmd}: {status}: {command}");
        let id = command["id"].as_str().context("a command id")?.to_owned();
        eventually(&format!("the end of {cmd}"), async || {
            let command = self.get(&format!("commands/{id}?wait=10")).await?;
            let open = matches!(command["status"].as_str(), Some("pending" | "sent"));
            Ok((!open).then_some(command))
        })
        .await
    }

    /// A task, once it is in `state`.
    ///
    /// # Errors
    /// When it does not get there in time.
    pub async fn task_in_state(&self, task_id: &str, state: &str) -> Result<Value> {
        self.task_where(task_id, state, |task| task["state"] == state).await
    }

    /// A task, once it is as `wanted`, which is called `what`. Who tells of a task do so in any order: its end may be known before the
    /// rest.
    ///
    /// # Errors
    /// When it does not get there in time.
    pub async fn task_where(&self, task_id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = eventually(&format!("task {task_id} {what}"), async || {
            last = self.get(&format!("tasks/celery/{task_id}")).await?;
            Ok(wanted(&last).then(|| last.clone()))
        })
        .await;
        found.with_context(|| format!("the task was last seen as {last}"))
    }
}

/// True when nobody knows what became of a command, since no worker replied within the second that it has: a busy one may do it later.
pub fn no_worker_replied(command: &Value) -> bool {
    command["status"] == "failed" && command["message"].as_str().is_some_and(|why| why.contains("no worker replied"))
}
