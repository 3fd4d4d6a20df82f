//! Giving a command and waiting for its end.

use anyhow::{Context, Error, Result, anyhow};
use serde_json::{Value, json};

use super::Api;

/// Longest single wait, in seconds; the brain itself ends every command in time.
const WAIT: &str = "25";

impl Api {
    /// Gives a command, waits for its end, and returns it as it then stands. Whether it succeeded: see [`failure`].
    ///
    /// # Errors
    /// When it is not accepted, or its end is not heard.
    pub(crate) async fn command(&self, cmd: &str, args: Value) -> Result<Value> {
        self.command_to(None, cmd, args).await
    }

    /// Asks for a bulk job or a dry run of one.
    ///
    /// # Errors
    /// When it is not accepted, or whether it was is not known.
    pub(crate) async fn bulk(&self, body: &Value) -> Result<Value> {
        let sent = self.post("bulk", body).send().await;
        let sent = sent.map_err(|error| {
            let why = self.unreachable(&error);
            if error.is_connect() { why } else { why.context("it is not known whether the brain made the job") }
        })?;
        self.answer(sent).await
    }

    /// As [`Self::command`], to an agent that is named, if one is.
    ///
    /// # Errors
    /// When it is not accepted, or its end is not heard.
    pub(crate) async fn command_to(&self, agent: Option<&str>, cmd: &str, args: Value) -> Result<Value> {
        let sent = self.post("commands", &json!({"cmd": cmd, "args": args, "agent": agent})).send().await;
        let sent = sent.map_err(|error| {
            let why = self.unreachable(&error);
            // Once connected, the brain may have read it.
            if error.is_connect() { why } else { why.context("it is not known whether the brain took the command") }
        })?;
        let mut command = self.answer(sent).await?;
        let id = command["id"].as_str().unwrap_or_default().to_owned();
        while matches!(command["status"].as_str(), Some("pending" | "sent")) {
            let now = self.get(&["commands", &id], &[("wait", WAIT)]).await;
            command = now.with_context(|| format!("the command {id} was given, but its end was not heard"))?;
        }
        Ok(command)
    }
}

/// Why a command that has ended did not succeed; `None` when it did.
pub(crate) fn failure(command: &Value) -> Option<Error> {
    let status = command["status"].as_str().unwrap_or("unknown");
    if status == "succeeded" {
        return None;
    }
    let what = command["cmd"].as_str().unwrap_or("the command");
    let ended = match status {
        "failed" => "failed",
        "timed_out" => "was not answered in time",
        _ => "has an unknown outcome",
    };
    let code = command["error"].as_str().map(|code| format!(" ({code})")).unwrap_or_default();
    let message = command["message"].as_str().map(|message| format!(": {message}")).unwrap_or_default();
    Some(anyhow!("{what} {ended}{code}{message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_success() {
        assert!(failure(&json!({"cmd": "retry_task", "status": "succeeded"})).is_none());
        let failed =
            json!({"cmd": "retry_task", "status": "failed", "error": "no_original_payload", "message": "none left"});
        let text = failure(&failed).expect("a failure").to_string();
        assert_eq!(text, "retry_task failed (no_original_payload): none left");
        for status in ["timed_out", "unknown", "something new"] {
            assert!(failure(&json!({"status": status})).is_some(), "{status}");
        }
    }
}
